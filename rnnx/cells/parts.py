"""The parts that most cells share. A cell's class takes them as they are: `drive = parts.drive`.

They read the weights by the names every dense cell uses: w_x [D, G, N], w_h [N, G, N], b [G, N], and take h for the
first leaf of the state.
"""

import dataclasses
import functools
import math
from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
from jax import Array

from rnnx.cells import initialisers
from rnnx.cells.memory import MEMORIES, remember
from rnnx.types import Recurrent


def product(x: Array, matrix: Array) -> Array:
    """x [M] through matrix [M, G, N] -> [G, N], as one product over all gates."""
    width, gates, units = matrix.shape
    if x.shape != (width,):
        raise ValueError(
            f"a step got an array of shape {x.shape} for weights that take [{width}]; give one step of one sequence, "
            "of the width the cell was built with (jax.vmap adds a batch)"
        )
    return (x @ matrix.reshape(width, gates * units)).reshape(gates, units)


def prepare(cell: Any, params: Any) -> Any:
    """Weights are the parameters themselves."""
    del cell
    return params


def widely(prepare: Callable[[Any, Any], Any]) -> Callable[[Any, Any], Any]:
    """A `prepare` that computes in float32 at least, for parameters of half width, and hands over their dtype.

    Exponentials, inverses and complex numbers exist in full width only.
    """

    @functools.wraps(prepare)
    def prepared(self: Any, params: Any) -> Any:
        narrow = jax.tree.leaves(params)[0].dtype
        if narrow.itemsize >= 4:
            return prepare(self, params)
        weights = prepare(self, jax.tree.map(lambda a: a.astype(jnp.float32), params))
        return jax.tree.map(lambda a: a.astype(narrow), weights)

    return prepared


def initial_state(cell: Any, weights: Any) -> Array:
    """h = 0    [N]"""
    del cell
    return jnp.zeros_like(weights.b[0])


def drive(cell: Any, weights: Any, x: Array) -> Array:
    """u = W_x x + b    [G, N]"""
    del cell
    return product(x, weights.w_x) + weights.b


def recur(cell: Any, weights: Any, state: Any) -> Array:
    """v = W_h h    [G, N]"""
    del cell
    return product(jax.tree.leaves(state)[0], weights.w_h)


def recurrent(cell: Any, weights: Any) -> Recurrent:
    """W_h multiplies h."""
    del cell
    return Recurrent("dense", weights.w_h, (0,))


def readout(cell: Any, weights: Any, state: Any, x: Any) -> Array:
    """y = h"""
    del cell, weights, x
    return jax.tree.leaves(state)[0]


def step(cell: Any, weights: Any, state: Any, x: Any) -> tuple[Any, Array]:
    """Drive, recur, update and readout in a row."""
    state = cell.update(weights, state, cell.drive(weights, x), cell.recur(weights, state))
    return state, cell.readout(weights, state, x)


def outputs(cell: Any) -> int:
    """The width of y: that of h."""
    return cell.units


# ----------------------------------------------------------------------------------------------------- functions


def relu(a: Array) -> Array:
    """max(a, 0), with derivative 0 at 0 in every order.

    `jax.nn.relu` owes that to a rule of its own, which JAX 0.10 and 0.11 lose in second derivatives through `lax.scan`.
    """
    return jnp.where(a <= 0, jnp.zeros_like(a), a)  # so that a NaN stays


def softplus(a: Array) -> Array:
    """log(1 + exp(a)). Beyond `top` that is a, to rounding, and the exponential would overflow."""
    top = -math.log(float(jnp.finfo(a.dtype).eps))
    return jnp.where(a > top, a, jnp.log1p(jnp.exp(jnp.minimum(a, top))))


def log_sigmoid(a: Array) -> Array:
    """log(1 / (1 + exp(-a))), which never overflows."""
    return -softplus(-a)


LOG_FORGET = {"sigmoid": log_sigmoid, "exponential": lambda a: a}  # the logarithm of xLSTM's forget gates


# ----------------------------------------------------------------------------------- fields and initial weights


def check(cell: Any) -> None:
    """A `__post_init__`: every field named `*_init` must be a rule that exists."""
    for field in dataclasses.fields(cell):
        if field.name.endswith("_init"):
            rules = MEMORIES if field.name == "forget_init" else None
            initialisers.parse(f"{type(cell).__name__}.{field.name}", getattr(cell, field.name), rules)


def check_heads(cell: Any) -> None:
    """`heads` must divide `units`."""
    if cell.heads < 1 or cell.units % cell.heads:
        name = type(cell).__name__
        raise ValueError(f"{name}.heads got {cell.heads} for {cell.units} units; write a number that divides them")


def gates(
    cell: Any, key: Array, count: int, keeps: int | None = None, takes: int | None = None
) -> tuple[Array, Array, Array]:
    """(w_x, w_h, b) for `count` gates by the cell's `input_init`, `recurrent_init` and `bias_init`.

    `keeps` is the row of the gate that keeps the old state, `takes` that of a separate gate for the new one:
    their biases follow `forget_init` and `forget_bias`.
    """
    dtype = jnp.zeros(()).dtype
    key_x, key_h = jax.random.split(key)
    key_b, key_f = jax.random.split(jax.random.fold_in(key, 1))
    w_x = initialisers.draw(cell.input_init, key_x, (cell.inputs, count, cell.units), dtype)
    w_h = initialisers.draw(cell.recurrent_init, key_h, (cell.units, count, cell.units), dtype)
    b = initialisers.draw(cell.bias_init, key_b, (1, count, cell.units), dtype)[0]
    return w_x, w_h, b if keeps is None else remember(cell, key_f, b, keeps, takes)
