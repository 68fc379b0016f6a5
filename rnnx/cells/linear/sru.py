"""The simple recurrent unit."""

import math
from typing import NamedTuple

import jax
import jax.numpy as jnp
from jax import Array
from jax.nn import sigmoid

from rnnx.cells import initialisers, parts
from rnnx.cells.linear import affine
from rnnx.cells.memory import remember
from rnnx.types import Recurrent, cell, one_of

NONLINEARITIES = {"identity": lambda x: x, "tanh": jnp.tanh, "relu": parts.relu}


class Params(NamedTuple):
    w_x: Array  # [D, 2, N], candidate and gate f
    b: Array  # [1, N], of f
    w_y: Array  # [D, 1, N], gate r; [D, 2, N] with the skip where D is not N
    b_y: Array  # [1, N], of r
    v: Array | None  # [2, N], of f and r, for `peephole`


class State(NamedTuple):
    h: Array  # [N]
    c: Array  # [N]


def step(params: Params, state: Array, x: Array, *, nonlinearity: str = "identity") -> tuple[Array, Array]:
    """One step for `lax.scan`: `SRU.step` without a configuration. State c [N], x [D] -> (c, h)."""
    inputs, _, units = params.w_x.shape
    return SRU(inputs, units, params.v is not None, nonlinearity).step(params, state, x)


@cell
class SRU:
    """Simple recurrent unit.

        f   = sigmoid(W_x x_t + b)                                          [N]
        c_t = f * c_{t-1} + (1 - f) * W_x x_t                               [N]
        r   = sigmoid(W_y x_t + b_y)                                        [N]
        y_t = r * g(c_t) + (1 - r) * s,    s = alpha x_t or W_y x_t         [N]

    This is the paper's first version, whose gates see the input alone. With `peephole` it is the later one: f takes
    v_f * c_{t-1} and r takes v_r * c_{t-1} inside the sigmoid, and the cell is not affine. The candidate and f have
    their own rows of W_x. `highway` adds the skip s: the input times alpha = sqrt(1 + 2 exp(`highway_bias`)), or 1
    without `rescale`; where inputs differ from units it is a linear map, as in the authors' code. `nonlinearity` g is
    identity, tanh (the first version) or relu. The state c is an array [N], with `peephole` the pair (h, c) since r
    cannot be told from c_t; zero at the start.

    Initial values: every matrix LeCun uniform, variance 1 / D; biases zero, `highway_bias` added to r's, alpha
    multiplied to the skip's matrix. `peephole` draws v with variance 1/2 and divides the variance of both gates'
    matrices by 2. `forget_bias` is added to the bias of f, `forget_init` draws it.

    Elsewhere: none of torch, Keras, Flax, Haiku, Equinox.

    Source: Lei, Zhang, Wang, Dai & Artzi 2018 (arXiv:1709.02755), eq. 1-4 and its section on initialisation, with the
    authors' code; version 1 of 2017 without v.

    Cost: 6 N D flops a step, 8 N D with a linear skip.
    """

    inputs: int
    units: int
    peephole: bool = False
    nonlinearity: str = "identity"
    highway: bool = True
    rescale: bool = True
    highway_bias: float = 0.0
    forget_bias: float = 0.0
    forget_init: str = "constant"
    input_init: str = "lecun_uniform"
    bias_init: str = "zeros"

    kind = "diagonal"

    def __post_init__(self):
        parts.check(self)
        one_of("SRU.nonlinearity", self.nonlinearity, NONLINEARITIES)

    outputs = property(parts.outputs)

    @property
    def powers(self) -> tuple[str, ...]:
        return ("factored", "pointwise") + (() if self.peephole else ("affine",))

    @property
    def alpha(self) -> float:
        """What the skip is multiplied with, so that y starts with the variance of x."""
        return math.sqrt(1 + 2 * math.exp(self.highway_bias)) if self.rescale else 1.0

    def init(self, key: Array) -> Params:
        dtype = jnp.zeros(()).dtype
        key_x, key_b, key_f, key_v = jax.random.split(key, 4)
        mapped = self.highway and self.inputs != self.units
        w = initialisers.draw(self.input_init, key_x, (self.inputs, 4 if mapped else 3, self.units), dtype)
        b = initialisers.draw(self.bias_init, key_b, (1, 2, self.units), dtype)[0]
        v = None
        if self.peephole:
            v = initialisers.uniform(key_v, (1, 2, self.units), dtype, math.sqrt(3 / 2))[0]
            w = w.at[:, 1:3].multiply(math.sqrt(1 / 2))
        if mapped:
            w = w.at[:, 3].multiply(self.alpha)
        return Params(w[:, :2], remember(self, key_f, b[:1], 0), w[:, 2:], b[1:] + self.highway_bias, v)

    prepare = parts.prepare

    def initial_state(self, weights: Params) -> Array | State:
        zero = jnp.zeros_like(weights.b[0])
        return State(zero, zero) if self.peephole else zero

    def drive(self, weights: Params, x: Array) -> Array:
        """u = (f, (1 - f) * W_x x)    [2, N]; with peephole the candidate, f, r before the sigmoid, and s"""
        c, f = parts.product(x, weights.w_x)
        f = f + weights.b[0]
        if self.peephole:
            return jnp.stack([c, f, *self._output(weights, x)])
        return jnp.stack([sigmoid(f), sigmoid(-f) * c])

    def recur(self, weights: Params, state) -> Array:
        """v = c, with peephole v * c    [1, N] or [2, N]"""
        return weights.v * state.c[None] if self.peephole else state[None]

    def update(self, weights: Params, state, u, v):
        if not self.peephole:
            return affine.update(self, weights, state, u, v)
        candidate, uf, ur, *s = u
        vf, vr = v
        f = sigmoid(uf + vf)
        c = f * state.c + (1 - f) * candidate
        return State(self._mixed(c, sigmoid(ur + vr), s), c)

    def readout(self, weights: Params, state, x: Array) -> Array:
        if self.peephole:
            return state.h
        r, *s = self._output(weights, x)
        return self._mixed(state, sigmoid(r), s)

    step = parts.step

    def recurrent(self, weights: Params) -> Recurrent:
        if weights.v is not None:
            return Recurrent("diagonal", weights.v, (1,))
        return affine.recurrent(self, weights)

    coefficients = affine.coefficients

    def _output(self, weights: Params, x: Array) -> list[Array]:
        """r before the sigmoid and, with highway, s    [N] each"""
        r, *s = parts.product(x, weights.w_y)
        r = r + weights.b_y[0]
        return [r, *s] if s or not self.highway else [r, self.alpha * x]

    def _mixed(self, c: Array, r: Array, s: list[Array]) -> Array:
        c = NONLINEARITIES[self.nonlinearity](c)
        return r * c + (1 - r) * s[0] if s else r * c
