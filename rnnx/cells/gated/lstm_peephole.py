"""Long short-term memory whose gates look at the cell state, and the one whose two gates are one."""

from typing import NamedTuple

import jax
import jax.numpy as jnp
from jax import Array
from jax.nn import sigmoid

from rnnx.cells import initialisers, parts
from rnnx.cells.gated.lstm import State, zero_state
from rnnx.types import cell, one_of

SQUASHINGS = {"tanh": jnp.tanh, "identity": lambda z: z}  # of what enters and of what leaves the cell


class Params(NamedTuple):
    w_x: Array  # [D, 4, N], gates i, f, g, o
    w_h: Array  # [N, 4, N]
    b: Array  # [4, N]
    p_i: Array  # [N], the peepholes
    p_f: Array  # [N]
    p_o: Array  # [N]


def step(params: Params, state: State, x: Array, *, squashing: str = "tanh") -> tuple[State, Array]:
    """One step for `lax.scan`: `LSTMPeephole.step` without a configuration. x [D] -> (State(h, c), h)."""
    inputs, _, units = params.w_x.shape
    return LSTMPeephole(inputs, units, squashing=squashing).step(params, state, x)


@cell
class LSTMPeephole:
    """Long short-term memory with peepholes: each gate also sees the cell that it guards.

        i, f = sigmoid(W_x x_t + W_h h_{t-1} + p * c_{t-1} + b)    [N] each
        g    = tanh(W_x x_t + W_h h_{t-1} + b)                     [N]
        c_t  = f * c_{t-1} + i * g                                 [N]
        o    = sigmoid(W_x x_t + W_h h_{t-1} + p * c_t + b)        [N]
        h_t  = o * tanh(c_t)                                       [N]
        y_t  = h_t

    The output gate sees the NEW cell state. A peephole is one number for each gate and unit. `squashing="identity"`
    leaves out both tanh, as the timing experiments of 2002 do; tanh is Graves's form. The state (h, c) is zero at
    the start.

    Initial values: Glorot uniform gate by gate, peepholes `peephole_init`. `forget_bias` and `forget_init` as `LSTM`;
    `out_bias` is added to the bias of o. 2002: U(-0.1, 0.1) for all weights, biases -2 of f, 0 of i and 2 of o.

    Elsewhere: none of torch, Keras, Flax, Haiku, Equinox.

    Source: Gers, Schraudolph & Schmidhuber 2002 (JMLR 3, 115-143), section 3, first in Gers & Schmidhuber 2000
    (IJCNN 3, 189-194); with tanh Graves 2013 (arXiv:1308.0850), eq. 7-11.

    Cost: 8 N (D + N) flops a step.
    """

    inputs: int
    units: int
    squashing: str = "tanh"
    forget_bias: float = 1.0
    forget_init: str = "constant"
    out_bias: float = 0.0
    peephole_init: str = "uniform:0.1"
    recurrent_init: str = "glorot_uniform"
    input_init: str = "glorot_uniform"
    bias_init: str = "zeros"

    def __post_init__(self):
        parts.check(self)
        one_of("LSTMPeephole.squashing", self.squashing, SQUASHINGS)

    powers = ("factored", "pointwise")
    outputs = property(parts.outputs)

    def init(self, key: Array) -> Params:
        key, key_p = jax.random.split(key)
        w_x, w_h, b = parts.gates(self, key, 4, keeps=1, takes=0)
        p_i, p_f, p_o = initialisers.draw(self.peephole_init, key_p, (1, 3, self.units), b.dtype)[0]
        return Params(w_x, w_h, b.at[3].add(self.out_bias), p_i, p_f, p_o)

    prepare = parts.prepare
    initial_state = zero_state
    drive = parts.drive
    recur = parts.recur

    def update(self, weights: Params, state: State, u, v) -> State:
        squash = SQUASHINGS[self.squashing]
        ui, uf, ug, uo = u
        vi, vf, vg, vo = v
        i = sigmoid(ui + vi + weights.p_i * state.c)
        f = sigmoid(uf + vf + weights.p_f * state.c)
        g = squash(ug + vg)
        c = f * state.c + i * g
        o = sigmoid(uo + vo + weights.p_o * c)
        return State(o * squash(c), c)

    readout = parts.readout
    step = parts.step
    recurrent = parts.recurrent


class ParamsCoupled(NamedTuple):
    w_x: Array  # [D, 3, N], gates f, g, o
    w_h: Array  # [N, 3, N]
    b: Array  # [3, N]
    p_f: Array | None  # [N], with peepholes
    p_o: Array | None  # [N]


@cell
class LSTMCoupled:
    """Long short-term memory whose input gate is what the forget gate leaves (CIFG).

        f    = sigmoid(W_x x_t + W_h h_{t-1} + p * c_{t-1} + b)    [N]
        g    = tanh(W_x x_t + W_h h_{t-1} + b)                     [N]
        c_t  = f * c_{t-1} + (1 - f) * g                           [N]
        o    = sigmoid(W_x x_t + W_h h_{t-1} + p * c_t + b)        [N]
        h_t  = o * tanh(c_t)                                       [N]
        y_t  = h_t

    c is a mean of past g, so it stays within (-1, 1). The terms in p are there with `peepholes=True`, as in the
    paper's; it couples the other way round, f = 1 - i. The state (h, c) is zero at the start.

    Initial values: Glorot uniform gate by gate, peepholes `peephole_init`. `forget_bias` and `forget_init` as `LSTM`.
    The paper draws all weights from N(0, 0.1^2), "normal:0.1".

    Elsewhere: none of torch, Keras, Flax, Haiku, Equinox.

    Source: Greff, Srivastava, Koutnik, Steunebrink & Schmidhuber 2015 (arXiv:1503.04069), section 3, variant CIFG.

    Cost: 6 N (D + N) flops a step.
    """

    inputs: int
    units: int
    peepholes: bool = False
    forget_bias: float = 1.0
    forget_init: str = "constant"
    peephole_init: str = "uniform:0.1"
    recurrent_init: str = "glorot_uniform"
    input_init: str = "glorot_uniform"
    bias_init: str = "zeros"

    powers = ("factored", "pointwise")
    __post_init__ = parts.check
    outputs = property(parts.outputs)

    def init(self, key: Array) -> ParamsCoupled:
        key, key_p = jax.random.split(key)
        w_x, w_h, b = parts.gates(self, key, 3, keeps=0)
        if not self.peepholes:
            return ParamsCoupled(w_x, w_h, b, None, None)
        return ParamsCoupled(w_x, w_h, b, *initialisers.draw(self.peephole_init, key_p, (1, 2, self.units), b.dtype)[0])

    prepare = parts.prepare
    initial_state = zero_state
    drive = parts.drive
    recur = parts.recur

    def update(self, weights: ParamsCoupled, state: State, u, v) -> State:
        uf, ug, uo = u
        vf, vg, vo = v
        f = sigmoid(uf + vf if weights.p_f is None else uf + vf + weights.p_f * state.c)
        g = jnp.tanh(ug + vg)
        c = f * state.c + (1 - f) * g
        o = sigmoid(uo + vo if weights.p_o is None else uo + vo + weights.p_o * c)
        return State(o * jnp.tanh(c), c)

    readout = parts.readout
    step = parts.step
    recurrent = parts.recurrent
