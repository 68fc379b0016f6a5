"""Ways to draw the two matrices of a cell, by name. Shape is [M, G, N]: M inputs, G gates, N units.

Each gate is a matrix [M, N] of its own. "fused" says that fan-in and fan-out are taken from the matrix
[M, G N] of all gates together, as libraries that store the gates side by side do: for an LSTM that divides
the variance by 2.5 and moves the slope of the vanishing gradient more than twofold (docs/gradient_flow.md).
"""

import jax
import jax.numpy as jnp
from jax import Array


def _per_gate(draw):
    """An initialiser of [M, N] matrices, applied to every gate with a key of its own."""

    def initialiser(key: Array, shape: tuple[int, int, int], dtype) -> Array:
        inputs, gates, units = shape
        keys = jax.random.split(key, gates)
        return jnp.stack([draw(k, (inputs, units), dtype) for k in keys], axis=1)

    return initialiser


def _fused(draw):
    """An initialiser of [M, N] matrices, applied once to all gates side by side."""

    def initialiser(key: Array, shape: tuple[int, int, int], dtype) -> Array:
        inputs, gates, units = shape
        return draw(key, (inputs, gates * units), dtype).reshape(shape)

    return initialiser


def _identity(key: Array, shape: tuple[int, int], dtype) -> Array:
    del key  # nothing is drawn
    return jnp.eye(*shape, dtype=dtype)


INITIALISERS = {
    # U(-a, a), a = sqrt(6 / (M + N))                 Glorot & Bengio 2010, eq. 16
    "glorot_uniform": _per_gate(jax.nn.initializers.glorot_uniform()),
    "glorot_uniform_fused": _fused(jax.nn.initializers.glorot_uniform()),
    # Haar-distributed orthogonal (columns if M > N)   Saxe, McClelland & Ganguli 2014
    "orthogonal": _per_gate(jax.nn.initializers.orthogonal()),
    # ones on the diagonal                             Le, Jaitly & Hinton 2015
    "identity": _per_gate(_identity),
}
