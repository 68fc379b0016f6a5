"""The matrix-memory cell of xLSTM."""

import math
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jax import Array
from jax.nn import sigmoid

from rnnx.cells import initialisers, parts
from rnnx.cells.memory import remember
from rnnx.cells.parts import LOG_FORGET, check_heads
from rnnx.types import cell, one_of


class Params(NamedTuple):
    w_x: Array  # [D, 2, N], what is written: k, v
    b: Array  # [2, N]
    w_g: Array  # [D, 2, H], gates i, f
    b_g: Array  # [2, H]
    w_y: Array  # [D, 2, N], what reads: q, o
    b_y: Array  # [2, N]


class State(NamedTuple):
    c: Array  # [H, d, d], values by keys
    n: Array  # [H, d]
    m: Array  # [H]


def step(params: Params, state: State, x: Array, *, forget_gate: str = "sigmoid") -> tuple[State, Array]:
    """One step for `lax.scan`: `MLSTM.step` without a configuration. x [D] -> (State(c, n, m), y [N])."""
    inputs, _, units = params.w_x.shape
    return MLSTM(inputs, units, params.b_g.shape[1], forget_gate).step(params, state, x)


@cell
class MLSTM:
    """The mLSTM of xLSTM: a matrix of values by keys, written under an exponential gate. No recurrent weights.

        q, v = W x_t + b                                        [H, d] each, d = N / H
        k    = W x_t / sqrt(d) + b                              [H, d]
        o    = sigmoid(W x_t + b)                               [N]
        i    = exp(i~), i~ = W x_t + b                          [H]
        f    = sigmoid(f~) or exp(f~), f~ likewise              [H]
        m_t  = max(log f + m_{t-1}, i~)                         [H]
        C_t  = (f C_{t-1} e^{m_{t-1}} + i v k^T) e^{-m_t}       [H, d, d]
        n_t  = (f n_{t-1} e^{m_{t-1}} + i k) e^{-m_t}           [H, d]
        y_t  = o * C_t q / max(|n_t . q|, e^{-m_t})             [N]

    Without m these are the plain equations, y = o * C q / max(|n . q|, 1): m changes no y and only keeps the
    exponentials from overflowing. `heads` is H and must divide `units`; `forget_gate` is "sigmoid" or
    "exponential". The state (C, n, m) is zero at the start; q and o of the output are of this step.

    Initial values: W of both gates `gate_init` (zero), b of i drawn by `input_bias_init` (N(0, 0.1^2)), b of f rising
    from `forget_bias` in the first head by `forget_spread` (3) to the last, as in the authors' code; "chrono:T" and
    "uniform_gate" of `forget_init` replace it. The other W Glorot uniform, their b zero.

    Elsewhere: none of torch, Keras, Flax, Haiku, Equinox.

    Source: Beck et al. 2024 (arXiv:2405.04517), eq. 15-17 and 19-27; e^{-m} of the last line eq. 77 and 84. Their
    code adds 1e-6 to the divisor and lets the gates see (q, k, v) for x.

    Cost: 8 N D + 5 N d flops a step.
    """

    inputs: int
    units: int
    heads: int = 1
    forget_gate: str = "sigmoid"
    forget_bias: float = 3.0
    forget_spread: float = 3.0
    forget_init: str = "constant"
    input_init: str = "glorot_uniform"
    bias_init: str = "zeros"
    gate_init: str = "zeros"
    input_bias_init: str = "normal:0.1"

    powers = ("factored",)

    def __post_init__(self):
        parts.check(self)
        check_heads(self)
        one_of("MLSTM.forget_gate", self.forget_gate, LOG_FORGET)

    outputs = property(parts.outputs)

    def init(self, key: Array) -> Params:
        keys = dict(zip(("x", "b", "g", "i", "f", "y", "by"), jax.random.split(key, 7), strict=True))
        dtype = jnp.zeros(()).dtype
        spread = jnp.asarray(self.forget_spread * np.linspace(0, 1, self.heads), dtype)
        b_i = initialisers.draw(self.input_bias_init, keys["i"], (1, 1, self.heads), dtype)[0, 0]
        return Params(
            w_x=initialisers.draw(self.input_init, keys["x"], (self.inputs, 2, self.units), dtype),
            b=initialisers.draw(self.bias_init, keys["b"], (1, 2, self.units), dtype)[0],
            w_g=initialisers.draw(self.gate_init, keys["g"], (self.inputs, 2, self.heads), dtype),
            b_g=remember(self, keys["f"], jnp.stack([b_i, spread]), keeps=1),
            w_y=initialisers.draw(self.input_init, keys["y"], (self.inputs, 2, self.units), dtype),
            b_y=initialisers.draw(self.bias_init, keys["by"], (1, 2, self.units), dtype)[0],
        )

    prepare = parts.prepare

    def initial_state(self, weights: Params) -> State:
        n = jnp.zeros_like(weights.b[0]).reshape(self.heads, -1)
        return State(n[:, :, None] * n[:, None], n, n[:, 0])

    def drive(self, weights: Params, x: Array) -> tuple[Array, Array]:
        """(k, v) [2, H, d] and (i~, f~) [2, H]"""
        k, v = parts.product(x, weights.w_x).reshape(2, self.heads, -1)
        b_k, b_v = weights.b.reshape(2, self.heads, -1)
        k = k * (1 / math.sqrt(self.units // self.heads)) + b_k
        return jnp.stack([k, v + b_v]), parts.product(x, weights.w_g) + weights.b_g

    def recur(self, weights: Params, state: State) -> tuple[()]:
        """Nothing: no weight multiplies the state."""
        del weights, state
        return ()

    def update(self, weights: Params, state: State, u, v) -> State:
        del weights, v
        (k, v), (log_i, uf) = u
        kept = LOG_FORGET[self.forget_gate](uf) + state.m
        m = jnp.maximum(kept, log_i)
        i = jnp.exp(log_i - m)
        f = jnp.exp(kept - m)
        c = f[:, None, None] * state.c + (i[:, None] * v)[:, :, None] * k[:, None]
        n = f[:, None] * state.n + i[:, None] * k
        return State(c, n, m)

    def readout(self, weights: Params, state: State, x: Array) -> Array:
        q, o = parts.product(x, weights.w_y) + weights.b_y
        q = q.reshape(self.heads, -1)
        scale = jnp.maximum(jnp.abs(jnp.sum(state.n * q, 1)), jnp.exp(-state.m))
        h = jnp.einsum("hvk,hk->hv", state.c, q) / scale[:, None]
        return sigmoid(o) * h.reshape(-1)

    step = parts.step
