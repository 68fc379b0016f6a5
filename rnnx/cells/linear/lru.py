"""The linear recurrent unit."""

import math
from typing import NamedTuple

import jax
import jax.numpy as jnp
from jax import Array

from rnnx.cells import initialisers, parts
from rnnx.cells.linear import affine
from rnnx.cells.linear.affine import Pair
from rnnx.types import cell


class Params(NamedTuple):
    nu_log: Array  # [S]
    theta_log: Array  # [S]
    gamma_log: Array | None  # [S], None without `normalise`
    b_re: Array  # [D, S]
    b_im: Array
    c_re: Array  # [S, N]
    c_im: Array
    d: Array  # [N] where D is N, else [D, N]


class Weights(NamedTuple):
    a: Pair  # [S], lambda
    w_b: Array  # [D, 2, S], gamma B
    w_c: Array  # [2 S, N], C as it meets (re, im)
    d: Array  # [N] or [D, N]


def step(weights: Weights, state: Pair, x: Array) -> tuple[Pair, Array]:
    """One step for `lax.scan`; weights = LRU(...).prepare(params), once, outside the loop. x [D] -> ((re, im), y)."""
    inputs, _, states = weights.w_b.shape
    return LRU(inputs, weights.w_c.shape[1], states).step(weights, state, x)


@cell
class LRU:
    """Linear recurrent unit: S complex states that decay and turn, each on its own.

        h_t = lambda * h_{t-1} + gamma * (B x_t)                            [S], complex
        y_t = Re(C h_t) + d x_t                                             [N]
        lambda = exp(-exp(nu_log) + i exp(theta_log)), gamma = exp(gamma_log)

    |lambda| < 1 whatever the parameters. `states` is S, 0 for as many as units. d is diagonal as in the paper where
    inputs equal units, and a matrix elsewhere; without `normalise` there is no gamma. The nonlinear blocks around the
    layer are left to the network. The state is the pair (re, im) of arrays [S], zero at the start.

    Initial values: lambda uniform on the ring between the circles `r_min` and `r_max`, its phase below `max_phase`,
    and gamma = sqrt(1 - |lambda|^2), which gives h the variance of B x. For long memories the paper raises both radii
    towards 1, and for the longest lowers the phase to pi / 10. Re B and Im B from N(0, 1 / 2 D), Re C and Im C from
    N(0, 1 / S), d from N(0, 1), or N(0, 1 / D) as a matrix.

    Elsewhere: none of torch, Keras, Flax, Haiku, Equinox.

    Source: Orvieto, Smith, Gu, Fernando, Gulcehre, Pascanu & De 2023 (arXiv:2303.06349), eq. 7, the ring of section
    3.2.2, the parametrisation of sections 3.3 and 3.4, and appendix A.

    Cost: 4 S (D + N) flops a step.
    """

    inputs: int
    units: int
    states: int = 0
    normalise: bool = True
    r_min: float = 0.0
    r_max: float = 1.0
    max_phase: float = 2 * math.pi

    powers = ("factored", "affine")
    kind = "pair"

    def __post_init__(self):
        if self.states < 0:
            raise ValueError(f"LRU.states got {self.states}; write a whole number, 0 for as many as units")
        if not 0 <= self.r_min < 1:
            raise ValueError(f"LRU.r_min got {self.r_min}; write a number of at least 0 and below 1")
        if not self.r_min <= self.r_max <= 1:
            raise ValueError(f"LRU.r_max got {self.r_max}; write a number from r_min={self.r_min} to 1")
        if self.max_phase <= 0:
            raise ValueError(f"LRU.max_phase got {self.max_phase}; write a number above 0, such as 6.28")

    outputs = property(parts.outputs)

    def init(self, key: Array) -> Params:
        dtype = jnp.zeros(()).dtype
        d, n, s = self.inputs, self.units, self.states or self.units
        key_r, key_p, key_b, key_c, key_d = jax.random.split(key, 5)
        tiny = jnp.finfo(dtype).eps  # neither 0 nor 1, whose logarithms are infinite
        radius = jax.random.uniform(key_r, (s,), dtype, tiny, 1 - tiny) * (self.r_max**2 - self.r_min**2)
        nu = -jnp.log(radius + self.r_min**2) / 2
        b = initialisers.normal(key_b, (d, 2, s), dtype, math.sqrt(1 / (2 * d)))
        c = initialisers.normal(key_c, (s, 2, n), dtype, math.sqrt(1 / s))
        return Params(
            nu_log=jnp.log(nu),
            theta_log=jnp.log(self.max_phase * jax.random.uniform(key_p, (s,), dtype, tiny, 1)),
            gamma_log=jnp.log(-jnp.expm1(-2 * nu)) / 2 if self.normalise else None,
            b_re=b[:, 0],
            b_im=b[:, 1],
            c_re=c[:, 0],
            c_im=c[:, 1],
            d=affine.draw_through(key_d, d, n, dtype),
        )

    def prepare(self, params: Params) -> Weights:
        p = params
        radius, phase = jnp.exp(-jnp.exp(p.nu_log)), jnp.exp(p.theta_log)
        b = jnp.stack([p.b_re, p.b_im], 1)
        return Weights(
            a=(radius * jnp.cos(phase), radius * jnp.sin(phase)),
            w_b=b if p.gamma_log is None else b * jnp.exp(p.gamma_log)[None, None],
            w_c=jnp.concatenate([p.c_re, -p.c_im]),
            d=p.d,
        )

    def initial_state(self, weights: Weights) -> Pair:
        zero = jnp.zeros_like(weights.a[0])
        return zero, zero

    def drive(self, weights: Weights, x: Array) -> tuple[None, Pair]:
        """gamma * (B x)    [S] twice; A is that of the weights"""
        re, im = parts.product(x, weights.w_b)
        return None, (re, im)

    recur = affine.recur_pair
    update = affine.update_pair

    def readout(self, weights: Weights, state: Pair, x: Array) -> Array:
        return jnp.concatenate(state) @ weights.w_c + affine.through(x, weights.d)

    step = parts.step
    coefficients = affine.coefficients_pair
