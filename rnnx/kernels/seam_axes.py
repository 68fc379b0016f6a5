"""Where the axes of groups and batch stand in the arrays of the seam, and how `vmap` makes them longer."""

from typing import Any

import jax
import jax.numpy as jnp
from jax import Array

# Where the axis of groups stands, and that of the batch: in weights, in states, in what has steps.
WEIGHT, STATE, STEPS = (0, None), (0, 1), (0, 2)


def spread(*groups: tuple[Any, tuple]) -> list[tuple]:
    """The axes of every flat operand, from (tree, axes) pairs."""
    return [axes for tree, axes in groups for _ in range(tree.num_leaves)]


def split(flat: Any, *trees: Any) -> list[Any]:
    """A flat list as trees, one after the other."""
    flat, out = list(flat), []
    for tree in trees:
        out.append(tree.unflatten(flat[: tree.num_leaves]))
        flat = flat[tree.num_leaves :]
    return out


def grouped(function: Any, axes_in: Any, axes_out: Any) -> Any:
    """`function` of one group as one of all: a single group is not worth a loop's extra axis."""

    def run(*args: Any) -> Any:
        pairs = [
            (axes[0], leaf)
            for axes, arg in zip(axes_in, args, strict=True)
            if axes is not None
            for leaf in jax.tree.leaves(arg)
        ]
        axis, leaf = pairs[0]
        if leaf.shape[axis] > 1:
            k_in = tuple(None if axes is None else axes[0] for axes in axes_in)
            return jax.vmap(function, k_in, tuple(axes[0] for axes in axes_out))(*args)
        bare = [each(jnp.squeeze, arg, axes) for arg, axes in zip(args, axes_in, strict=True)]
        out = function(*bare)
        return tuple(each(jnp.expand_dims, o, axes) for o, axes in zip(out, axes_out, strict=True))

    return run


def each(move: Any, tree: Any, axes: Any) -> Any:
    return tree if axes is None else jax.tree.map(lambda a: move(a, axes[0]), tree)


def grown(a: Array, dim: int | None, size: int, where: tuple, which: int) -> Array:
    """A bare operand with the mapped axis in its place and the other one of length 1; moved before it is reshaped."""
    place, other = bare_place(where, which), where[1 - which]
    if place is not None:
        a = jnp.moveaxis(a, dim, place) if dim is not None else repeated(a, size, place)
    return a if other is None else jnp.expand_dims(a, other)


def bare_place(where: tuple, which: int) -> int | None:
    """Where the mapped axis stands as long as the other one is not there."""
    place, other = where[which], where[1 - which]
    return place if place is None or other is None or other > place else place - 1


def repeated(a: Array, size: int, place: int) -> Array:
    return jnp.broadcast_to(jnp.expand_dims(a, place), (*a.shape[:place], size, *a.shape[place:]))


def fold(a: Array, dim: int | None, size: int, where: tuple, which: int) -> Array:
    """The mapped axis of `a` (None: it has none) made one with the axis it belongs to."""
    place = where[which]
    if place is None:
        return a  # shared weights
    a = repeated(a, size, place) if dim is None else jnp.moveaxis(a, dim, place)
    return a.reshape(*a.shape[:place], a.shape[place] * a.shape[place + 1], *a.shape[place + 2 :])


def apart(a: Array, size: int, place: int) -> Array:
    """The axis at `place` as two, the first of `size`."""
    return a.reshape(*a.shape[:place], size, a.shape[place] // size, *a.shape[place + 1 :])
