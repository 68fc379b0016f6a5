"""What the affine cells share.

Diagonal ones, h_t = a(x_t) * h_{t-1} + b(x_t), drive with u_t = (a_t, b_t), so that all gates of a sequence are one
parallel product. Complex ones keep a pair (real, imaginary) of arrays and multiply by A; a time step that comes with
the input makes an A of its own. `discretise` turns a continuous system into such a recurrence.
"""

import math
from typing import Any

import jax
import jax.numpy as jnp
from jax import Array

from rnnx.cells.initialisers import normal
from rnnx.types import Recurrent, apply

Pair = tuple[Array, Array]  # (real, imaginary)

# ------------------------------------------------------------------------------------------------- diagonal


def recur(cell: Any, weights: Any, state: Array) -> Array:
    """v = h    [1, N]"""
    del cell, weights
    return state[None]


def recurrent(cell: Any, weights: Any) -> Recurrent:
    """The identity: no weight multiplies the state."""
    del cell
    return Recurrent("diagonal", jnp.ones_like(weights.b[:1]), (0,))


def update(cell: Any, weights: Any, state: Array, u: Any, v: Any) -> Array:
    """h_t = a_t * h_{t-1} + b_t    [N]"""
    del cell, weights, state
    (a, b), (h,) = u, v
    return a * h + b


def coefficients(cell: Any, weights: Any, x: Array) -> tuple[Array, Array]:
    """(a, b) of h_t = a * h_{t-1} + b    [N] each"""
    a, b = cell.drive(weights, x)
    return a, b


# ------------------------------------------------------------------------------------------------- complex


def recur_pair(cell: Any, weights: Any, state: Pair) -> Pair:
    """v = A h"""
    del cell
    return apply("pair", weights.a, state)


def update_pair(cell: Any, weights: Any, state: Pair, u: Any, v: Pair) -> Pair:
    """h_t = A h_{t-1} + b_t, with the A of this step where u tells one"""
    del cell, weights
    a, (b_re, b_im) = u
    re, im = v if a is None else apply("pair", a, state)
    return re + b_re, im + b_im


def coefficients_pair(cell: Any, weights: Any, x: Any) -> tuple[Pair, Pair]:
    """(A, b) of h_t = A h_{t-1} + b"""
    a, b = cell.drive(weights, x)
    return weights.a if a is None else a, b


def through(x: Array, d: Array) -> Array:
    """d x: element by element where d is [N], as in the papers, else a matrix [D, N]."""
    return d * x if d.ndim == 1 else x @ d


def draw_through(key: Array, inputs: int, units: int, dtype: Any) -> Array:
    """d [N] from N(0, 1) where inputs equal units, else [D, N] from N(0, 1 / D)."""
    if inputs == units:
        return jax.random.normal(key, (units,), dtype)
    return normal(key, (inputs, 1, units), dtype, math.sqrt(1 / inputs))[:, 0]


# ---------------------------------------------------------------------------------------- continuous systems

RULES = ("zoh", "bilinear")


def discretise(rule: str, pole: Pair, dt: Array) -> tuple[Pair, Pair]:
    """(A, g) of h_t = A h_{t-1} + g u_t for h' = pole h + u and the step dt, all of one shape.

    "zoh" is exact for a u that stands still between two steps, "bilinear" is the trapezoidal rule.
    """
    lam = jax.lax.complex(*pole)
    z = lam * dt.astype(lam.dtype)
    if rule == "zoh":
        still = z == 0  # there (exp(z) - 1) / z is 1
        a, g = jnp.exp(z), jnp.where(still, 1 + z / 2, jnp.expm1(z) / jnp.where(still, jnp.ones_like(z), z))
    else:
        a, g = (1 + z / 2) / (1 - z / 2), 1 / (1 - z / 2)
    return (a.real, a.imag), (dt * g.real, dt * g.imag)
