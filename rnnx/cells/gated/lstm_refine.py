"""Long short-term memory with a gate that refines its forget gate."""

from typing import NamedTuple

import jax.numpy as jnp
from jax import Array
from jax.nn import sigmoid

from rnnx.cells import parts
from rnnx.cells.gated.lstm import State, zero_state
from rnnx.types import cell


class Params(NamedTuple):
    w_x: Array  # [D, 4, N], gates f, r, o and what enters the cell
    w_h: Array  # [N, 4, N]
    b: Array  # [4, N]


def step(params: Params, state: State, x: Array) -> tuple[State, Array]:
    """One step for `lax.scan`: `LSTMRefine.step` without a configuration. x [D] -> (State(h, c), h)."""
    inputs, _, units = params.w_x.shape
    return LSTMRefine(inputs, units).step(params, state, x)


@cell
class LSTMRefine:
    """Long short-term memory with uniform gate initialisation and a refine gate (UR-LSTM).

        f, r, o = sigmoid(W_x x_t + W_h h_{t-1} + b)         [N] each
        a       = tanh(W_x x_t + W_h h_{t-1} + b)            [N]
        g       = r * (1 - (1 - f)^2) + (1 - r) * f^2        [N]
        c_t     = g * c_{t-1} + (1 - g) * a                  [N]
        h_t     = o * tanh(c_t)                              [N]
        y_t     = h_t

    The forget gate in force is g: the refine gate r moves it between f^2 and 1 - (1 - f)^2, and r = 1/2 leaves f. So
    g comes near 1 while f is far from where a sigmoid is flat. The input gate is tied to it. The rows of W_x, W_h and b
    are in the order f, r, o, a. The state (h, c) is zero at the start.

    Initial values: Glorot uniform gate by gate; "uniform_gate" draws f at rest from U(1/N, 1 - 1/N), and the bias of
    r is the negative of that of f. The paper adds one vector b_f to f and takes the same from r; here they are two
    rows, free to part. `forget_bias` is for `forget_init="constant"`, and f alone.

    Elsewhere: none of torch, Keras, Flax, Haiku, Equinox.

    Source: Gu, Gulcehre, Paine, Hoffman & Pascanu 2020 (arXiv:1910.09890), section 3, uniform gate initialisation and
    refine gate, and the pseudo-code of the UR-LSTM.

    Cost: 8 N (D + N) flops a step.
    """

    inputs: int
    units: int
    forget_bias: float = 0.0
    forget_init: str = "uniform_gate"
    recurrent_init: str = "glorot_uniform"
    input_init: str = "glorot_uniform"
    bias_init: str = "zeros"

    powers = ("factored", "pointwise")
    __post_init__ = parts.check
    outputs = property(parts.outputs)

    def init(self, key: Array) -> Params:
        return Params(*parts.gates(self, key, 4, keeps=0, takes=1))

    prepare = parts.prepare
    initial_state = zero_state
    drive = parts.drive
    recur = parts.recur

    def update(self, weights: Params, state: State, u, v) -> State:
        del weights
        uf, ur, uo, ua = u
        vf, vr, vo, va = v
        f = sigmoid(uf + vf)
        r = sigmoid(ur + vr)
        o = sigmoid(uo + vo)
        a = jnp.tanh(ua + va)
        g = r * (1 - (1 - f) ** 2) + (1 - r) * f**2
        c = g * state.c + (1 - g) * a
        return State(o * jnp.tanh(c), c)

    readout = parts.readout
    step = parts.step
    recurrent = parts.recurrent
