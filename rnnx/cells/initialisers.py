"""Ways to draw the two matrices of a cell, by name. Shape is [M, G, N]: M inputs, G gates, N units.

Each gate is a matrix [M, N] of its own. "fused" takes fan-in and fan-out from the matrix [M, G N] of all gates
together, as libraries that store the gates side by side do: for an LSTM that divides the variance by 2.5 and
moves the slope of the vanishing gradient more than twofold (docs/gradient_flow.md).
"""

import jax
import jax.numpy as jnp
from jax import Array

glorot = jax.nn.initializers.glorot_uniform


def orthogonal(key: Array, shape: tuple[int, int, int], dtype) -> Array:
    """A Haar-distributed orthogonal matrix for each gate (orthonormal rows or columns where M is not N)."""
    inputs, gates, units = shape
    draw = jax.nn.initializers.orthogonal()
    draws = jax.vmap(lambda k: draw(k, (inputs, units), dtype))(jax.random.split(key, gates))
    return jnp.swapaxes(draws, 0, 1)


def identity(key: Array, shape: tuple[int, int, int], dtype) -> Array:
    """Ones on the diagonal of each gate."""
    del key  # nothing is drawn
    inputs, gates, units = shape
    return jnp.stack([jnp.eye(inputs, units, dtype=dtype)] * gates, axis=1)


INITIALISERS = {
    # U(-a, a), a = sqrt(6 / (M + N)): Glorot & Bengio 2010, eq. 16
    "glorot_uniform": glorot(in_axis=0, out_axis=2, batch_axis=1),
    "glorot_uniform_fused": glorot(in_axis=0, out_axis=(1, 2)),
    # Saxe, McClelland & Ganguli 2014, arXiv:1312.6120
    "orthogonal": orthogonal,
    # Le, Jaitly & Hinton 2015, arXiv:1504.00941
    "identity": identity,
}
