"""Orthogonal recurrent networks: the exponential or the Cayley map of a skew-symmetric matrix."""

from typing import Any, NamedTuple

import jax
import numpy as np
from jax import Array

from rnnx.cells import parts
from rnnx.cells.unitary import modrelu
from rnnx.cells.unitary.modrelu import Weights
from rnnx.cells.unitary.rotations import SKEW, orthogonal
from rnnx.types import cell


class Params(NamedTuple):
    w_x: Array  # [D, 1, N]
    a: Array  # [N, N], of which the entries above the diagonal count
    b: Array  # [N], of modReLU


def step(weights: Weights, state: Array, x: Array) -> tuple[Array, Array]:
    """One step for `lax.scan`: `ExpRNN.step` without a configuration. State h [N], x [D] -> (h, h).

    weights = ExpRNN(...).prepare(params), once, outside the loop.
    """
    inputs, _, units = weights.w_x.shape
    return ExpRNN(inputs, units).step(weights, state, x)


def init(cell: Any, key: Array) -> Params:
    """W_x, b and the skew-symmetric matrix by the cell's rules."""
    key_x, key_a = jax.random.split(key)
    w_x, b = modrelu.input_weights(cell, key_x, 1)
    return Params(w_x, SKEW[cell.skew_init](key_a, cell.units, b.dtype, getattr(cell, "map", "cayley")), b)


@cell
class ExpRNN:
    """Exponential RNN: an orthogonal recurrent matrix, the exponential of a skew-symmetric one.

        A   = a - a^T, of the entries of a above the diagonal    [N, N]
        W   = exp(A)                                             [N, N]
        h_t = modReLU(W h_{t-1} + W_x x_t)                       [N]
        y_t = h_t

    modReLU(z) = sign(z) max(|z| + b, 0). W is made once per scan. Every rotation is an exponential; `map="cayley"`
    has (I + A)^-1 (I - A) instead, which has no eigenvalue -1 and comes near it for large A only. Both have
    determinant 1: half of the orthogonal matrices are not reached; see `ScoRNN`. The state h is an array [N],
    zero at the start.

    Initial values: `skew_init` "henaff" turns N / 2 planes by angles from U(-pi, pi); "cayley" by entries
    -sqrt((1 - cos t) / (1 + cos t)), t from U(0, pi/2); "haar" is uniform over the rotations. W_x is He normal, b
    from U(-0.01, 0.01). The authors learn a with a tenth of the rate of the rest.

    Elsewhere: none of torch, Keras, Flax, Haiku, Equinox.

    Source: Lezcano-Casado & Martinez-Rubio 2019 (arXiv:1901.08428) with the authors' code (github.com/Lezcano/expRNN),
    where W is transposed, which is A with the other sign.

    Cost: 2 N (D + N) flops a step, about 40 N^3 once per scan.
    """

    inputs: int
    units: int
    map: str = "exp"
    skew_init: str = "henaff"
    input_init: str = "he_normal"
    bias_init: str = "uniform:0.01"

    powers = ("factored", "pointwise")
    __post_init__ = modrelu.check
    outputs = property(parts.outputs)
    init = init

    @parts.widely
    def prepare(self, params: Params) -> Weights:
        w = orthogonal(params.a, self.map)
        return Weights(params.w_x, w.T[:, None], params.b)

    initial_state = modrelu.initial_state
    drive = modrelu.drive
    recur = parts.recur
    update = modrelu.update
    readout = parts.readout
    step = parts.step
    recurrent = parts.recurrent


@cell
class ScoRNN:
    """Scaled Cayley orthogonal RNN: the Cayley map of a skew-symmetric matrix, and fixed signs.

        A   = a - a^T, of the entries of a above the diagonal    [N, N]
        W   = (I + A)^-1 (I - A) D                               [N, N]
        h_t = modReLU(W h_{t-1} + W_x x_t)                       [N]
        y_t = h_t

    modReLU(z) = sign(z) max(|z| + b, 0). W is made once per scan. D is diagonal, -1 in the last units, whose share
    is `negative`, and 1 in the others: with the right D every orthogonal matrix is of this form, with entries of A
    between -1 and 1. D is not learned; its share of -1 is to be tuned. The state h is an array [N], zero at the start.

    Initial values: `skew_init` "cayley", "henaff" or "haar" as `ExpRNN` (D not counted). W_x from U(-0.01, 0.01),
    b zero. The authors' `negative` is 0.5 for copying and adding and 0.1 for MNIST.

    Elsewhere: none of torch, Keras, Flax, Haiku, Equinox.

    Source: Helfrich, Willmott & Ye 2018 (arXiv:1707.09520) with the authors' code (github.com/SpartinStuff/scoRNN),
    where W is transposed.

    Cost: 2 N (D + N) flops a step, about 7 N^3 once per scan.
    """

    inputs: int
    units: int
    negative: float = 0.5
    skew_init: str = "cayley"
    input_init: str = "uniform:0.01"
    bias_init: str = "zeros"

    powers = ("factored", "pointwise")

    def __post_init__(self):
        modrelu.check(self)
        if not 0 <= self.negative <= 1:
            raise ValueError(f"ScoRNN.negative got {self.negative}; write a share between 0 and 1")

    outputs = property(parts.outputs)
    init = init

    @parts.widely
    def prepare(self, params: Params) -> Weights:
        d = np.where(np.arange(self.units) < self.units - round(self.negative * self.units), 1, -1)
        w = orthogonal(params.a, "cayley") * d.astype(params.a.dtype)[None]
        return Weights(params.w_x, w.T[:, None], params.b)

    initial_state = modrelu.initial_state
    drive = modrelu.drive
    recur = parts.recur
    update = modrelu.update
    readout = parts.readout
    step = parts.step
    recurrent = parts.recurrent
