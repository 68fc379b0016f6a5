"""The LSTM with a forget gate alone."""

from typing import NamedTuple

import jax.numpy as jnp
from jax import Array
from jax.nn import sigmoid

from rnnx.cells import parts
from rnnx.types import cell


class Params(NamedTuple):
    w_x: Array  # [D, 2, N], gates s, g
    w_h: Array  # [N, 2, N]
    b: Array  # [2, N]


def step(params: Params, state: Array, x: Array, *, beta: float = 1.0) -> tuple[Array, Array]:
    """One step for `lax.scan`: `JANET.step` without a configuration. State h [N], x [D] -> (h, h)."""
    inputs, _, units = params.w_x.shape
    return JANET(inputs, units, beta).step(params, state, x)


@cell
class JANET:
    """Just another network: an LSTM with a forget gate alone, whose bias is drawn by the memory wanted.

        s   = W_x x_t + W_h h_{t-1} + b                                     [N]
        g   = tanh(W_x x_t + W_h h_{t-1} + b)                               [N]
        h_t = sigmoid(s) * h_{t-1} + (1 - sigmoid(s - beta)) * g            [N]
        y_t = h_t

    h is the paper's c. With `beta` = 0 what is written is what was forgotten; a positive `beta` writes more than
    that, up to a factor exp(beta) where little is forgotten. The state h is an array [N], zero at the start.

    Initial values: Glorot uniform gate by gate ("glorot_uniform_fused" is what the authors' code draws), b zero for
    g and log(U(1, T - 1)) for s, with T = 200, the length of the paper's adding and copying tasks: "chrono:T" for
    others, the longest dependency that is expected. Their code draws up to T, not T - 1, and takes 1 where it is
    given no T: `forget_init="constant"`, which adds `forget_bias`.

    Elsewhere: none of torch, Keras, Flax, Haiku, Equinox.

    Source: van der Westhuizen & Lasenby 2018 (arXiv:1804.04849), as their code computes it (github.com/
    JosvanderWesthuizen/janet, aux_code/rnn_cells.py); chrono initialisation: Tallec & Ollivier 2018
    (arXiv:1804.11188), eq. 16.

    Cost: 4 N (D + N) flops a step.
    """

    inputs: int
    units: int
    beta: float = 1.0
    forget_bias: float = 1.0
    forget_init: str = "chrono:200"
    recurrent_init: str = "glorot_uniform"
    input_init: str = "glorot_uniform"
    bias_init: str = "zeros"

    powers = ("factored", "pointwise")
    __post_init__ = parts.check
    outputs = property(parts.outputs)

    def init(self, key: Array) -> Params:
        return Params(*parts.gates(self, key, 2, keeps=0))

    prepare = parts.prepare
    initial_state = parts.initial_state
    drive = parts.drive
    recur = parts.recur

    def update(self, weights: Params, state: Array, u, v) -> Array:
        del weights
        h = state
        us, ug = u
        vs, vg = v
        s = us + vs
        g = jnp.tanh(ug + vg)
        return sigmoid(s) * h + (1 - sigmoid(s - self.beta)) * g

    readout = parts.readout
    step = parts.step
    recurrent = parts.recurrent
