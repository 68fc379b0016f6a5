"""Ways to draw the two matrices of a cell, by name. Shape is [M, G, N]: M inputs, G gates, N units.

Each gate is a matrix [M, N] of its own. "fused" takes fan-in and fan-out from the matrix [M, G N] of all gates
together, as libraries that store the gates side by side do: for an LSTM that divides the variance by 2.5 and
moves the slope of the vanishing gradient more than twofold (docs/gradient_flow.md).
"""

import math

import jax
import jax.numpy as jnp
from jax import Array

Shape = tuple[int, int, int]


def glorot_uniform(key: Array, shape: Shape, dtype) -> Array:
    """U(-a, a), a = sqrt(6 / (M + N)): the fans of one gate."""
    inputs, _, units = shape
    return _uniform(key, shape, dtype, math.sqrt(6 / (inputs + units)))


def glorot_uniform_fused(key: Array, shape: Shape, dtype) -> Array:
    """U(-a, a), a = sqrt(6 / (M + G N)): the fans of all gates side by side."""
    inputs, gates, units = shape
    return _uniform(key, shape, dtype, math.sqrt(6 / (inputs + gates * units)))


def _uniform(key: Array, shape: Shape, dtype, bound: float) -> Array:
    # Drawn flat: XLA:CPU takes five times as long to compile the same draw in three dimensions.
    return jax.random.uniform(key, (math.prod(shape),), dtype, -bound, bound).reshape(shape)


def orthogonal(key: Array, shape: Shape, dtype) -> Array:
    """A Haar-distributed orthogonal matrix for each gate (orthonormal rows or columns where M is not N)."""
    inputs, gates, units = shape
    draw = jax.nn.initializers.orthogonal()
    draws = jax.vmap(lambda k: draw(k, (inputs, units), dtype))(jax.random.split(key, gates))
    return jnp.swapaxes(draws, 0, 1)


def identity(key: Array, shape: Shape, dtype) -> Array:
    """Ones on the diagonal of each gate."""
    del key  # nothing is drawn
    inputs, gates, units = shape
    return jnp.stack([jnp.eye(inputs, units, dtype=dtype)] * gates, axis=1)


INITIALISERS = {
    "glorot_uniform": glorot_uniform,  # Glorot & Bengio 2010, eq. 16
    "glorot_uniform_fused": glorot_uniform_fused,
    "orthogonal": orthogonal,  # Saxe, McClelland & Ganguli 2014, arXiv:1312.6120
    "identity": identity,  # Le, Jaitly & Hinton 2015, arXiv:1504.00941
}
