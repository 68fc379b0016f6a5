"""How the time steps of continuous systems are checked and drawn, by the cell's `dt_min` and `dt_max`."""

import math
from typing import Any

import jax
import jax.numpy as jnp
from jax import Array

FLOOR = 1e-4  # of the steps whose inverse softplus is drawn


def check_steps(cell: Any) -> None:
    """0 < dt_min <= dt_max."""
    if not 0 < cell.dt_min <= cell.dt_max:
        name = type(cell).__name__
        raise ValueError(f"{name}.dt_min got {cell.dt_min}; write a number above 0 and at most dt_max={cell.dt_max}")


def draw_log_steps(cell: Any, key: Array, count: int, dtype: Any) -> Array:
    """log dt, dt log-uniform in [dt_min, dt_max]    [count]"""
    return jax.random.uniform(key, (count,), dtype, math.log(cell.dt_min), math.log(cell.dt_max))


def draw_steps(cell: Any, key: Array, count: int, dtype: Any) -> Array:
    """Biases b with softplus(b) log-uniform in [dt_min, dt_max], at least 1e-4    [count]"""
    dt = jnp.maximum(jnp.exp(draw_log_steps(cell, key, count, dtype)), FLOOR)
    return dt + jnp.log(-jnp.expm1(-dt))
