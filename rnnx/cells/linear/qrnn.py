"""The quasi-recurrent network."""

from typing import NamedTuple

import jax
import jax.numpy as jnp
from jax import Array
from jax.nn import sigmoid

from rnnx.cells import initialisers, parts
from rnnx.cells.linear import affine
from rnnx.cells.memory import remember
from rnnx.types import cell, one_of

GATES = {"f": 1, "fo": 2, "ifo": 3}


class Params(NamedTuple):
    w_x: Array  # [k D, G, N], oldest input first; candidate z and gates f, i, o
    b: Array  # [G, N]


class Weights(NamedTuple):
    w_x: Array  # [D, G, N], of the newest input; without the gate o where the window is 1
    b: Array  # [G, N]
    w_old: Array | None  # [(k - 1) D, G, N], of the inputs before it
    w_o: Array | None  # [D, 1, N], the gate o, where the window is 1
    b_o: Array | None  # [1, N]


class State(NamedTuple):
    h: Array  # [N]
    c: Array  # [N]
    xs: Array  # [k - 1, D], oldest first


def step(weights: Weights, state: Array, x: Array, *, pooling: str = "fo", window: int = 1) -> tuple[Array, Array]:
    """One step for `lax.scan`; weights = QRNN(...).prepare(params), once, outside the loop. State c [N] -> (c, h)."""
    inputs, _, units = weights.w_x.shape
    return QRNN(inputs, units, pooling, window).step(weights, state, x)


@cell
class QRNN:
    """Quasi-recurrent network: gates from a window of inputs, and a running mean of them.

        z       = tanh(W_x [x_{t-k+1}, ..., x_t] + b)           [N]
        f, i, o = sigmoid(W_x [x_{t-k+1}, ..., x_t] + b)        [N] each
        c_t     = f * c_{t-1} + i * z                           [N]
        y_t     = o * c_t                                       [N]

    Each row has its own W_x and b, in the order z, f, i, o. `pooling` "f" has i = 1 - f and o = 1, "fo" has i = 1 - f
    and "ifo" all three gates. The `window` k is the width of the paper's convolution. The state c is an array [N] and
    the cell affine while the window is 1; a wider one carries (y, c, the k - 1 inputs before this one). Zero at the
    start, the inputs too.

    Initial values: Glorot uniform row by row, biases zero; the authors' code leaves them to torch's defaults.
    `forget_bias` is added to the bias of f, `forget_init` draws it: "constant", "chrono:T" or "uniform_gate", the last
    two with b_i = -b_f where there is an i.

    Elsewhere: none of torch, Keras, Flax, Haiku, Equinox.

    Source: Bradbury, Merity, Xiong & Socher 2017 (arXiv:1611.01576), section 2: the convolutions and f-, fo- and
    ifo-pooling; the biases are those of the authors' code.

    Cost: 2 k (G + 1) N D flops a step, for G gates.
    """

    inputs: int
    units: int
    pooling: str = "fo"
    window: int = 1
    forget_bias: float = 0.0
    forget_init: str = "constant"
    input_init: str = "glorot_uniform"
    bias_init: str = "zeros"

    kind = "diagonal"

    def __post_init__(self):
        parts.check(self)
        one_of("QRNN.pooling", self.pooling, GATES)
        if self.window < 1:
            raise ValueError(f"QRNN.window got {self.window}; write a whole number of at least 1")

    outputs = property(parts.outputs)

    @property
    def powers(self) -> tuple[str, ...]:
        return ("factored",) if self.window > 1 else ("factored", "pointwise", "affine")

    def init(self, key: Array) -> Params:
        dtype = jnp.zeros(()).dtype
        rows = 1 + GATES[self.pooling]
        key_x, key_b, key_f = jax.random.split(key, 3)
        w_x = initialisers.draw(self.input_init, key_x, (self.window * self.inputs, rows, self.units), dtype)
        b = initialisers.draw(self.bias_init, key_b, (1, rows, self.units), dtype)[0]
        return Params(w_x, remember(self, key_f, b, 1, 2 if self.pooling == "ifo" else None))

    def prepare(self, params: Params) -> Weights:
        old, new = params.w_x[: -self.inputs], params.w_x[-self.inputs :]
        if self.window > 1:
            return Weights(new, params.b, old, None, None)
        if self.pooling == "f":
            return Weights(new, params.b, None, None, None)
        return Weights(new[:, :-1], params.b[:-1], None, new[:, -1:], params.b[-1:])

    def initial_state(self, weights: Weights) -> Array | State:
        zero = jnp.zeros_like(weights.b[0])
        if self.window == 1:
            return zero
        return State(zero, zero, jnp.zeros((self.window - 1, self.inputs), zero.dtype))

    def drive(self, weights: Weights, x: Array):
        """u = (f, i * z)    [2, N]; with a wider window x and its part of the gates"""
        u = parts.drive(self, weights, x)
        return (x, u) if self.window > 1 else jnp.stack(self._pooled(u))

    def recur(self, weights: Weights, state) -> Array:
        """v = c    [1, N]; with a wider window the part of the older inputs [G, N]"""
        if weights.w_old is None:
            return affine.recur(self, weights, state)
        return parts.product(state.xs.reshape(-1), weights.w_old)

    def update(self, weights: Weights, state, u, v):
        if self.window == 1:
            return affine.update(self, weights, state, u, v)
        x, u = u
        f, z = self._pooled(u + v)
        c = f * state.c + z
        h = c if self.pooling == "f" else sigmoid(u[-1] + v[-1]) * c
        return State(h, c, jnp.concatenate([state.xs[1:], x[None]]))

    def readout(self, weights: Weights, state, x: Array) -> Array:
        if self.window > 1:
            return state.h
        if weights.w_o is None or weights.b_o is None:
            return state
        return sigmoid(parts.product(x, weights.w_o)[0] + weights.b_o[0]) * state

    step = parts.step
    recurrent = affine.recurrent
    coefficients = affine.coefficients

    def _pooled(self, gates: Array) -> tuple[Array, Array]:
        """(f, i * z)    [N] each"""
        z, f = jnp.tanh(gates[0]), sigmoid(gates[1])
        return f, (sigmoid(gates[2]) if self.pooling == "ifo" else 1 - f) * z
