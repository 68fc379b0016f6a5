"""Piecewise linear networks: linear wherever no unit crosses its threshold, so that orbits can be worked out."""

import math
from typing import NamedTuple

import jax
import jax.numpy as jnp
from jax import Array

from rnnx.cells import initialisers, parts
from rnnx.cells.parts import relu
from rnnx.types import cell


class Params(NamedTuple):
    w_x: Array  # [D, 1, N], C
    a: Array  # [N], the diagonal of A
    w_1: Array  # [L, N]
    w_2: Array  # [N, L]
    h_1: Array  # [N]
    h_2: Array  # [L]


def step(params: Params, state: Array, x: Array, *, clipped: bool = False) -> tuple[Array, Array]:
    """One step for `lax.scan`: `ShallowPLRNN.step` without a configuration. State z [N], x [D] -> (z, z)."""
    inputs, _, units = params.w_x.shape
    return ShallowPLRNN(inputs, units, params.h_2.shape[0], clipped).step(params, state, x)


@cell
class ShallowPLRNN:
    """Shallow piecewise linear network: a diagonal linear part and one hidden layer of L relu units.

        z_t = A z_{t-1} + W_1 relu(W_2 z_{t-1} + h_2) + h_1 + C x_t                               [N], A diagonal
        z_t = A z_{t-1} + W_1 (relu(W_2 z_{t-1} + h_2) - relu(W_2 z_{t-1})) + h_1 + C x_t         [N], `clipped`
        y_t = z_t

    `clipped` bounds what the hidden layer says by |h_2|, so that every orbit is bounded where |A| < 1. relu has
    derivative 0 at 0. The hidden layer is `hidden` = L wide and stands in the update. The state z is an array
    [N], zero at the start.

    Initial values: A is the diagonal of (R^T R / N + I) over its largest eigenvalue, R normal; W_1, W_2 uniform up to
    one over the root of the width that they read; h_1 zero, h_2 zero or, clipped, uniform up to 1 / sqrt(L); C
    Glorot uniform.

    Elsewhere: none of torch, Keras, Flax, Haiku, Equinox.

    Source: Hess, Monfared, Brenner & Durstewitz 2023 (arXiv:2306.04406) and their program GTF-shPLRNN,
    shallow_plrnn.jl and initialization.jl.

    Cost: 2 N (D + 2 L) flops a step.
    """

    inputs: int
    units: int
    hidden: int = 100
    clipped: bool = False
    input_init: str = "glorot_uniform"

    powers = ("factored",)

    def __post_init__(self):
        parts.check(self)
        if self.hidden < 1:
            raise ValueError(f"ShallowPLRNN.hidden got {self.hidden}; write a whole number of at least 1")

    outputs = property(parts.outputs)

    def init(self, key: Array) -> Params:
        dtype = jnp.zeros(()).dtype
        n, hidden = self.units, self.hidden
        key_x, key_a, key_1, key_2, key_h = jax.random.split(key, 5)
        w_x = initialisers.draw(self.input_init, key_x, (self.inputs, 1, n), dtype)
        r = initialisers.normal(key_a, (n, 1, n), dtype, 1.0)[:, 0]
        k = r.T @ r / n + jnp.eye(n, dtype=dtype)
        a = jnp.diagonal(k) / initialisers.spectral_radius(k)
        w_1 = initialisers.uniform(key_1, (hidden, 1, n), dtype, 1 / math.sqrt(hidden))[:, 0]
        w_2 = initialisers.uniform(key_2, (n, 1, hidden), dtype, 1 / math.sqrt(n))[:, 0]
        h_2 = initialisers.uniform(key_h, (1, 1, hidden), dtype, 1 / math.sqrt(hidden))[0, 0]
        return Params(w_x, a, w_1, w_2, jnp.zeros_like(a), h_2 if self.clipped else jnp.zeros_like(h_2))

    prepare = parts.prepare

    def initial_state(self, weights: Params) -> Array:
        return jnp.zeros_like(weights.h_1)

    def drive(self, weights: Params, x: Array) -> Array:
        """C x + h_1    [N]"""
        return parts.product(x, weights.w_x)[0] + weights.h_1

    def recur(self, weights: Params, state: Array) -> Array:
        """W_2 z    [L]"""
        return state @ weights.w_2

    def update(self, weights: Params, state: Array, u, v) -> Array:
        z = state
        layer = relu(v + weights.h_2)
        if self.clipped:
            layer = layer - relu(v)
        return weights.a * z + layer @ weights.w_1 + u

    readout = parts.readout
    step = parts.step


class RegularisedParams(NamedTuple):
    w_x: Array  # [D, 1, N], C
    w_h: Array  # [N, 1, N], W; after `prepare` with a zero diagonal
    b: Array  # [1, N], h
    a: Array  # [N], the diagonal of A
    start: Array  # [N], mu_0


class State(NamedTuple):
    r: Array  # [N], relu(z), carried because it is what W multiplies
    z: Array  # [N]


@cell
class RegularisedPLRNN:
    """Piecewise linear network, part of whose units start as a manifold of memories (and may be held there).

        z_t = A z_{t-1} + W relu(z_{t-1}) + h + C x_t    [N], A diagonal, W with a zero diagonal
        y_t = z_t

    Of the first `share` of the units A is 1, W and h are 0 at the start: each adds up its input C x and keeps the sum
    for ever. `attractor_loss` is the penalty that holds them near it. relu has derivative 0 at 0. The state is
    (r, z) with r = relu(z); z_0 is learned.

    Initial values: A and W are the diagonal of a normal matrix of variance 1 / N and the rest of it, divided by
    1 + sqrt(N) until its spectral radius is at most 1; h of variance 1 / N; C of deviation
    sqrt(2 / N) exp(1.2 / max(N, 6) - 2.4); z_0 uniform in (0, 1).

    Elsewhere: none of torch, Keras, Flax, Haiku, Equinox.

    Source: Schmidt, Koppe, Monfared, Beutelspacher & Durstewitz 2021 (arXiv:1910.03471) and their program reg-PLRNN,
    gdplrnn/model.py and training.py.

    Cost: 2 N (D + N) flops a step.
    """

    inputs: int
    units: int
    share: float = 0.5

    powers = ("factored", "pointwise")

    def __post_init__(self):
        if not 0 <= self.share <= 1:
            raise ValueError(f"RegularisedPLRNN.share got {self.share}; write a share of 0 to 1")

    outputs = property(parts.outputs)

    def init(self, key: Array) -> RegularisedParams:
        dtype = jnp.zeros(()).dtype
        n = self.units
        key_x, key_w, key_b, key_z = jax.random.split(key, 4)
        w = initialisers.normal(key_w, (n, 1, n), dtype, 1 / math.sqrt(n))[:, 0]
        divisor = 1 + math.sqrt(n)
        times = jnp.ceil(jnp.log(jnp.maximum(initialisers.spectral_radius(w), 1)) / math.log(divisor))
        w = w * divisor**-times
        scale = math.sqrt(2 / n) * math.exp(1.2 / max(n, 6) - 2.4)
        w_x = initialisers.normal(key_x, (self.inputs, 1, n), dtype, scale)
        b = initialisers.normal(key_b, (1, 1, n), dtype, 1 / math.sqrt(n))[0]
        kept = jnp.arange(n) < int(n * self.share)
        return RegularisedParams(
            w_x,
            jnp.where(kept[None] | jnp.eye(n, dtype=bool), jnp.zeros_like(w), w)[:, None],
            jnp.where(kept[None], jnp.zeros_like(b), b),
            jnp.where(kept, jnp.ones_like(b[0]), jnp.diagonal(w)),
            jax.random.uniform(key_z, (n,), dtype),
        )

    def prepare(self, params: RegularisedParams) -> RegularisedParams:
        diagonal = jnp.eye(self.units, dtype=bool)[:, None]
        return params._replace(w_h=jnp.where(diagonal, jnp.zeros_like(params.w_h), params.w_h))

    def initial_state(self, weights: RegularisedParams) -> State:
        return State(relu(weights.start), weights.start)

    drive = parts.drive
    recur = parts.recur

    def update(self, weights: RegularisedParams, state: State, u, v) -> State:
        (u,), (v,) = u, v
        z = weights.a * state.z + v + u
        return State(relu(z), z)

    def readout(self, weights: RegularisedParams, state: State, x: Array) -> Array:
        return state.z

    step = parts.step
    recurrent = parts.recurrent


def attractor_loss(cell: RegularisedPLRNN, params: RegularisedParams, tau: float = 5.0) -> Array:
    """tau (mean (A - 1)^2 + mean W^2 + mean h^2) over the first `share` of the units; to be added to the loss."""
    kept = int(cell.units * cell.share)
    if not kept:
        return jnp.zeros_like(params.a[0])
    w = cell.prepare(params).w_h[:, 0, :kept]
    a, h = params.a[:kept] - 1, params.b[0, :kept]
    return tau * (jnp.mean(a * a) + jnp.mean(w * w) + jnp.mean(h * h))
