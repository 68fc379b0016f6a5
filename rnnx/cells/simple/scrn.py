"""The structurally constrained recurrent network."""

from typing import NamedTuple

import jax
import jax.numpy as jnp
from jax import Array
from jax.nn import sigmoid

from rnnx.cells import initialisers, parts
from rnnx.types import cell


class Params(NamedTuple):
    w_x: Array  # [D, 1, N], A: input to hidden
    w_h: Array  # [N, 1, N], R: hidden to hidden
    w_c: Array  # [D, 1, M], B: input to context
    w_s: Array  # [M, 1, N], P: context to hidden
    beta: Array | None  # [M], of alpha; None where it is fixed


class Weights(NamedTuple):
    w_x: Array  # [D, 1, N]
    w_h: Array  # [N, 1, N]
    w_c: Array  # [D, 1, M]
    w_s: Array  # [M, 1, N]
    alpha: Array  # [M]


class State(NamedTuple):
    h: Array  # [N]
    s: Array  # [M]


def step(weights: Weights, state: State, x: Array) -> tuple[State, Array]:
    """One step for `lax.scan`: `SCRN.step` without a configuration. x [D] -> (State(h, s), y [N + M]).

    weights = SCRN(...).prepare(params), once, outside the loop.
    """
    inputs, _, units = weights.w_x.shape
    return SCRN(inputs, units, weights.alpha.shape[0]).step(weights, state, x)


@cell
class SCRN:
    """Structurally constrained recurrent network: beside the hidden units, context units that change slowly.

        s_t = (1 - alpha) * B x_t + alpha * s_{t-1}             [M]
        h_t = sigmoid(P s_t + A x_t + R h_{t-1})                [N]
        y_t = (h_t, s_t)                                        [N + M]

    The M = `context` units are linear and have no connections among themselves: part of the recurrent matrix is
    alpha times the identity. `alpha` is one fixed number; with `adaptive` each unit learns its own, a sigmoid of its
    parameter beta. There are no biases. The output holds both, because the paper reads out both (a linear readout
    of y is its U h_t + V s_t). The authors' code has P s_{t-1} for the paper's P s_t. The state (h, s) is zero at the
    start.

    Initial values: all four matrices N(0, 0.05^2), as in the authors' code. beta starts at logit(`alpha`).

    Elsewhere: none of torch, Keras, Flax, Haiku, Equinox.

    Source: Mikolov, Joulin, Chopra, Mathieu & Ranzato 2014 (arXiv:1412.7753), eq. 4-6, and its section on learned
    self-recurrent weights for `adaptive`; initial values: github.com/facebookarchive/SCRNNs, util.lua.

    Cost: 2 N (D + N + M) + 2 M D flops a step.
    """

    inputs: int
    units: int
    context: int = 10
    alpha: float = 0.95
    adaptive: bool = False
    recurrent_init: str = "normal:0.05"
    input_init: str = "normal:0.05"

    powers = ("factored",)

    def __post_init__(self):
        parts.check(self)
        if self.context < 1:
            raise ValueError(f"SCRN.context got {self.context}; write a number of context units of at least 1")
        if not 0 < self.alpha < 1:
            raise ValueError(f"SCRN.alpha got {self.alpha}; write a number between 0 and 1, both excluded")

    @property
    def outputs(self) -> int:
        return self.units + self.context

    def init(self, key: Array) -> Params:
        dtype = jnp.zeros(()).dtype
        key_x, key_h, key_c, key_s = jax.random.split(key, 4)
        alpha = jnp.full(self.context, self.alpha, dtype)
        return Params(
            initialisers.draw(self.input_init, key_x, (self.inputs, 1, self.units), dtype),
            initialisers.draw(self.recurrent_init, key_h, (self.units, 1, self.units), dtype),
            initialisers.draw(self.input_init, key_c, (self.inputs, 1, self.context), dtype),
            initialisers.draw(self.recurrent_init, key_s, (self.context, 1, self.units), dtype),
            jnp.log(alpha) - jnp.log1p(-alpha) if self.adaptive else None,
        )

    def prepare(self, params: Params) -> Weights:
        if params.beta is None:
            alpha = jnp.full(params.w_s.shape[0], self.alpha, params.w_s.dtype)
        else:
            alpha = sigmoid(params.beta)
        return Weights(params.w_x, params.w_h, params.w_c, params.w_s, alpha)

    def initial_state(self, weights: Weights) -> State:
        return State(jnp.zeros_like(weights.w_h[0, 0]), jnp.zeros_like(weights.alpha))

    def drive(self, weights: Weights, x: Array) -> tuple[Array, Array]:
        """A x and (1 - alpha) * B x    [N] and [M]"""
        (a,), (b,) = parts.product(x, weights.w_x), parts.product(x, weights.w_c)
        return a, (1 - weights.alpha) * b

    recur = parts.recur

    def update(self, weights: Weights, state: State, u, v) -> State:
        a, b = u
        (v,) = v
        s = b + weights.alpha * state.s
        h = sigmoid(parts.product(s, weights.w_s)[0] + a + v)
        return State(h, s)

    def readout(self, weights: Weights, state: State, x: Array) -> Array:
        """y = (h, s)"""
        return jnp.concatenate([state.h, state.s])

    step = parts.step
