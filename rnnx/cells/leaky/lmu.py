"""The Legendre memory unit."""

import functools
import math
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jax import Array

from rnnx.cells import parts
from rnnx.cells.initialisers import draw
from rnnx.types import cell, one_of


class Params(NamedTuple):
    w_x: Array  # [D, 1, N]
    w_h: Array  # [N, 1, N]
    w_m: Array  # [d, N]
    e_x: Array  # [D]
    e_h: Array  # [N]
    e_m: Array  # [d]


class Weights(NamedTuple):
    params: Params
    a: Array  # [d, d], one row an output
    b: Array  # [d]


class State(NamedTuple):
    h: Array  # [N]
    m: Array  # [d], the window of u by its Legendre coefficients


def step(weights: Weights, state: State, x: Array) -> tuple[State, Array]:
    """One step for `lax.scan`: `LMU.step` without a configuration. x [D] -> (State(h, m), h).

    weights = LMU(...).prepare(params), once, outside the loop.
    """
    inputs, _, units = weights.params.w_x.shape
    return LMU(inputs, units).step(weights, state, x)


@cell
class LMU:
    """Legendre memory unit: a linear memory of the last theta steps of one signal u, and a tanh layer that reads it.

        u_t = e_x . x_t + e_h . h_{t-1} + e_m . m_{t-1}             a number
        m_t = A m_{t-1} + B u_t                                     [d]
        h_t = tanh(W_x x_t + W_h h_{t-1} + W_m m_t)                 [N]
        y_t = h_t

    theta m' = A m + B u with a_ij = (2 i + 1) (-1 if i < j else (-1)^(i-j+1)) and b_i = (2 i + 1) (-1)^i is the best
    rational approximation of order d to a delay: u(t - r theta) is nearly sum_i m_i P_i(2 r - 1) for 0 <= r <= 1, P_i
    the Legendre polynomials. A and B above are that for one step, and constant: `discretisation` "zoh" holds u over
    the step (exact), "euler" is I + A / theta and B / theta, which needs theta above 4 `order` or so. It is the LegT
    of HiPPO (Gu et al. 2020, arXiv:2008.07669) with another scale for each m_i.

    `order` is d, `theta` the window in steps: permuted MNIST had 256 and 784, with N = 212. One u: a window of several
    signals takes several cells. The state (h, m) is zero at the start.

    Initial values: e_x and e_h LeCun uniform, e_m zero, W_x, W_h and W_m Glorot normal. `legendre=True` starts W_m as
    the delays: unit n reads u(t - theta n / (N - 1)).

    Elsewhere: none of torch, Keras, Flax, Haiku, Equinox; keras-lmu, whose `LMUCell` has a free hidden cell.

    Source: Voelker, Kajic & Eliasmith 2019 (Advances in Neural Information Processing Systems 32, 15544-15553), eq.
    1-7; initial values from its section 3.

    Cost: 2 N (D + N + d) + 2 d^2 flops a step.
    """

    inputs: int
    units: int
    order: int = 16
    theta: float = 100.0
    discretisation: str = "zoh"
    legendre: bool = False
    recurrent_init: str = "glorot_normal"
    input_init: str = "glorot_normal"
    memory_init: str = "glorot_normal"
    encoder_init: str = "lecun_uniform"

    powers = ("factored",)

    def __post_init__(self):
        parts.check(self)
        one_of("LMU.discretisation", self.discretisation, ("zoh", "euler"))
        if self.order < 1:
            raise ValueError(f"LMU.order got {self.order}; write a whole number of at least 1")
        if self.theta <= 0:
            raise ValueError(f"LMU.theta got {self.theta}; write a window above 0 steps, such as 100")

    outputs = property(parts.outputs)

    def init(self, key: Array) -> Params:
        dtype = jnp.zeros(()).dtype
        inputs, units, order = self.inputs, self.units, self.order
        key_x, key_h, key_m, key_ex, key_eh = jax.random.split(key, 5)
        w_x = draw(self.input_init, key_x, (inputs, 1, units), dtype)
        w_h = draw(self.recurrent_init, key_h, (units, 1, units), dtype)
        w_m = draw(self.memory_init, key_m, (order, 1, units), dtype)[:, 0]
        if self.legendre:
            w_m = jnp.asarray(polynomials(order, np.linspace(0, 1, units)), dtype)
        e_x = draw(self.encoder_init, key_ex, (inputs, 1, 1), dtype)[:, 0, 0]
        e_h = draw(self.encoder_init, key_eh, (units, 1, 1), dtype)[:, 0, 0]
        return Params(w_x, w_h, w_m, e_x, e_h, jnp.zeros(order, dtype))

    @parts.widely
    def prepare(self, params: Params) -> Weights:
        a, b = delay(self.order, self.theta, self.discretisation)
        dtype = params.e_m.dtype
        return Weights(params, jnp.asarray(a, dtype), jnp.asarray(b, dtype))

    def initial_state(self, weights: Weights) -> State:
        return State(jnp.zeros_like(weights.params.e_h), jnp.zeros_like(weights.params.e_m))

    def drive(self, weights: Weights, x: Array) -> tuple[Array, Array]:
        """What x gives to h [1, N] and to u []"""
        return parts.product(x, weights.params.w_x), x @ weights.params.e_x

    def recur(self, weights: Weights, state: State) -> tuple[Array, Array, Array]:
        """What the state gives to h [1, N], to u [] and to m [d]"""
        (h, m), p = state, weights.params
        return parts.product(h, p.w_h), h @ p.e_h + m @ p.e_m, weights.a @ m

    def update(self, weights: Weights, state: State, u, v) -> State:
        del state
        ((uh,), ux), ((vh,), vx, vm) = u, v
        m = vm + weights.b * (ux + vx)
        return State(jnp.tanh(uh + vh + m @ weights.params.w_m), m)

    readout = parts.readout
    step = parts.step


def polynomials(order: int, r: np.ndarray) -> np.ndarray:
    """P_i(2 r - 1) for i below `order`: the weights [d, len(r)] that read u(t - r theta) off m."""
    return np.polynomial.legendre.legvander(2 * r - 1, order - 1).T


@functools.cache
def delay(order: int, theta: float, discretisation: str = "zoh") -> tuple[np.ndarray, np.ndarray]:
    """(A [d, d], B [d]) of the memory for one step of a window of theta steps."""
    i, j = np.indices((order, order))
    a = (2 * i + 1) * np.where(i < j, -1.0, (-1.0) ** (i - j + 1)) / theta
    b = (2 * i[:, :1] + 1) * (-1.0) ** i[:, :1] / theta
    if discretisation == "euler":
        return np.eye(order) + a, b[:, 0]
    # u is constant over the step: d/dt (m, u) = ((a, b), (0, 0)) (m, u), solved exactly
    both = exponential(np.block([[a, b], [np.zeros((1, order + 1))]]))
    return both[:order, :order], both[:order, order]


def exponential(a: np.ndarray) -> np.ndarray:
    """e^a = (e^(a / 2^k))^(2^k): the series for a norm below 1/2, then squared k times."""
    k = max(0, 2 + math.floor(math.log2(np.linalg.norm(a, 1))))
    term = total = np.eye(len(a))
    for n in range(1, 20):
        term = term @ (a / 2**k) / n
        total = total + term
    for _ in range(k):
        total = total @ total
    return total
