"""Long short-term memory."""

from typing import NamedTuple

import jax.numpy as jnp
from jax import Array
from jax.nn import sigmoid

from rnnx.cells import parts
from rnnx.cells.initialisers import INITIALISERS
from rnnx.types import cell, one_of


class Params(NamedTuple):
    w_x: Array  # [D, 4, N], gates i, f, g, o
    w_h: Array  # [N, 4, N]
    b: Array  # [4, N]


class State(NamedTuple):
    h: Array  # [N]
    c: Array  # [N]


def step(params: Params, state: State, x: Array) -> tuple[State, Array]:
    """One step for `lax.scan`: `LSTM.step` without a configuration. x [D] -> (State(h, c), h)."""
    inputs, _, units = params.w_x.shape
    return LSTM(inputs, units).step(params, state, x)


@cell
class LSTM:
    """Long short-term memory with a forget gate, as torch, Keras, Flax and Equinox compute it.

        i, f, o = sigmoid(W_x x_t + W_h h_{t-1} + b)    [N] each
        g       = tanh(W_x x_t + W_h h_{t-1} + b)       [N]
        c_t     = f * c_{t-1} + i * g                   [N]
        h_t     = o * tanh(c_t)                         [N]
        y_t     = h_t

    Every gate has its own rows of W_x, W_h and b, in the order i, f, g, o. `forget_bias` is the initial
    value of the forget gate's bias, drawn into the parameters and nowhere added at run time. The state
    (h, c) is zero at the start.

    Source: Hochreiter & Schmidhuber 1997 (Neural Computation 9, 1735-1780) with the forget gate of Gers,
    Schmidhuber & Cummins 2000 (Neural Computation 12, 2451-2471) and without peepholes. Cost: 8 N (D + N)
    flops a step.
    """

    inputs: int
    units: int
    forget_bias: float = 1.0
    recurrent_init: str = "glorot_uniform"
    input_init: str = "glorot_uniform"

    def __post_init__(self):
        one_of("LSTM.recurrent_init", self.recurrent_init, INITIALISERS)
        one_of("LSTM.input_init", self.input_init, INITIALISERS)

    powers = ("factored", "pointwise")

    @property
    def outputs(self) -> int:
        return self.units

    def init(self, key: Array) -> Params:
        w_x, w_h, b = parts.gates(self, key, 4)
        return Params(w_x, w_h, b.at[1].set(self.forget_bias))

    prepare = parts.prepare

    def initial_state(self, weights: Params) -> State:
        zero = jnp.zeros_like(weights.b[0])
        return State(zero, zero)

    drive = parts.drive

    def recur(self, weights: Params, state: State) -> Array:
        return parts.product(state.h, weights.w_h)

    def update(self, weights: Params, state: State, u, v) -> State:
        del weights
        ui, uf, ug, uo = u
        vi, vf, vg, vo = v
        i = sigmoid(ui + vi)
        f = sigmoid(uf + vf)
        g = jnp.tanh(ug + vg)
        o = sigmoid(uo + vo)
        c = f * state.c + i * g
        return State(o * jnp.tanh(c), c)

    def readout(self, weights: Params, state: State, x: Array) -> Array:
        del weights, x
        return state.h

    step = parts.step
    recurrent = parts.recurrent
