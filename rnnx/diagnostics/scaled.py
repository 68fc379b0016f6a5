"""Numbers with an exponent of their own: value * 2**exponent, for what no float can hold.

A gradient that has travelled 10,000 steps is 10^-3010 or 10^414; its norm is a float only after the
logarithm. Scaling is by exact powers of two, so that it rounds nothing.
"""

import functools
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
from jax import Array, lax

LOG10_2 = 0.30102999566398119521


class Scaled(NamedTuple):
    """The pytree `value`, every leaf times 2**exponent."""

    value: Any
    exponent: Array  # int32 []


# The exponent of zero: below every other, and far enough from the end of int32 to be added to.
ZERO = -(2**30)


def unscaled(tree: Any) -> Scaled:
    """A pytree as it is."""
    return Scaled(tree, jnp.zeros((), jnp.int32))


def power_of_two(n: Array, dtype: Any) -> Array:
    """2**n, exact (`exp2` is not, on XLA); n is clipped to the exponents of `dtype`'s normal numbers."""
    info = jnp.finfo(dtype)
    wide = _wide(dtype)
    n = jnp.clip(n, info.minexp, info.maxexp - 1).astype(wide.whole) + wide.bias
    return lax.bitcast_convert_type(n << wide.mantissa, wide.dtype).astype(dtype)


def exponent_of(x: Array) -> Array:
    """The int32 e with 2**(e-1) <= x < 2**e; 0 where x is 0, infinite or NaN."""
    wide = _wide(x.dtype)
    x = x.astype(wide.dtype)
    e = (lax.bitcast_convert_type(x, wide.whole) >> wide.mantissa).astype(jnp.int32) - (wide.bias - 1)
    return jnp.where(jnp.isfinite(x) & (x > 0), e, jnp.zeros_like(e))


class _Wide(NamedTuple):
    """The format whose bits are read: float64 for itself, float32 for all others."""

    dtype: Any
    whole: Any
    mantissa: int
    bias: int


def _wide(dtype: Any) -> _Wide:
    double = jnp.finfo(dtype).bits == 64
    return _Wide(jnp.float64, jnp.int64, 52, 1023) if double else _Wide(jnp.float32, jnp.int32, 23, 127)


def largest(tree: Any) -> Array:
    """The largest magnitude in a pytree; NaN if there is one."""
    return jnp.max(jnp.stack([jnp.max(jnp.abs(leaf), initial=0) for leaf in jax.tree.leaves(tree)]))


def shift(tree: Any, n: Array) -> Any:
    """Every leaf times 2**n, for n within the exponents of its normal numbers; below, it is as good as nothing."""
    return jax.tree.map(lambda leaf: leaf * power_of_two(n, leaf.dtype), tree)


def magnitudes(sizes: Array, exponents: Array) -> Array:
    """The exponents that bring largest entries `sizes` to [1/2, 1), or as near as `shift` reaches; ZERO for zero."""
    reach = -int(jnp.finfo(sizes.dtype).minexp)
    return jnp.where(sizes == 0, ZERO, exponents + jnp.clip(exponent_of(sizes), -reach, reach))


def magnitude(number: Scaled) -> Array:
    """The exponent of a number, were it normalised."""
    return magnitudes(largest(number.value), number.exponent)


def align(number: Scaled, top: Array) -> Any:
    """The value of a number when its exponent is to be `top`, its magnitude or a larger one."""
    return shift(number.value, number.exponent - top)


def add(*numbers: Scaled) -> Scaled:
    """The sum, rounded once, at the magnitude of the largest; of one number, that number normalised."""
    top = functools.reduce(jnp.maximum, map(magnitude, numbers))
    terms = [align(number, top) for number in numbers]
    return Scaled(functools.reduce(functools.partial(jax.tree.map, jnp.add), terms), top)


def log10_norm(tree: Any, exponent: Array | int = 0) -> Array:
    """log10 of the Euclidean norm of a pytree times 2**exponent; -inf for zero.

    The squares are summed after the largest entry has been brought to [1/2, 1), so that they neither underflow
    (as float32 squares do below 1e-19, and `optax.tree.norm` with them) nor overflow.

    >>> import jax.numpy as jnp
    >>> round(float(log10_norm(jnp.array([3e-30, 4e-30]))), 4)
    -29.301
    """
    e = magnitude(Scaled(tree, jnp.zeros((), jnp.int32)))
    squares = [jnp.sum(jnp.square(leaf)) for leaf in jax.tree.leaves(shift(tree, -e))]
    total = functools.reduce(jnp.add, [square.astype(jnp.result_type(*squares)) for square in squares])
    return jnp.log10(total) / 2 + (e + jnp.asarray(exponent, jnp.int32)).astype(total.dtype) * LOG10_2


def log10_root_sum_squares(numbers: Array) -> Array:
    """log10 of the norm of a whole from those of its parts, along the first axis."""
    top = jnp.max(numbers, axis=0)
    top = jnp.where(jnp.isneginf(top), jnp.zeros_like(top), top)
    return jnp.log10(jnp.sum(100 ** (numbers - top[None]), axis=0)) / 2 + top


def log10_mean(numbers: Array, real: Array) -> Array:
    """log10 of the mean of 10**numbers [B] over the True of `real` [B]; NaN if there is none."""
    numbers = jnp.where(real, numbers, -jnp.inf)
    top = jnp.max(numbers)
    infinite = jnp.isposinf(top)
    top = jnp.where(jnp.isinf(top), jnp.zeros_like(top), top)
    count = jnp.sum(real).astype(numbers.dtype)
    mean = jnp.log10(jnp.sum(10 ** (numbers - top)) / count) + top
    return jnp.where(infinite, jnp.inf, mean)
