"""The diagonal state space model with one input and one output a channel."""

import math
from typing import NamedTuple

import jax
import jax.numpy as jnp
from jax import Array

from rnnx.cells import initialisers, parts
from rnnx.cells.linear import affine
from rnnx.cells.linear.affine import Pair
from rnnx.cells.timesteps import check_steps, draw_log_steps
from rnnx.types import Timed, apply, cell, one_of

# How the real part of a pole is kept below 0: the map, and the parameter that gives 1/2 times a number.
REAL_PARTS = {
    "exp": (jnp.exp, jnp.log),
    "relu": (parts.relu, lambda x: x),
    "none": (lambda x: x, lambda x: x),
}


def poles(name: str, kept: int) -> tuple[Array, Array]:
    """(-real, imaginary) parts of the poles that `name` starts with, one of each conjugate pair    [S]"""
    n = jnp.arange(kept, dtype=jnp.zeros(()).dtype)
    half, size = jnp.full_like(n, 0.5), 2 * kept
    return {
        "lin": (half, math.pi * n),
        "inv": (half, size / math.pi * (size / (2 * n + 1) - 1)),
        "real": (n + 1, jnp.zeros_like(n)),
    }[name]


class Params(NamedTuple):
    w_x: Array  # [D, 1, N], inputs to channels
    a_re: Array  # [N, S]
    a_im: Array
    b_re: Array
    b_im: Array
    c_re: Array
    c_im: Array
    log_dt: Array  # [N]
    d: Array  # [N]


class Weights(NamedTuple):
    w_x: Array  # [D, 1, N]
    pole: Pair  # [N, S]
    dt: Array  # [N, S]
    b: Pair
    w_c: Array  # [N, 2 S], C as it meets (re, im)
    d: Array  # [N]
    a: Pair  # [N, S], of the step dt
    gain: Pair


def step(weights: Weights, state: Pair, x: Array | Timed, *, discretisation: str = "zoh") -> tuple[Pair, Array]:
    """One step for `lax.scan`; weights = S4D(...).prepare(params), once, outside the loop. x [D] -> ((re, im), y)."""
    inputs, _, units = weights.w_x.shape
    return S4D(inputs, units, 2 * weights.d.shape[0], discretisation).step(weights, state, x)


@cell
class S4D:
    """Diagonal state space model: every channel is filtered by a linear system of its own.

        u_t   = W_x x_t                                             [N]
        h'(t) = A * h(t) + B u(t)                                   [N, S], complex, A = -exp(a_re) + i a_im
        h_t   = A_ * h_{t-1} + B_ u_t                               [N, S], with the time step exp(log_dt)
        y_t   = 2 Re(sum over S of C * h_t) + d * u_t               [N]

    `discretisation` "zoh" has A_ = exp(dt A), B_ = (A_ - 1) / A * B, exact for an input that stands still between two
    steps; "bilinear" has A_ = (1 + dt A / 2) / (1 - dt A / 2), B_ = dt B / (1 - dt A / 2). Only one of each conjugate
    pair of poles is kept, S = `states` / 2 of them. `real_part` says how A stays stable: exp, relu or not at all.
    With x = Timed(x, s) the time step is s times as long. W_x stands for the map before the layer and lets inputs
    differ from units. The state is the pair (re, im) of arrays [N, S], zero at the start.

    Initial values: `poles` "lin" A_n = -1/2 + i pi n, "inv" A_n = -1/2 + i M/pi (M / (2 n + 1) - 1) with M = `states`,
    or "real" A_n = -(n + 1), in every channel; B = 1, C complex normal of variance 1 each part, d from N(0, 1), dt
    log-uniform in [`dt_min`, `dt_max`]; W_x LeCun normal.

    Elsewhere: none of torch, Keras, Flax, Haiku, Equinox.

    Source: Gu, Gupta, Goel & Re 2022 (arXiv:2206.11893), sections 3 and 4, listing 1, and the authors' code.

    Cost: 2 N D + 12 N S flops a step.
    """

    inputs: int
    units: int
    states: int = 64
    discretisation: str = "zoh"
    real_part: str = "exp"
    poles: str = "lin"
    dt_min: float = 0.001
    dt_max: float = 0.1
    input_init: str = "lecun_normal"

    powers = ("factored", "affine")
    kind = "pair"

    def __post_init__(self):
        parts.check(self)
        one_of("S4D.discretisation", self.discretisation, affine.RULES)
        one_of("S4D.real_part", self.real_part, REAL_PARTS)
        one_of("S4D.poles", self.poles, ("lin", "inv", "real"))
        if self.states < 2 or self.states % 2:
            raise ValueError(f"S4D.states got {self.states}; write an even number of at least 2")
        check_steps(self)

    outputs = property(parts.outputs)

    def init(self, key: Array) -> Params:
        n, s, dtype = self.units, self.states // 2, jnp.zeros(()).dtype
        key_x, key_c, key_dt, key_d = jax.random.split(key, 4)
        re, im = poles(self.poles, s)
        c = initialisers.normal(key_c, (n, 2, s), dtype, 1.0)
        return Params(
            w_x=initialisers.draw(self.input_init, key_x, (self.inputs, 1, n), dtype),
            a_re=jnp.tile(REAL_PARTS[self.real_part][1](re), (n, 1)),
            a_im=jnp.tile(im, (n, 1)),
            b_re=jnp.ones((n, s), dtype),
            b_im=jnp.zeros((n, s), dtype),
            c_re=c[:, 0],
            c_im=c[:, 1],
            log_dt=draw_log_steps(self, key_dt, n, dtype),
            d=jax.random.normal(key_d, (n,), dtype),
        )

    @parts.widely
    def prepare(self, params: Params) -> Weights:
        p = params
        pole = -REAL_PARTS[self.real_part][0](p.a_re), p.a_im
        dt = jnp.broadcast_to(jnp.exp(p.log_dt)[:, None], p.a_re.shape)
        a, g = affine.discretise(self.discretisation, pole, dt)
        b = p.b_re, p.b_im
        w_c = 2 * jnp.concatenate([p.c_re, -p.c_im], 1)
        return Weights(p.w_x, pole, dt, b, w_c, p.d, a, apply("pair", g, b))

    def initial_state(self, weights: Weights) -> Pair:
        zero = jnp.zeros_like(weights.a[0])
        return zero, zero

    def drive(self, weights: Weights, x: Array | Timed) -> tuple[Pair | None, Pair]:
        """(A_ or None for that of the weights, B_ u)    [N, S]"""
        a, (re, im) = None, weights.gain
        if isinstance(x, Timed):
            a, g = affine.discretise(self.discretisation, weights.pole, weights.dt * x.dt)
            re, im = apply("pair", g, weights.b)
        u = self._channels(weights, x)[:, None]
        return a, (re * u, im * u)

    recur = affine.recur_pair
    update = affine.update_pair

    def readout(self, weights: Weights, state: Pair, x: Array | Timed) -> Array:
        y = jnp.einsum("ns,ns->n", jnp.concatenate(state, 1), weights.w_c)
        return y + weights.d * self._channels(weights, x)

    step = parts.step
    coefficients = affine.coefficients_pair

    def _channels(self, weights: Weights, x: Array | Timed) -> Array:
        """u = W_x x    [N]"""
        return parts.product(x.x if isinstance(x, Timed) else x, weights.w_x)[0]
