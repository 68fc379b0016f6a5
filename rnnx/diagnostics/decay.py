"""Numbers that sum up a curve of log10 norms by lag [T]: slope, half-life, what float32 would have lost."""

import jax.numpy as jnp
from jax import Array

from rnnx.diagnostics.scaled import LOG10_2

LOG10_FLOAT32_TINY = -37.92977945366163  # log10 of float32's smallest normal number, 2**-126


def slope(curve: Array, reach: int | Array | None = None) -> Array:
    """Least-squares slope of log10 norm per step, over lags 0.1 T to 0.9 T of the first T = `reach` lags.

    Negative when the gradient vanishes. Points that are not finite are left out; NaN with fewer than two.

    >>> import jax.numpy as jnp
    >>> float(slope(-0.5 * jnp.arange(100.0)))
    -0.5
    """
    steps = jnp.asarray(curve.shape[0] if reach is None else reach).astype(curve.dtype)
    lags = jnp.arange(curve.shape[0], dtype=curve.dtype)
    used = (lags >= 0.1 * steps) & (lags <= 0.9 * steps) & (lags < steps) & jnp.isfinite(curve)
    weight = used.astype(curve.dtype)
    count = jnp.sum(weight)
    lag = jnp.where(used, lags - jnp.sum(weight * lags) / count, jnp.zeros_like(lags))
    value = jnp.where(used, curve, jnp.zeros_like(curve))
    return jnp.where(count >= 2, jnp.sum(lag * (value - jnp.sum(value) / count)) / jnp.sum(lag * lag), jnp.nan)


def half_life(slope: Array) -> Array:
    """Steps in which the norm halves; inf if it does not fall.

    >>> import jax.numpy as jnp
    >>> round(float(half_life(jnp.array(-0.30103))), 3)
    1.0
    """
    return jnp.where(slope < 0, -LOG10_2 / slope, jnp.where(jnp.isnan(slope), jnp.nan, jnp.inf))


def share_below_float32(curve: Array, reach: int | Array | None = None) -> Array:
    """The share of the first `reach` lags whose norm is below float32's smallest normal number, 1.2e-38."""
    steps = jnp.minimum(jnp.asarray(curve.shape[0] if reach is None else reach), curve.shape[0])
    lost = (curve < LOG10_FLOAT32_TINY) & (jnp.arange(curve.shape[0], dtype=steps.dtype) < steps)
    return jnp.sum(lost.astype(curve.dtype)) / steps.astype(curve.dtype)
