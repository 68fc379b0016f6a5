"""A batch divided among the devices of a mesh axis: what each takes, and what all of them agree on.

Inside `jax.shard_map`, `axis` is the axis's name; None is one device that has all of it.
"""

from typing import Any

import jax
from jax import Array


def own(tree: Any, axis: str | None) -> Any:
    """This device's part of leaves [B, ...], which every device has whole."""
    if axis is None:
        return tree

    def part(leaf: Array) -> Array:
        size = leaf.shape[0] // jax.lax.axis_size(axis)
        return jax.lax.dynamic_slice_in_dim(leaf, jax.lax.axis_index(axis) * size, size)

    return jax.tree.map(part, tree)


def mean(tree: Any, axis: str | None) -> Any:
    """The mean over devices."""
    return tree if axis is None else jax.lax.pmean(tree, axis)


def devices(axis: str | None) -> int:
    return 1 if axis is None else jax.lax.axis_size(axis)
