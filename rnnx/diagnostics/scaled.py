"""Numbers with an exponent of their own: value * 2**exponent, for what no float can hold.

A gradient that has travelled 10,000 steps is 10^-3010 or 10^414; its norm is a float only after the
logarithm. Scaling is by exact powers of two, so that it rounds nothing.
"""

from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
from jax import Array, lax

LOG10_2 = 0.30102999566398119521


class Scaled(NamedTuple):
    """The pytree `value`, every leaf times 2**exponent."""

    value: Any
    exponent: Array  # int32 []


def unscaled(tree: Any) -> Scaled:
    """A pytree as it is."""
    return Scaled(tree, jnp.zeros((), jnp.int32))


def power_of_two(n: Array, dtype: Any) -> Array:
    """2**n, exact (`exp2` is not, on XLA); n is clipped to the exponents of `dtype`'s normal numbers."""
    info = jnp.finfo(dtype)
    n = jnp.clip(n, info.minexp, info.maxexp - 1)
    wide, whole = (jnp.float64, jnp.int64) if info.bits == 64 else (jnp.float32, jnp.int32)
    bits = (n.astype(whole) + (jnp.finfo(wide).maxexp - 1)) << jnp.finfo(wide).nmant
    return lax.bitcast_convert_type(bits, wide).astype(dtype)


def exponent(x: Array) -> Array:
    """The int32 e with 2**(e-1) <= x < 2**e; 0 where x is 0, infinite or NaN."""
    wide = x.astype(jnp.float32) if jnp.finfo(x.dtype).bits < 32 else x
    usable = jnp.isfinite(wide) & (wide > 0)
    e = jnp.frexp(jnp.where(usable, wide, jnp.ones_like(wide)))[1]
    return jnp.where(usable, e.astype(jnp.int32), jnp.zeros_like(e, jnp.int32))


def largest(tree: Any) -> Array:
    """The largest magnitude in a pytree; NaN if there is one."""
    return jnp.max(jnp.stack([jnp.max(jnp.abs(leaf), initial=0) for leaf in jax.tree.leaves(tree)]))


def shift(tree: Any, n: Array) -> Any:
    """Every leaf times 2**n."""
    return jax.tree.map(lambda leaf: leaf * power_of_two(n, leaf.dtype), tree)


def normalise(number: Scaled) -> Scaled:
    """The same number with its largest entry in [1/2, 1)."""
    e = exponent(largest(number.value))
    return Scaled(shift(number.value, -e), number.exponent + e)


def align(number: Scaled, top: Array) -> Any:
    """The value of `number` at exponent `top`; what is too small to matter beside 2**top becomes 0."""
    n = number.exponent - top
    small = n < -200
    return jax.tree.map(lambda leaf: jnp.where(small, jnp.zeros_like(leaf), leaf), shift(number.value, n))


def add(a: Scaled, b: Scaled) -> Scaled:
    """a + b, rounded once."""
    a, b = normalise(a), normalise(b)
    top = jnp.maximum(a.exponent, b.exponent)
    top = jnp.where(largest(a.value) == 0, b.exponent, jnp.where(largest(b.value) == 0, a.exponent, top))
    return Scaled(jax.tree.map(jnp.add, align(a, top), align(b, top)), top)


def log10_norm(tree: Any, exponent: Array | int = 0) -> Array:
    """log10 of the Euclidean norm of a pytree times 2**exponent; -inf for zero.

    The squares are summed after the largest entry has been brought to [1/2, 1), so that they neither
    underflow (as float32 squares do below 1e-19, and `optax.tree.norm` with them) nor overflow.

    >>> import jax.numpy as jnp
    >>> round(float(log10_norm(jnp.array([3e-30, 4e-30]))), 4)
    -29.301
    """
    number = normalise(Scaled(tree, jnp.asarray(exponent, jnp.int32)))
    squares = sum(jnp.sum(jnp.square(leaf)) for leaf in jax.tree.leaves(number.value))
    squares = jnp.asarray(squares)
    return jnp.log10(squares) / 2 + number.exponent.astype(squares.dtype) * LOG10_2


def log10_mean(numbers: Array, real: Array) -> Array:
    """log10 of the mean of 10**numbers [B] over the True of `real` [B]; NaN if there is none."""
    numbers = jnp.where(real, numbers, -jnp.inf)
    top = jnp.max(numbers)
    top = jnp.where(jnp.isneginf(top), jnp.zeros_like(top), top)
    count = jnp.sum(real).astype(numbers.dtype)
    return jnp.log10(jnp.sum(10 ** (numbers - top)) / count) + top
