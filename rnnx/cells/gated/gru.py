"""Gated recurrent units: the reset gate after the recurrent product, or before it."""

from typing import NamedTuple

import jax
import jax.numpy as jnp
from jax import Array
from jax.nn import sigmoid

from rnnx.cells import initialisers, parts
from rnnx.types import cell


class Params(NamedTuple):
    w_x: Array  # [D, 3, N], gates r, z, n
    w_h: Array  # [N, 3, N]
    b: Array  # [3, N]
    c: Array  # [N], the recurrent bias of n


def step(params: Params, state: Array, x: Array) -> tuple[Array, Array]:
    """One step for `lax.scan`: `GRU.step` without a configuration. State h [N], x [D] -> (h, h)."""
    inputs, _, units = params.w_x.shape
    return GRU(inputs, units).step(params, state, x)


@cell
class GRU:
    """Gated recurrent unit, reset applied AFTER the recurrent product.

        r, z = sigmoid(W_x x_t + W_h h_{t-1} + b)                   [N] each
        n    = tanh(W_x x_t + b + r * (W_h h_{t-1} + c))            [N]
        h_t  = (1 - z) * n + z * h_{t-1}                            [N]
        y_t  = h_t

    Every gate has its own rows of W_x, W_h and b, in the order r, z, n. Libraries disagree about the order of the
    reset; `GRUBefore` has the other one, which is another function. The state h is an array [N], zero at the start.

    Initial values: Glorot uniform gate by gate, biases zero. z keeps the old state: `forget_bias` is added to its
    bias, `forget_init` draws it ("constant", "chrono:T", "uniform_gate").

    Elsewhere: torch `GRU`, Keras `GRU(reset_after=True)`, linen `GRUCell`, Equinox `GRUCell`; nnx `GRUCell` without c.

    Source: Cho et al. 2014 (arXiv:1406.1078), eq. 5-8, in the order of cuDNN's GRU; z multiplies the old state.

    Cost: 6 N (D + N) flops a step.
    """

    inputs: int
    units: int
    forget_bias: float = 0.0
    forget_init: str = "constant"
    recurrent_init: str = "glorot_uniform"
    input_init: str = "glorot_uniform"
    bias_init: str = "zeros"
    c_init: str = "zeros"

    powers = ("factored", "pointwise")
    __post_init__ = parts.check
    outputs = property(parts.outputs)

    def init(self, key: Array) -> Params:
        w_x, w_h, b = parts.gates(self, key, 3, keeps=1)
        c = initialisers.draw(self.c_init, jax.random.fold_in(key, 2), (1, 1, self.units), b.dtype)
        return Params(w_x, w_h, b, c[0, 0])

    prepare = parts.prepare
    initial_state = parts.initial_state
    drive = parts.drive
    recur = parts.recur

    def update(self, weights: Params, state: Array, u, v) -> Array:
        h = state
        ur, uz, un = u
        vr, vz, vn = v
        r = sigmoid(ur + vr)
        z = sigmoid(uz + vz)
        n = jnp.tanh(un + r * (vn + weights.c))
        return (1 - z) * n + z * h

    readout = parts.readout
    step = parts.step
    recurrent = parts.recurrent


class ParamsBefore(NamedTuple):
    w_x: Array  # [D, 3, N], gates r, z, n
    w_h: Array  # [N, 2, N], gates r, z
    w_n: Array  # [N, N], of what was reset
    b: Array  # [3, N]


@cell
class GRUBefore:
    """Gated recurrent unit, reset applied BEFORE the recurrent product.

        r, z = sigmoid(W_x x_t + W_h h_{t-1} + b)           [N] each
        n    = tanh(W_x x_t + W_n (r * h_{t-1}) + b)        [N]
        h_t  = (1 - z) * n + z * h_{t-1}                    [N]
        y_t  = h_t

    The product with W_n needs the gate r of this very step, so it stands in the update: the cell is not
    Pointwise. The state h is an array [N], zero at the start. Haiku and other writers swap z and 1 - z.

    Initial values: as `GRU`.

    Elsewhere: Keras `GRU(reset_after=False)`; Haiku `GRU`, with 1 - z for z.

    Source: Cho et al. 2014 (arXiv:1406.1078), eq. 5-8; z multiplies the old state.

    Cost: 6 N (D + N) flops a step.
    """

    inputs: int
    units: int
    forget_bias: float = 0.0
    forget_init: str = "constant"
    recurrent_init: str = "glorot_uniform"
    input_init: str = "glorot_uniform"
    bias_init: str = "zeros"

    powers = ("factored",)
    __post_init__ = parts.check
    outputs = property(parts.outputs)

    def init(self, key: Array) -> ParamsBefore:
        w_x, w_h, b = parts.gates(self, key, 3, keeps=1)
        return ParamsBefore(w_x, w_h[:, :2], w_h[:, 2], b)

    prepare = parts.prepare
    initial_state = parts.initial_state
    drive = parts.drive
    recur = parts.recur

    def update(self, weights: ParamsBefore, state: Array, u, v) -> Array:
        h = state
        ur, uz, un = u
        vr, vz = v
        r = sigmoid(ur + vr)
        z = sigmoid(uz + vz)
        n = jnp.tanh(un + (r * h) @ weights.w_n)
        return (1 - z) * n + z * h

    readout = parts.readout
    step = parts.step
