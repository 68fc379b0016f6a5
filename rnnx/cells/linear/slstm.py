"""The scalar-memory cell of xLSTM: an LSTM with exponential gates."""

from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jax import Array
from jax.nn import sigmoid

from rnnx.cells import initialisers, parts
from rnnx.cells.memory import remember
from rnnx.cells.parts import LOG_FORGET, check_heads
from rnnx.types import Recurrent, cell, one_of


class Params(NamedTuple):
    w_x: Array  # [D, 4, N], gates i, f, z, o
    w_h: Array  # [H, n, 4, n], n = N / H
    b: Array  # [4, N]


class State(NamedTuple):
    h: Array  # [N]
    c: Array  # [N]
    n: Array  # [N]
    m: Array  # [N]


def step(params: Params, state: State, x: Array, *, forget_gate: str = "sigmoid") -> tuple[State, Array]:
    """One step for `lax.scan`: `SLSTM.step` without a configuration. x [D] -> (State(h, c, n, m), h)."""
    inputs, _, units = params.w_x.shape
    return SLSTM(inputs, units, params.w_h.shape[0], forget_gate).step(params, state, x)


@cell
class SLSTM:
    """The sLSTM of xLSTM: exponential input gate, normaliser, stabiliser, and memory mixing within heads.

        z    = tanh(W_x x_t + R h_{t-1} + b)                    [N]
        o    = sigmoid(W_x x_t + R h_{t-1} + b)                 [N]
        i    = exp(i~), i~ = W_x x_t + R h_{t-1} + b            [N]
        f    = sigmoid(f~) or exp(f~), f~ likewise              [N]
        m_t  = max(log f + m_{t-1}, i~)                         [N]
        c_t  = (f c_{t-1} e^{m_{t-1}} + i z) e^{-m_t}           [N]
        n_t  = (f n_{t-1} e^{m_{t-1}} + i) e^{-m_t}             [N]
        h_t  = o * c_t / n_t                                    [N]
        y_t  = h_t

    Without m these are the plain equations: m changes no h and only keeps the exponentials from overflowing. R holds
    `heads` blocks on its diagonal, so that only units of one head see each other; `heads` must divide `units`.
    `forget_gate` is "sigmoid" or "exponential". The state (h, c, n, m) is zero at the start, where n = 0 says that
    nothing is stored: the first m is i~, whatever f is.

    Initial values: those of the authors' code: R = 0 and b = 0, but for the forget gate, whose units j = 0, ..., n - 1
    of each head get `forget_bias` - `forget_spread` (j / (n - 1))^`forget_power`: 5, 12 and 0.3 for the first block of
    a network, 1.6 for the power in the last; (3, -3, 1) are their `small_init`. "chrono:T" and "uniform_gate" of
    `forget_init` replace them all. W_x Glorot uniform; the authors draw it from N(0, 2 / (5 D)), in blocks.

    Elsewhere: none of torch, Keras, Flax, Haiku, Equinox.

    Source: Beck et al. 2024 (arXiv:2405.04517), eq. 8-17 and 34-40; the first step as in the authors' code.

    Cost: 8 N (D + N / H) flops a step.
    """

    inputs: int
    units: int
    heads: int = 1
    forget_gate: str = "sigmoid"
    forget_bias: float = 5.0
    forget_spread: float = 12.0
    forget_power: float = 0.3
    forget_init: str = "constant"
    recurrent_init: str = "zeros"
    input_init: str = "glorot_uniform"
    bias_init: str = "zeros"

    powers = ("factored", "pointwise")

    def __post_init__(self):
        parts.check(self)
        check_heads(self)
        one_of("SLSTM.forget_gate", self.forget_gate, LOG_FORGET)
        if self.forget_power <= 0:
            raise ValueError(f"SLSTM.forget_power got {self.forget_power}; write a number above 0")

    outputs = property(parts.outputs)

    def init(self, key: Array) -> Params:
        n = self.units // self.heads
        dtype = jnp.zeros(()).dtype
        key_x, key_h, key_b, key_f = jax.random.split(key, 4)
        spread = np.tile(self.forget_spread * np.linspace(0, 1, n) ** self.forget_power, self.heads)
        b = initialisers.draw(self.bias_init, key_b, (1, 4, self.units), dtype)[0]
        return Params(
            w_x=initialisers.draw(self.input_init, key_x, (self.inputs, 4, self.units), dtype),
            w_h=jnp.stack(
                [
                    initialisers.draw(self.recurrent_init, k, (n, 4, n), dtype)
                    for k in jax.random.split(key_h, self.heads)
                ]
            ),
            b=remember(self, key_f, b.at[1].add(-jnp.asarray(spread, dtype)), keeps=1),
        )

    prepare = parts.prepare

    def initial_state(self, weights: Params) -> State:
        zero = jnp.zeros_like(weights.b[0])
        return State(zero, zero, zero, zero)

    drive = parts.drive

    def recur(self, weights: Params, state: State) -> Array:
        """v = R h    [4, N]"""
        h = state.h.reshape(self.heads, -1)
        return jnp.einsum("hm,hmgn->ghn", h, weights.w_h).reshape(4, self.units)

    def update(self, weights: Params, state: State, u, v) -> State:
        del weights
        ui, uf, uz, uo = u
        vi, vf, vz, vo = v
        log_i = ui + vi
        # What was stored, in logarithms. At the start that is nothing, and m is free to follow i alone.
        kept = jnp.where(state.n == 0, log_i, LOG_FORGET[self.forget_gate](uf + vf) + state.m)
        m = jnp.maximum(kept, log_i)
        i = jnp.exp(log_i - m)
        f = jnp.exp(kept - m)
        c = f * state.c + i * jnp.tanh(uz + vz)
        n = f * state.n + i  # at least 1: one of i and f is
        return State(sigmoid(uo + vo) * (c / n), c, n, m)

    readout = parts.readout
    step = parts.step

    def recurrent(self, weights: Params) -> Recurrent:
        """R multiplies h."""
        if self.heads == 1:
            return Recurrent("dense", weights.w_h[0], (0,))
        return Recurrent("heads", weights.w_h, (0,))
