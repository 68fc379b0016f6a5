"""Long short-term memory with a recurrent matrix for every input."""

from typing import NamedTuple

import jax
import jax.numpy as jnp
from jax import Array
from jax.nn import sigmoid

from rnnx.cells import initialisers, parts
from rnnx.cells.gated.lstm import State, zero_state
from rnnx.types import cell, one_of


class Params(NamedTuple):
    w_x: Array  # [D, 4, N], gates i, f, g, o
    w_m: Array  # [N, 4, N]
    b: Array  # [4, N]
    m_x: Array  # [D, 1, N], the factors of m
    m_h: Array  # [N, 1, N]


def step(params: Params, state: State, x: Array, *, squashing: str = "outside") -> tuple[State, Array]:
    """One step for `lax.scan`: `LSTMMultiplicative.step` without a configuration. x [D] -> (State(h, c), h)."""
    inputs, _, units = params.w_x.shape
    return LSTMMultiplicative(inputs, units, squashing).step(params, state, x)


@cell
class LSTMMultiplicative:
    """Multiplicative long short-term memory (mLSTM of 2016; not the matrix memory of the xLSTM).

        m       = (M_x x_t) * (M_h h_{t-1})              [N]
        i, f, o = sigmoid(W_x x_t + W_m m + b)           [N] each
        g       = tanh(W_x x_t + W_m m + b)              [N]
        c_t     = f * c_{t-1} + i * g                    [N]
        h_t     = o * tanh(c_t)                          [N]
        y_t     = h_t

    The gates see m instead of h_{t-1}: what leads from h to them is the matrix W_m diag(M_x x_t) M_h, another one
    for every input. `squashing="inside"` is the other form of the paper, g = W_x x_t + W_m m + b without tanh and
    h_t = tanh(o * c_t); "outside" that of its later code. The product with W_m needs m of this very step, so it
    stands in the update: the cell is not Pointwise. The state (h, c) is zero at the start.

    Initial values: as the authors' code, every matrix orthogonal, each gate on its own; 3 is added to the bias of f.
    `recurrent_init` draws M_h and W_m, `input_init` M_x and W_x. Their earlier code: "normal:0.02" and "normal:0.1".

    Elsewhere: none of torch, Keras, Flax, Haiku, Equinox.

    Source: Krause, Lu, Murray & Renals 2016 (arXiv:1609.07959), the section on multiplicative LSTM, with
    github.com/benkrause/mLSTM: chainer/mLSTMWN.py "outside", without its weight normalisation, matlab/mLSTMhutter.m
    "inside", where b of g stands in the last tanh.

    Cost: 10 N (D + N) flops a step.
    """

    inputs: int
    units: int
    squashing: str = "outside"
    forget_bias: float = 3.0
    forget_init: str = "constant"
    recurrent_init: str = "orthogonal"
    input_init: str = "orthogonal"
    bias_init: str = "zeros"

    def __post_init__(self):
        parts.check(self)
        one_of("LSTMMultiplicative.squashing", self.squashing, ("outside", "inside"))

    powers = ("factored",)
    outputs = property(parts.outputs)

    def init(self, key: Array) -> Params:
        key, key_x, key_h = jax.random.split(key, 3)
        w_x, w_m, b = parts.gates(self, key, 4, keeps=1, takes=0)
        m_x = initialisers.draw(self.input_init, key_x, (self.inputs, 1, self.units), b.dtype)
        m_h = initialisers.draw(self.recurrent_init, key_h, (self.units, 1, self.units), b.dtype)
        return Params(w_x, w_m, b, m_x, m_h)

    prepare = parts.prepare
    initial_state = zero_state

    def drive(self, weights: Params, x: Array) -> tuple[Array, Array]:
        """u = (W_x x + b, M_x x)    [4, N], [N]"""
        return parts.drive(self, weights, x), parts.product(x, weights.m_x)[0]

    def recur(self, weights: Params, state: State) -> Array:
        """v = M_h h    [N]"""
        return parts.product(state.h, weights.m_h)[0]

    def update(self, weights: Params, state: State, u, v) -> State:
        u, m_x = u
        i, f, g, o = u + parts.product(m_x * v, weights.w_m)
        if self.squashing == "inside":
            c = sigmoid(f) * state.c + sigmoid(i) * g
            return State(jnp.tanh(sigmoid(o) * c), c)
        c = sigmoid(f) * state.c + sigmoid(i) * jnp.tanh(g)
        return State(sigmoid(o) * jnp.tanh(c), c)

    readout = parts.readout
    step = parts.step
