"""Full-capacity unitary network: a complex recurrent network with any unitary matrix."""

from typing import NamedTuple

import jax
from jax import Array

from rnnx.cells import parts
from rnnx.cells.initialisers import uniform
from rnnx.cells.unitary import modrelu
from rnnx.cells.unitary.modrelu import ComplexWeights, State
from rnnx.cells.unitary.rotations import UNITARY_SKEW, real, unitary
from rnnx.types import cell


class Params(NamedTuple):
    w_x: Array  # [D, 2, N], real and imaginary part
    a: Array  # [N, N], Re A above the diagonal, Im A on and below it
    b: Array  # [N], of modReLU
    h_0: Array  # [2, N], real and imaginary part


def step(weights: ComplexWeights, state: State, x: Array) -> tuple[State, Array]:
    """One step for `lax.scan`: `Unitary.step` without a configuration. x [D] -> (State(re, im), y [2N]).

    weights = Unitary(...).prepare(params), once, outside the loop.
    """
    inputs, _, units = weights.w_x.shape
    return Unitary(inputs, units).step(weights, state, x)


@cell
class Unitary:
    """Full-capacity unitary RNN: N complex units, a recurrent matrix that may be any unitary one.

        A   = -A^*, of N^2 real parameters       [N, N], complex
        W   = exp(A)                             [N, N], complex
        h_t = modReLU(W h_{t-1} + W_x x_t)       [N], complex
        y_t = (Re h_t, Im h_t)                   [2N]

    modReLU(z) = max(|z| + b, 0) z / |z|. The paper keeps W itself and moves it on the manifold of unitary matrices by
    a multiplicative Cayley step; here W is the exponential of a skew-Hermitian A, which reaches every unitary matrix,
    and any optimiser may move A. `map="cayley"` has (I + A)^-1 (I - A) instead, which misses the eigenvalue -1. W is
    made once per scan. The outputs are twice the units. The state (re, im) starts at h_0, which is learned.

    Initial values: `skew_init` "haar" makes W uniform over the unitary matrices, as the authors draw it; "henaff" and
    "cayley" are the real ones of `ExpRNN`. W_x is Glorot uniform, its real and imaginary part side by side, b and h_0
    from U(-0.01, 0.01).

    Elsewhere: none of torch, Keras, Flax, Haiku, Equinox.

    Source: Wisdom, Powers, Hershey, Le Roux & Atlas 2016 (arXiv:1611.00035), whose update, eq. 8-9, is replaced, with
    the authors' code (github.com/stwisdom/urnn), which also adds 1e-5 to the |z| it divides by.

    Cost: 4 N (D + 2 N) flops a step, about 150 N^3 once per scan.
    """

    inputs: int
    units: int
    map: str = "exp"
    skew_init: str = "haar"
    input_init: str = "glorot_uniform_fused"
    bias_init: str = "uniform:0.01"

    powers = ("factored", "pointwise")
    __post_init__ = modrelu.check
    outputs = property(modrelu.complex_outputs)

    def init(self, key: Array) -> Params:
        key_x, key_a, key_h = jax.random.split(key, 3)
        w_x, b = modrelu.input_weights(self, key_x, 2)
        h_0 = uniform(key_h, (2, 1, self.units), b.dtype, 0.01)[:, 0]
        return Params(w_x, UNITARY_SKEW[self.skew_init](key_a, self.units, b.dtype, self.map), b, h_0)

    @parts.widely
    def prepare(self, params: Params) -> ComplexWeights:
        return ComplexWeights(params.w_x, real(unitary(params.a, self.map)), params.b, params.h_0)

    initial_state = modrelu.complex_initial_state
    drive = modrelu.drive
    recur = modrelu.complex_recur
    update = modrelu.complex_update
    readout = modrelu.complex_readout
    step = parts.step
    recurrent = modrelu.complex_recurrent
