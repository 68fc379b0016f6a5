"""The parts that most cells share. A cell's class takes them as they are: `drive = parts.drive`.

They read the weights by the names every dense cell uses: w_x [D, G, N], w_h [N, G, N], b [G, N].
"""

from typing import Any

import jax
import jax.numpy as jnp
from jax import Array

from rnnx.cells.initialisers import INITIALISERS
from rnnx.types import Recurrent


def product(x: Array, matrix: Array) -> Array:
    """x [M] through matrix [M, G, N] -> [G, N], as one product over all gates."""
    width, gates, units = matrix.shape
    return (x @ matrix.reshape(width, gates * units)).reshape(gates, units)


def prepare(cell: Any, params: Any) -> Any:
    """Weights are the parameters themselves."""
    del cell
    return params


def drive(cell: Any, weights: Any, x: Array) -> Array:
    """u = W_x x + b    [G, N]"""
    del cell
    return product(x, weights.w_x) + weights.b


def recur(cell: Any, weights: Any, state: Array) -> Array:
    """v = W_h h    [G, N], for a state that is h alone"""
    del cell
    return product(state, weights.w_h)


def recurrent(cell: Any, weights: Any) -> Recurrent:
    """W_h multiplies the first leaf of the state, h."""
    del cell
    return Recurrent("dense", weights.w_h, (0,))


def readout(cell: Any, weights: Any, state: Array, x: Any) -> Array:
    """y = h, for a state that is h alone"""
    del cell, weights, x
    return state


def step(cell: Any, weights: Any, state: Any, x: Any) -> tuple[Any, Array]:
    """Drive, recur, update and readout in a row."""
    state = cell.update(weights, state, cell.drive(weights, x), cell.recur(weights, state))
    return state, cell.readout(weights, state, x)


def gates(cell: Any, key: Array, count: int) -> tuple[Array, Array, Array]:
    """(w_x, w_h, b) for `count` gates: drawn by the cell's `input_init` and `recurrent_init`; b is zero."""
    dtype = jnp.zeros(()).dtype
    key_x, key_h = jax.random.split(key)
    w_x = INITIALISERS[cell.input_init](key_x, (cell.inputs, count, cell.units), dtype)
    w_h = INITIALISERS[cell.recurrent_init](key_h, (cell.units, count, cell.units), dtype)
    return w_x, w_h, jnp.zeros((count, cell.units), dtype)
