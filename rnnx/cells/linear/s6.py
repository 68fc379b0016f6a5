"""The selective state space model of Mamba."""

import math
from typing import NamedTuple

import jax
import jax.numpy as jnp
from jax import Array

from rnnx.cells import initialisers, parts
from rnnx.cells.parts import softplus
from rnnx.cells.timesteps import check_steps, draw_steps
from rnnx.types import cell, one_of


class Params(NamedTuple):
    w_x: Array  # [D, 1, N], inputs to channels
    w_r: Array  # [N, R], the R numbers that set the time steps
    w_dt: Array  # [R, N]
    b_dt: Array  # [N]
    w_b: Array  # [N, S]
    w_c: Array  # [N, S]
    a_log: Array  # [N, S]
    d: Array  # [N]


class Weights(NamedTuple):
    w_x: Array
    w_r: Array
    w_dt: Array
    b_dt: Array
    w_b: Array
    w_c: Array
    a: Array  # [N, S], negative
    d: Array


def step(weights: Weights, state: Array, x: Array, *, discretisation: str = "euler") -> tuple[Array, Array]:
    """One step for `lax.scan`; weights = S6(...).prepare(params), once, outside the loop. x [D] -> (h [N, S], y)."""
    inputs, _, units = weights.w_x.shape
    states, rank = weights.a.shape[1], weights.w_r.shape[1]
    return S6(inputs, units, states, rank, discretisation).step(weights, state, x)


@cell
class S6:
    """Selective state space model: each of N channels drives S decaying states, and x sets how fast time goes.

        x'   = W_x x_t                                      [N]
        dt   = softplus(W_dt W_r x' + b_dt)                 [N]
        B, C = W_B x', W_C x'                               [S] each
        h_t  = exp(dt A) * h_{t-1} + (dt x') B^T            [N, S], A = -exp(A_log)
        y_t  = h_t C + d * x'                               [N]

    Small dt keeps the state and ignores the input, large dt forgets the state. The last term of h is the one of the
    authors' code, `discretisation="euler"`; "zoh" is the paper's, ((exp(dt A) - 1) / A) * (x' B^T), which with S = 1,
    A = -1 and B = 1 is the gated h = (1 - g) h + g x', g = sigmoid(W_dt W_r x' + b_dt). `states` is S and `dt_rank`
    the width R of W_r. W_x stands for the map before the model in a block; the block's convolution, its SiLU gate and
    its output map are left to the network. The state is an array [N, S], zero at the start.

    Initial values: A = -(1, ..., S) in every channel, d = 1, b_dt the inverse softplus of steps drawn log-uniformly
    from [`dt_min`, `dt_max`], W_dt from U(-1, 1) / sqrt(R), W_r, W_B and W_C from U(-1, 1) / sqrt(N), as in the
    authors' code; W_x Glorot uniform. The paper takes R = 1 (section 3.2), the code R = ceil(its width / 16).

    Elsewhere: none of torch, Keras, Flax, Haiku, Equinox.

    Source: Gu & Dao 2023 (arXiv:2312.00752), algorithm 2, eq. 2 and 4 and theorem 1, and the authors' code.

    Cost: 2 N (D + 2 R + 2 S) + 8 N S flops a step.
    """

    inputs: int
    units: int
    states: int = 16
    dt_rank: int = 1
    discretisation: str = "euler"
    dt_min: float = 0.001
    dt_max: float = 0.1
    input_init: str = "glorot_uniform"

    powers = ("factored", "affine")

    def __post_init__(self):
        parts.check(self)
        one_of("S6.discretisation", self.discretisation, ("euler", "zoh"))
        for name in ("states", "dt_rank"):
            if getattr(self, name) < 1:
                raise ValueError(f"S6.{name} got {getattr(self, name)}; write a whole number of at least 1")
        check_steps(self)

    outputs = property(parts.outputs)

    def init(self, key: Array) -> Params:
        n, s, r = self.units, self.states, self.dt_rank
        dtype = jnp.zeros(()).dtype
        key_x, key_r, key_dt, key_step, key_b, key_c = jax.random.split(key, 6)
        fan, rank = 1 / math.sqrt(n), 1 / math.sqrt(r)
        return Params(
            w_x=initialisers.draw(self.input_init, key_x, (self.inputs, 1, n), dtype),
            w_r=jax.random.uniform(key_r, (n, r), dtype, -fan, fan),
            w_dt=jax.random.uniform(key_dt, (r, n), dtype, -rank, rank),
            b_dt=draw_steps(self, key_step, n, dtype),
            w_b=jax.random.uniform(key_b, (n, s), dtype, -fan, fan),
            w_c=jax.random.uniform(key_c, (n, s), dtype, -fan, fan),
            a_log=jnp.tile(jnp.log(jnp.arange(1, s + 1, dtype=dtype)), (n, 1)),
            d=jnp.ones(n, dtype),
        )

    def prepare(self, params: Params) -> Weights:
        p = params
        return Weights(p.w_x, p.w_r, p.w_dt, p.b_dt, p.w_b, p.w_c, -jnp.exp(p.a_log), p.d)

    def initial_state(self, weights: Weights) -> Array:
        return jnp.zeros_like(weights.a)

    def drive(self, weights: Weights, x: Array) -> tuple[Array, Array, Array]:
        """(x', dt, B): x as the channels see it    [N], [N], [S]"""
        channels = parts.product(x, weights.w_x)[0]
        dt = softplus((channels @ weights.w_r) @ weights.w_dt + weights.b_dt)
        return channels, dt, channels @ weights.w_b

    def recur(self, weights: Weights, state: Array) -> tuple[()]:
        """Nothing: no weight multiplies the state."""
        del weights, state
        return ()

    def update(self, weights: Weights, state: Array, u, v) -> Array:
        del v
        a, b = self._discretised(weights, u)
        return a * state + b

    def readout(self, weights: Weights, state: Array, x: Array) -> Array:
        channels = parts.product(x, weights.w_x)[0]
        return state @ (channels @ weights.w_c) + weights.d * channels

    step = parts.step

    kind = "diagonal"

    def coefficients(self, weights: Weights, x: Array) -> tuple[Array, Array]:
        """(A, b) of h_t = A * h_{t-1} + b    [N, S] each"""
        return self._discretised(weights, self.drive(weights, x))

    def _discretised(self, weights: Weights, u) -> tuple[Array, Array]:
        channels, dt, b = u
        z = dt[:, None] * weights.a
        if self.discretisation == "euler":
            return jnp.exp(z), (dt * channels)[:, None] * b[None]
        return jnp.exp(z), jnp.expm1(z) / weights.a * (channels[:, None] * b[None])
