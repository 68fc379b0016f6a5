"""Minimal gated units: a GRU and an LSTM whose gates see the input alone."""

from typing import NamedTuple

import jax
import jax.numpy as jnp
from jax import Array
from jax.nn import sigmoid

from rnnx.cells import initialisers, parts
from rnnx.cells.linear import affine
from rnnx.cells.memory import remember
from rnnx.cells.parts import softplus
from rnnx.types import cell, one_of


def positive(x: Array) -> Array:
    """g(x) = x + 1/2 for x >= 0, else sigmoid(x)."""
    return jnp.where(x >= 0, x + 0.5, sigmoid(x))


CANDIDATES = {"identity": lambda x: x, "positive": positive, "tanh": jnp.tanh}


class Params(NamedTuple):
    w_x: Array  # [D, 2, N], gate z and candidate; of the LSTM [D, 3, N], gates f, i and candidate
    b: Array  # [2, N], of the LSTM [3, N]


def step(params: Params, state: Array, x: Array, *, candidate: str = "identity") -> tuple[Array, Array]:
    """One step for `lax.scan`: `MinGRU.step` without a configuration. State h [N], x [D] -> (h, h)."""
    inputs, _, units = params.w_x.shape
    return MinGRU(inputs, units, candidate).step(params, state, x)


def _draw(cell, key: Array, count: int) -> tuple[Array, Array]:
    """(w_x, b) of `count` rows."""
    dtype = jnp.zeros(()).dtype
    key_x, key_b = jax.random.split(key)
    w_x = initialisers.draw(cell.input_init, key_x, (cell.inputs, count, cell.units), dtype)
    return w_x, initialisers.draw(cell.bias_init, key_b, (1, count, cell.units), dtype)[0]


@cell
class MinGRU:
    """Minimal gated recurrent unit: the gate and the candidate do not see the state.

        z   = sigmoid(W_x x_t + b)              [N]
        c   = g(W_x x_t + b)                    [N]
        h_t = (1 - z) * h_{t-1} + z * c         [N]
        y_t = h_t

    Each row has its own W_x and b, in the order z, c. h is a running mean of the candidates. `candidate` g is
    "identity"; "positive", g(x) = x + 1/2 for x >= 0 and sigmoid(x) below, which keeps h positive, as the paper's
    computation in logarithms needs; or "tanh", before the paper drops it. The state h is an array [N], zero at the
    start; the paper's parallel code starts at g(h_0) instead.

    Initial values: Glorot uniform row by row, biases zero; the paper leaves them to torch's defaults. 1 - z keeps the
    old state: `forget_bias` and `forget_init` ("constant", "chrono:T", "uniform_gate") draw the negative of z's bias.

    Elsewhere: none of torch, Keras, Flax, Haiku, Equinox.

    Source: Feng, Tung, Ahmed, Bengio & Hajimirsadeghi 2024 (arXiv:2410.01201), section 3 (minGRU), g in appendix B.

    Cost: 4 N D flops a step.
    """

    inputs: int
    units: int
    candidate: str = "identity"
    forget_bias: float = 0.0
    forget_init: str = "constant"
    input_init: str = "glorot_uniform"
    bias_init: str = "zeros"

    powers = ("factored", "pointwise", "affine")
    kind = "diagonal"

    def __post_init__(self):
        parts.check(self)
        one_of("MinGRU.candidate", self.candidate, CANDIDATES)

    outputs = property(parts.outputs)

    def init(self, key: Array) -> Params:
        key_x, key_f = jax.random.split(key)
        w_x, b = _draw(self, key_x, 2)
        return Params(w_x, b.at[0].set(-remember(self, key_f, -b, 0)[0]))

    prepare = parts.prepare
    initial_state = parts.initial_state

    def drive(self, weights: Params, x: Array) -> Array:
        """u = (1 - z, z * c)    [2, N]"""
        z, c = parts.drive(self, weights, x)
        return jnp.stack([sigmoid(-z), sigmoid(z) * CANDIDATES[self.candidate](c)])

    recur = affine.recur
    update = affine.update
    readout = parts.readout
    step = parts.step
    recurrent = affine.recurrent
    coefficients = affine.coefficients


@cell
class MinLSTM:
    """Minimal long short-term memory: the gates and the candidate do not see the state.

        f, i = sigmoid(W_x x_t + b)                             [N] each
        c    = g(W_x x_t + b)                                   [N]
        h_t  = f / (f + i) * h_{t-1} + i / (f + i) * c          [N]
        y_t  = h_t

    Each row has its own W_x and b, in the order f, i, c. With `normalise` off the two factors are f and i themselves.
    `candidate` g is as in `MinGRU`. The state h is an array [N], zero at the start.

    Initial values: Glorot uniform row by row, biases zero. `forget_bias` is added to the bias of f, `forget_init`
    draws it: "constant", "chrono:T" or "uniform_gate", the last two with b_i = -b_f.

    Elsewhere: none of torch, Keras, Flax, Haiku, Equinox.

    Source: Feng, Tung, Ahmed, Bengio & Hajimirsadeghi 2024 (arXiv:2410.01201), section 3 (minLSTM), g in appendix B.

    Cost: 6 N D flops a step.
    """

    inputs: int
    units: int
    candidate: str = "identity"
    normalise: bool = True
    forget_bias: float = 0.0
    forget_init: str = "constant"
    input_init: str = "glorot_uniform"
    bias_init: str = "zeros"

    powers = ("factored", "pointwise", "affine")
    kind = "diagonal"

    def __post_init__(self):
        parts.check(self)
        one_of("MinLSTM.candidate", self.candidate, CANDIDATES)

    outputs = property(parts.outputs)

    def init(self, key: Array) -> Params:
        key_x, key_f = jax.random.split(key)
        w_x, b = _draw(self, key_x, 3)
        return Params(w_x, remember(self, key_f, b, 0, 1))

    prepare = parts.prepare
    initial_state = parts.initial_state

    def drive(self, weights: Params, x: Array) -> Array:
        """u = (f, i * c), or normalised    [2, N]"""
        gates = parts.drive(self, weights, x)
        c = CANDIDATES[self.candidate](gates[2])
        if not self.normalise:
            f, i = sigmoid(gates[:2])
            return jnp.stack([f, i * c])
        f, i = -softplus(-gates[:2])  # log f and log i: their ratio is told where both vanish, too
        odds = f - i
        return jnp.stack([sigmoid(odds), sigmoid(-odds) * c])

    recur = affine.recur
    update = affine.update
    readout = parts.readout
    step = parts.step
    recurrent = affine.recurrent
    coefficients = affine.coefficients
