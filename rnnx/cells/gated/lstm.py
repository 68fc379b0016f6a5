"""Long short-term memory."""

from typing import Any, NamedTuple

import jax.numpy as jnp
from jax import Array
from jax.nn import sigmoid

from rnnx.cells import parts
from rnnx.types import cell, one_of

# The two squashing functions, of what enters the cell and of what leaves it. "paper": ranges (-2, 2) and (-1, 1).
SQUASHINGS = {
    "tanh": (jnp.tanh, jnp.tanh),
    "paper": (lambda z: 4 * sigmoid(z) - 2, lambda z: 2 * sigmoid(z) - 1),
}


class Params(NamedTuple):
    w_x: Array  # [D, 4, N], gates i, f, g, o
    w_h: Array  # [N, 4, N]
    b: Array  # [4, N]


class State(NamedTuple):
    h: Array  # [N]
    c: Array  # [N]


def zero_state(cell: Any, weights: Any) -> State:
    """h = c = 0    [N] each"""
    del cell
    zero = jnp.zeros_like(weights.b[0])
    return State(zero, zero)


def step(params: Params, state: State, x: Array, *, squashing: str = "tanh") -> tuple[State, Array]:
    """One step for `lax.scan`: `LSTM.step` without a configuration. x [D] -> (State(h, c), h)."""
    inputs, _, units = params.w_x.shape
    return LSTM(inputs, units, squashing=squashing).step(params, state, x)


@cell
class LSTM:
    """Long short-term memory with a forget gate and without peepholes, as most libraries compute it.

        i, f, o = sigmoid(W_x x_t + W_h h_{t-1} + b)    [N] each
        g       = tanh(W_x x_t + W_h h_{t-1} + b)       [N]
        c_t     = f * c_{t-1} + i * g                   [N]
        h_t     = o * tanh(c_t)                         [N]
        y_t     = h_t

    Every gate has its own rows of W_x, W_h and b, in the order i, f, g, o. The state (h, c) is zero at the start.
    `squashing` names what stands for the two tanh: "paper" is 4 sigmoid - 2 for g and 2 sigmoid - 1 for h, as in
    2000 (there gates are shared by blocks of cells too, see `LSTM1997` with `forget`).

    Initial values: Glorot uniform gate by gate. `forget_bias` is added to the bias of f once, when it is drawn,
    and nowhere at run time. `forget_init` draws that bias: "constant", "chrono:T" (b_i = -b_f; Tallec & Ollivier
    2018) or "uniform_gate" (Gu et al. 2020).

    Elsewhere: torch `LSTM`, Keras `LSTM`, linen `LSTMCell`, nnx `LSTMCell`, Equinox `LSTMCell`; Haiku `LSTM` (adds 1
    to the forget gate at run time).

    Source: Gers, Schmidhuber & Cummins 2000 (Neural Computation 12, 2451-2471), sections 2 and 3, with tanh for both
    squashing functions; Hochreiter & Schmidhuber 1997 (Neural Computation 9, 1735-1780) without the forget gate.

    Cost: 8 N (D + N) flops a step.
    """

    inputs: int
    units: int
    forget_bias: float = 1.0
    forget_init: str = "constant"
    recurrent_init: str = "glorot_uniform"
    input_init: str = "glorot_uniform"
    bias_init: str = "zeros"
    squashing: str = "tanh"

    def __post_init__(self):
        parts.check(self)
        one_of("LSTM.squashing", self.squashing, SQUASHINGS)

    powers = ("factored", "pointwise")
    outputs = property(parts.outputs)

    def init(self, key: Array) -> Params:
        return Params(*parts.gates(self, key, 4, keeps=1, takes=0))

    prepare = parts.prepare
    initial_state = zero_state
    drive = parts.drive
    recur = parts.recur

    def update(self, weights: Params, state: State, u, v) -> State:
        del weights
        squash_g, squash_h = SQUASHINGS[self.squashing]
        ui, uf, ug, uo = u
        vi, vf, vg, vo = v
        i = sigmoid(ui + vi)
        f = sigmoid(uf + vf)
        g = squash_g(ug + vg)
        o = sigmoid(uo + vo)
        c = f * state.c + i * g
        return State(o * squash_h(c), c)

    readout = parts.readout
    step = parts.step
    recurrent = parts.recurrent
