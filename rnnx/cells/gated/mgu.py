"""The minimal gated unit."""

from typing import NamedTuple

import jax
import jax.numpy as jnp
from jax import Array
from jax.nn import sigmoid

from rnnx.cells import parts
from rnnx.cells.memory import remember
from rnnx.types import cell


class Params(NamedTuple):
    w_x: Array  # [D, 2, N], gates f, n
    w_h: Array  # [N, 1, N], gate f
    w_n: Array  # [N, N], of what was forgotten
    b: Array  # [2, N]


def step(params: Params, state: Array, x: Array) -> tuple[Array, Array]:
    """One step for `lax.scan`: `MGU.step` without a configuration. State h [N], x [D] -> (h, h)."""
    inputs, _, units = params.w_x.shape
    return MGU(inputs, units).step(params, state, x)


@cell
class MGU:
    """Minimal gated unit: one gate resets and updates.

        f   = sigmoid(W_x x_t + W_h h_{t-1} + b)            [N]
        n   = tanh(W_x x_t + W_n (f * h_{t-1}) + b)         [N]
        h_t = (1 - f) * h_{t-1} + f * n                     [N]
        y_t = h_t

    f is the part of the old state that is given up: an open gate forgets. It is `GRUBefore` with r = f and
    z = 1 - f. The product with W_n needs the gate f of this very step, so it stands in the update: the cell is not
    Pointwise. The state h is an array [N], zero at the start.

    Initial values: Glorot uniform gate by gate, biases zero. A positive `forget_bias` means a longer memory, as in
    every cell: it is SUBTRACTED from the bias of f; `forget_init` draws the negative of that bias.

    Elsewhere: linen `MGUCell` is another function: f keeps where this one forgets, and resets after the product.
    None of torch, Keras, nnx, Haiku, Equinox.

    Source: Zhou, Wu, Zhang & Zhou 2016 (arXiv:1603.09420), the equations of f_t, h~_t and h_t of MGU.

    Cost: 4 N (D + N) flops a step.
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

    def init(self, key: Array) -> Params:
        key_w, key_f = jax.random.split(key)
        w_x, w_h, b = parts.gates(self, key_w, 2)
        return Params(w_x, w_h[:, :1], w_h[:, 1], b.at[0].set(-remember(self, key_f, -b, keeps=0)[0]))

    prepare = parts.prepare
    initial_state = parts.initial_state
    drive = parts.drive
    recur = parts.recur

    def update(self, weights: Params, state: Array, u, v) -> Array:
        h = state
        uf, un = u
        (vf,) = v
        f = sigmoid(uf + vf)
        n = jnp.tanh(un + (f * h) @ weights.w_n)
        return (1 - f) * h + f * n

    readout = parts.readout
    step = parts.step
