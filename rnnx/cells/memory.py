"""How the bias of a gate that keeps the old state is drawn: constant, by the time scales wanted, or spread evenly.

The gate is sigmoid(b) at rest and keeps a state for about 1 / (1 - sigmoid(b)) steps.
"""

from collections.abc import Callable

import jax
import jax.numpy as jnp
from jax import Array

from rnnx.cells.initialisers import parse


def constant(key: Array, units: int, dtype, bias: float) -> Array:
    """The same bias for every unit (Gers, Schmidhuber & Cummins 2000; Jozefowicz et al. 2015 recommend 1)."""
    del key
    return jnp.full(units, bias, dtype)


def chrono(key: Array, units: int, dtype, bias: float, longest: float) -> Array:
    """log(U(1, T - 1)): memories of 2 to T steps (Tallec & Ollivier 2018, arXiv:1804.11188, eq. 16)."""
    del bias
    return jnp.log(jax.random.uniform(key, (units,), dtype, 1, longest - 1))


def uniform_gate(key: Array, units: int, dtype, bias: float) -> Array:
    """logit(U(1/N, 1 - 1/N)): gates spread evenly over (0, 1) (Gu et al. 2020, arXiv:1910.09890, eq. 12)."""
    del bias
    edge = min(1 / units, 0.5)  # one unit alone gets the middle, 0
    u = jax.random.uniform(key, (units,), dtype, edge, 1 - edge)
    return jnp.log(u) - jnp.log1p(-u)


MEMORIES: dict[str, Callable] = {"constant": constant, "chrono": chrono, "uniform_gate": uniform_gate}


def remember(cell, key: Array, b: Array, keeps: int, takes: int | None = None) -> Array:
    """Biases b [G, N] with the row `keeps` set by the cell's `forget_init` and `forget_bias`.

    The constant `forget_bias` is ADDED to what was drawn. The other rules need none: they replace the row, and a
    separate gate for the new, the row `takes`, gets its negative. What is kept is not taken, and the other way round.
    """
    name, number = parse("forget_init", cell.forget_init, MEMORIES)
    bias = MEMORIES[name](key, b.shape[1], b.dtype, cell.forget_bias, *number)
    if name == "constant":
        return b.at[keeps].add(bias)
    return b.at[keeps].set(bias) if takes is None else b.at[keeps].set(bias).at[takes].set(-bias)
