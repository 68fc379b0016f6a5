"""What the norm-preserving cells share: modReLU, real and complex, their weights, state and fields.

    modReLU(z) = (|z| + b) z / |z|   where |z| + b > 0, else 0    (Arjovsky, Shah & Bengio 2016, eq. 8)

With b = 0 it is the identity. At z = 0 it is 0, with derivative 0.
"""

import dataclasses
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
from jax import Array

from rnnx.cells import initialisers
from rnnx.cells.parts import product, relu
from rnnx.cells.unitary.rotations import MAPS, SKEW
from rnnx.types import Recurrent, one_of


class Weights(NamedTuple):
    w_x: Array  # [D, 1, N]
    w_h: Array  # [N, 1, N]
    b: Array  # [N], of modReLU


class ComplexWeights(NamedTuple):
    w_x: Array  # [D, 2, N], real and imaginary part
    w_h: Array  # [2N, 2, N]
    b: Array  # [N], of modReLU
    h_0: Array  # [2, N], the first state


class State(NamedTuple):
    re: Array  # [N]
    im: Array  # [N]


def drive(cell: Any, weights: Any, x: Array) -> Array:
    """u = W_x x    [G, N]"""
    del cell
    return product(x, weights.w_x)


# ---------------------------------------------------------------------------------------------------------- real


def initial_state(cell: Any, weights: Weights) -> Array:
    """h = 0    [N]"""
    del cell
    return jnp.zeros_like(weights.b)


def update(cell: Any, weights: Weights, state: Array, u, v) -> Array:
    """h = modReLU(u + v)    [N]"""
    del cell, state
    (u,), (v,) = u, v
    z = u + v
    return jnp.sign(z) * relu(jnp.abs(z) + weights.b)


# ------------------------------------------------------------------------------------------------------- complex


def complex_outputs(cell: Any) -> int:
    """The width of y: Re h and Im h."""
    return 2 * cell.units


def complex_initial_state(cell: Any, weights: ComplexWeights) -> State:
    """h = h_0"""
    del cell
    return State(*weights.h_0)


def complex_recur(cell: Any, weights: ComplexWeights, state: State) -> Array:
    """v = W h    [2, N]"""
    del cell
    return product(jnp.concatenate(state), weights.w_h)


def complex_recurrent(cell: Any, weights: ComplexWeights) -> Recurrent:
    """W multiplies both parts of h."""
    del cell
    return Recurrent("dense", weights.w_h, (0, 1))


def complex_update(cell: Any, weights: ComplexWeights, state: State, u, v) -> State:
    """h = modReLU(u + v)"""
    del cell, state
    u_re, u_im = u
    v_re, v_im = v
    re, im = u_re + v_re, u_im + v_im
    square = re * re + im * im
    size = jnp.sqrt(jnp.where(square > 0, square, jnp.ones_like(square)))  # not of 0: it has no derivative there
    scale = jnp.where(square > 0, relu(size + weights.b) / size, jnp.zeros_like(size))
    return State(scale * re, scale * im)


def complex_readout(cell: Any, weights: ComplexWeights, state: State, x: Any) -> Array:
    """y = (Re h, Im h)    [2N]"""
    del cell, weights, x
    return jnp.concatenate(state)


# -------------------------------------------------------------------------------------------------------- fields


def check(cell: Any) -> None:
    """A `__post_init__`: every field named `*_init` must be a rule that exists, `map` a map."""
    for field in dataclasses.fields(cell):
        what, got = f"{type(cell).__name__}.{field.name}", getattr(cell, field.name)
        if field.name.endswith("_init"):
            initialisers.parse(what, got, SKEW if field.name == "skew_init" else None)
        if field.name == "map":
            one_of(what, got, MAPS)


def input_weights(cell: Any, key: Array, gates: int) -> tuple[Array, Array]:
    """(w_x [D, G, N], b [N]) by the cell's `input_init` and `bias_init`."""
    dtype = jnp.zeros(()).dtype
    key_x, key_b = jax.random.split(key)
    return (
        initialisers.draw(cell.input_init, key_x, (cell.inputs, gates, cell.units), dtype),
        initialisers.draw(cell.bias_init, key_b, (1, 1, cell.units), dtype)[0, 0],
    )
