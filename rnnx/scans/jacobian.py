"""The Jacobian ds_t/ds_{t-1} of one step: whole, unit by unit, or its diagonal; exact, and structured where it can be.

Of a pointwise cell it is diagonal factors times the recurrent matrix, with D_i = ds_i/dv_g and E_ij = ds_i/ds_j at
fixed gates, both one number a unit:

    J_ij = diag(E_ij) + sum_g diag(D_ig) R_g^T    [N, N], R_g [M, N] the rows of the recurrent matrix for leaf j

which takes one tangent a leaf and a gate. Any other cell's is found by forward mode, one tangent a number of state.
"""

from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
from jax import Array

from rnnx.types import Recurrent, powers

SOLVES = {"full": "dense", "block": "block", "diagonal": "diagonal"}  # what is kept of J, and its kind of product


class Linear(NamedTuple):
    """One step at one point: the new state [S] and what is kept of its Jacobian, in the order of `ravel`."""

    new: Array
    jacobian: Array  # full [S, S], block [N, L, L], diagonal [S]


def ravel(state: Any, solve: str) -> Array:
    """A state as [S]: leaf after leaf, or unit after unit for "block"."""
    leaves = jax.tree.leaves(state)
    return jnp.stack(leaves, 1).reshape(-1) if solve == "block" else jnp.concatenate([a.reshape(-1) for a in leaves])


def unravel(flat: Array, like: Any, solve: str) -> Any:
    """The inverse."""
    leaves, structure = jax.tree.flatten(like)
    if solve == "block":
        return structure.unflatten(jnp.unstack(flat.reshape(-1, len(leaves)), axis=1))
    ends = [sum(a.size for a in leaves[: i + 1]) for i in range(len(leaves))]
    pieces = jnp.split(flat, ends[:-1])
    return structure.unflatten(piece.reshape(a.shape) for piece, a in zip(pieces, leaves, strict=True))


def even(state: Any) -> bool:
    """Whether all leaves are [N] of one width, as "block" needs."""
    shapes = {a.shape for a in jax.tree.leaves(state)}
    return len(shapes) == 1 and len(shapes.pop()) == 1


def linear(cell: Any, weights: Any, state: Any, x: Any, solve: str) -> Linear:
    """`cell`'s step from `state`, with its Jacobian there."""
    if "pointwise" in powers(cell) and even(state):
        return _pointwise(cell, weights, state, x, solve)

    def step(flat: Array) -> Array:
        return ravel(cell.step(weights, unravel(flat, state, solve), x)[0], solve)

    flat = ravel(state, solve)
    new, push = jax.linearize(step, flat)
    jacobian = jax.vmap(push, out_axes=1)(jnp.eye(flat.size, dtype=flat.dtype))
    if solve == "diagonal":
        return Linear(new, jnp.diagonal(jacobian))
    if solve == "block":
        count = len(jax.tree.leaves(state))
        blocks = jacobian.reshape(-1, count, flat.size // count, count)
        return Linear(new, jnp.einsum("ninj->nij", blocks))
    return Linear(new, jacobian)


def _pointwise(cell: Any, weights: Any, state: Any, x: Any, solve: str) -> Linear:
    """From E and D, found with the gates as separate rows."""
    leaves, structure = jax.tree.flatten(state)
    told = cell.recurrent(weights)
    u, v = (jax.tree.map(lambda a: tuple(a), gates) for gates in (cell.drive(weights, x), cell.recur(weights, state)))
    rows, tree = jax.tree.flatten(v)

    def update(leaves: list, rows: list) -> list:
        return jax.tree.leaves(cell.update(weights, structure.unflatten(leaves), u, tree.unflatten(rows)))

    new, push = jax.linearize(update, leaves, rows)
    zeros = [jnp.zeros_like(a) for a in leaves], [jnp.zeros_like(a) for a in rows]

    def along(which: int, place: int) -> Array:
        """ds_i for all i [L, N], along ones in one leaf or one gate."""
        tangents = [list(group) for group in zeros]
        tangents[which][place] = jnp.ones_like(tangents[which][place])
        return jnp.stack(push(*tangents))

    direct = jnp.stack([along(0, j) for j in range(len(leaves))], 1)  # [L, L, N]
    gates = jnp.stack([along(1, g) for g in range(len(rows))], 1)  # [L, G, N]
    jacobian = _full(direct, gates, told) if solve == "full" else _local(direct, gates, told)
    flat = ravel(structure.unflatten(new), solve)
    if solve == "diagonal":
        return Linear(flat, jnp.concatenate([jacobian[:, i, i] for i in range(len(leaves))]))
    return Linear(flat, jacobian)


def _full(direct: Array, gates: Array, told: Recurrent) -> Array:
    """[S, S] from the parts."""
    count, _, units = direct.shape
    eye = jnp.eye(units, dtype=direct.dtype)
    through = jnp.einsum("lgn,mgn->lnm", gates, _dense(told))  # [L, N, M]
    whole = jnp.einsum("ijn,nm->injm", direct, eye)
    for place, leaf in enumerate(told.leaves):
        whole = whole.at[:, :, leaf].add(through[:, :, place * units : (place + 1) * units])
    return whole.reshape(count * units, count * units)


def _local(direct: Array, gates: Array, told: Recurrent) -> Array:
    """[N, L, L] from the parts: what each unit's own leaves do to each other."""
    units = direct.shape[2]
    whole = jnp.einsum("ijn->nij", direct)
    for place, leaf in enumerate(told.leaves):
        if told.kind == "diagonal":
            own = told.matrix
        else:
            own = jnp.einsum("ngn->gn", _dense(told)[place * units : (place + 1) * units])
        whole = whole.at[:, :, leaf].add(jnp.einsum("lgn,gn->nl", gates, own))
    return whole


def _dense(told: Recurrent) -> Array:
    """The recurrent matrix as [M, G, N], whatever its kind."""
    if told.kind == "dense":
        return told.matrix
    if told.kind == "diagonal":
        return jnp.einsum("gn,mn->mgn", told.matrix, jnp.eye(told.matrix.shape[1], dtype=told.matrix.dtype))
    heads, m, g, n = told.matrix.shape
    eye = jnp.eye(heads, dtype=told.matrix.dtype)
    return jnp.einsum("hmgn,hk->hmgkn", told.matrix, eye).reshape(heads * m, g, heads * n)
