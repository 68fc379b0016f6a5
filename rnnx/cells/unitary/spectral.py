"""Factorised recurrent network: a singular value decomposition with bounded singular values."""

from typing import NamedTuple

import jax
import jax.numpy as jnp
from jax import Array

from rnnx.cells import parts
from rnnx.cells.simple.elman import NONLINEARITIES
from rnnx.cells.unitary import modrelu
from rnnx.cells.unitary.rotations import SKEW, orthogonal, product
from rnnx.types import cell, one_of


class Params(NamedTuple):
    w_x: Array  # [D, 1, N]
    u: Array  # [N, N], of which the entries above the diagonal count
    p: Array  # [N]
    v: Array  # [N, N], as u
    b: Array  # [1, N]
    h_0: Array  # [N]


class Weights(NamedTuple):
    w_x: Array  # [D, 1, N]
    w_h: Array  # [N, 1, N]
    b: Array  # [1, N]
    h_0: Array  # [N]


def step(weights: Weights, state: Array, x: Array, *, nonlinearity: str = "tanh") -> tuple[Array, Array]:
    """One step for `lax.scan`: `Spectral.step` without a configuration. State h [N], x [D] -> (h, h).

    weights = Spectral(...).prepare(params), once, outside the loop.
    """
    inputs, _, units = weights.w_x.shape
    return Spectral(inputs, units, nonlinearity=nonlinearity).step(weights, state, x)


@cell
class Spectral:
    """Factorised RNN: the singular values of the recurrent matrix stay within a margin of 1.

        U, V = exp(u - u^T), exp(v - v^T), of the entries above the diagonals    [N, N] each
        S    = 1 + 2 m (sigmoid(p) - 1/2), between 1 - m and 1 + m               [N]
        W    = U diag(S) V^T                                                     [N, N]
        h_t  = phi(W h_{t-1} + W_x x_t + b)                                      [N]
        y_t  = h_t

    m is the `margin`: W is orthogonal for 0, and norms grow or fall by at most m a step. phi, the `nonlinearity`, is
    tanh, relu or identity, which makes the cell affine. The authors move U and V themselves, by geodesic steps; here
    they are exponentials, or with `map="cayley"` Cayley maps, so that W has a positive determinant. W is made once per
    scan. The state h is an array [N] and starts at h_0, which is learned.

    Initial values: U and V by `skew_init` as `ExpRNN`, uniform over the rotations here, p zero, so that W is
    orthogonal; W_x from U(-0.01, 0.01), b and h_0 zero. A step of p moves S in proportion to m, for which the authors
    divide its learning rate by 2 m.

    Elsewhere: none of torch, Keras, Flax, Haiku, Equinox.

    Source: Vorontsov, Trabelsi, Kadoury & Pal 2017 (arXiv:1702.00071) with the authors' code
    (github.com/veugene/spectre_release); tanh is our choice, theirs has none unless told.

    Cost: 2 N (D + N) flops a step, about 80 N^3 once per scan.
    """

    inputs: int
    units: int
    margin: float = 0.1
    nonlinearity: str = "tanh"
    map: str = "exp"
    skew_init: str = "haar"
    input_init: str = "uniform:0.01"
    bias_init: str = "zeros"

    def __post_init__(self):
        modrelu.check(self)
        one_of("Spectral.nonlinearity", self.nonlinearity, NONLINEARITIES)
        if not 0 <= self.margin <= 1:
            raise ValueError(f"Spectral.margin got {self.margin}; write a number between 0 and 1")

    outputs = property(parts.outputs)

    @property
    def powers(self) -> tuple[str, ...]:
        return ("factored", "pointwise") + (("affine",) if self.nonlinearity == "identity" else ())

    def init(self, key: Array) -> Params:
        key_x, key_u, key_v = jax.random.split(key, 3)
        w_x, b = modrelu.input_weights(self, key_x, 1)
        u, v = (SKEW[self.skew_init](k, self.units, b.dtype, self.map) for k in (key_u, key_v))
        zero = jnp.zeros_like(b)
        return Params(w_x, u, zero, v, b[None], zero)

    @parts.widely
    def prepare(self, params: Params) -> Weights:
        u, v = orthogonal(params.u, self.map), orthogonal(params.v, self.map)
        s = 1 + 2 * self.margin * (jax.nn.sigmoid(params.p) - 0.5)
        w = product(u * s[None], v.T)
        return Weights(params.w_x, w.T[:, None], params.b, params.h_0)

    def initial_state(self, weights: Weights) -> Array:
        return weights.h_0

    drive = parts.drive
    recur = parts.recur

    def update(self, weights: Weights, state: Array, u, v) -> Array:
        del weights, state
        (u,), (v,) = u, v
        return NONLINEARITIES[self.nonlinearity](u + v)

    readout = parts.readout
    step = parts.step
    recurrent = parts.recurrent

    kind = "dense"

    def coefficients(self, weights: Weights, x: Array) -> tuple[Array, Array]:
        """(A, b) of h_t = A h_{t-1} + b, for the identity."""
        return weights.w_h[:, 0].T, self.drive(weights, x)[0]
