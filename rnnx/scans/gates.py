"""The gates of a factored cell as separate rows, and which of them the update reads as a sum.

Unpacking u [G, N] inside `update` is differentiated by JAX into one padded array a row. Handed over as rows, each
gate's cotangent is an array of its own. And where the update only ever reads u_g + v_g, as most do, one number serves
both, in what is stored and in what is sent back.
"""

import functools
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
from jax import Array

from rnnx.types import powers


class Parts(NamedTuple):
    """u and v, taken apart: sums where only the sum is read, and each on its own elsewhere."""

    sums: tuple[Array, ...]
    u: tuple[Array, ...]
    v: tuple[Array, ...]


class Gates(NamedTuple):
    """How one cell's u and v come apart and together again; found once from its traced update."""

    u: Any  # structures
    v: Any
    rows_u: tuple[int, ...]  # how many rows each leaf holds; () where leaves stay whole
    rows_v: tuple[int, ...]
    pairs: tuple[tuple[int, int], ...]  # (position in u, position in v) of gates that are only read as a sum

    @property
    def differ(self) -> bool:
        """Whether du is another thing than dv."""
        all_summed = self.pairs == tuple((i, i) for i in range(sum(self.rows_u)))
        return not (self.rows_u and self.rows_u == self.rows_v and self.u == self.v and all_summed)

    def apart(self, u: Any, v: Any) -> Parts:
        """Of one step."""
        u, v = row_list(jax.tree.leaves(u), self.rows_u), row_list(jax.tree.leaves(v), self.rows_v)
        sums = tuple(u[i] + v[j] for i, j in self.pairs)
        in_u, in_v = {i for i, _ in self.pairs}, {j for _, j in self.pairs}
        return Parts(
            sums,
            tuple(a for i, a in enumerate(u) if i not in in_u),
            tuple(a for j, a in enumerate(v) if j not in in_v),
        )

    def readable(self, parts: Parts) -> tuple[Any, Any]:
        """(u, v) as `update` takes them: a tuple for every leaf that has rows; of a sum, v is zero."""
        u = self._filled(parts.u, {i: s for (i, _), s in zip(self.pairs, parts.sums, strict=True)})
        v = self._filled(parts.v, {j: jnp.zeros_like(s) for (_, j), s in zip(self.pairs, parts.sums, strict=True)})
        return self.readable_rows(u, v)

    def readable_rows(self, u: Any, v: Any) -> tuple[Any, Any]:
        """(u, v) as `update` takes them, from all their rows."""
        return self.u.unflatten(_tuples(u, self.rows_u)), self.v.unflatten(_tuples(v, self.rows_v))

    def together(self, cotangents: Parts) -> Any:
        """dv of a batch of steps in the shape of v: leaves [B, G, N]."""
        v = self._filled(cotangents.v, {j: s for (_, j), s in zip(self.pairs, cotangents.sums, strict=True)})
        return self.v.unflatten(_stacked(v, self.rows_v))

    def input_side(self, d_v: Any, d_u: tuple[Array, ...]) -> Any:
        """du of a batch of steps, from dv and from what is not a sum."""
        if not self.differ:
            return d_v
        rows = row_list(jax.tree.leaves(d_v), self.rows_v, axis=1)
        return self.u.unflatten(_stacked(self._filled(d_u, {i: rows[j] for i, j in self.pairs}), self.rows_u))

    @staticmethod
    def _filled(alone: tuple, summed: dict) -> list:
        waiting = iter(alone)
        return [summed[i] if i in summed else next(waiting) for i in range(len(alone) + len(summed))]


def gates_of(cell: Any, weights: Any, states: Any, u: Any, v: Any) -> Gates:
    """The gates of a cell, from its weights and the states, u and v [B, ...] of a batch of steps."""
    one = jax.tree.map(lambda a: jax.ShapeDtypeStruct(a.shape[1:], a.dtype), (states, u, v))
    leaves, structure = jax.tree.flatten((weights, *one))
    return _found(cell, structure, tuple((a.shape, a.dtype) for a in leaves))


@functools.lru_cache(maxsize=256)
def _found(cell: Any, structure: Any, shapes: tuple) -> Gates:
    """By tracing the update of one step."""
    weights, state, u, v = structure.unflatten(jax.ShapeDtypeStruct(*shape) for shape in shapes)
    (leaves_u, tree_u), (leaves_v, tree_v) = jax.tree.flatten(u), jax.tree.flatten(v)
    if "pointwise" not in powers(cell):
        return Gates(tree_u, tree_v, (), (), ())
    count_u, count_v = (tuple(a.shape[0] for a in leaves) for leaves in (leaves_u, leaves_v))
    whole = Gates(tree_u, tree_v, count_u, count_v, ())
    rows = [
        tuple(jax.ShapeDtypeStruct(a.shape[1:], a.dtype) for a in leaves for _ in range(a.shape[0]))
        for leaves in (leaves_u, leaves_v)
    ]

    def update(weights: Any, state: Any, rows_u: Any, rows_v: Any) -> Any:
        return cell.update(weights, state, *whole.readable(Parts((), rows_u, rows_v)))

    jaxpr = jax.make_jaxpr(update)(weights, state, *rows).jaxpr
    before = len(jax.tree.leaves((weights, state)))
    return whole._replace(pairs=_sums(jaxpr, before, *map(len, rows)))


def _sums(jaxpr: Any, skip: int, count_u: int, count_v: int) -> tuple[tuple[int, int], ...]:
    """Pairs of a u and a v that are read once each, by the same addition."""
    readers: dict[Any, list] = {}
    for equation in jaxpr.eqns:
        for atom in equation.invars:
            if not hasattr(atom, "val"):
                readers.setdefault(atom, []).append(equation)
    for atom in jaxpr.outvars:
        if not hasattr(atom, "val"):
            readers.setdefault(atom, []).append(None)
    rows = jaxpr.invars[skip:]
    u, v = rows[:count_u], rows[count_u : count_u + count_v]
    pairs = []
    for i, a in enumerate(u):
        for j, b in enumerate(v):
            if len(readers.get(a, [])) == len(readers.get(b, [])) == 1 and readers[a][0] is readers[b][0]:
                (reader,) = readers[a]
                if reader is not None and reader.primitive.name == "add" and set(reader.invars) == {a, b}:
                    pairs.append((i, j))
    return tuple(pairs)


def row_list(leaves: list, rows: tuple[int, ...], axis: int = 0) -> list:
    """Every row of every leaf."""
    if not rows:
        return leaves
    pairs = zip(leaves, rows, strict=True)
    return [jax.lax.index_in_dim(leaf, g, axis, keepdims=False) for leaf, count in pairs for g in range(count)]


def _tuples(flat: list, rows: tuple[int, ...]) -> list:
    if not rows:
        return flat
    waiting = iter(flat)
    return [tuple(next(waiting) for _ in range(count)) for count in rows]


def _stacked(flat: list, rows: tuple[int, ...]) -> list:
    """Rows [B, N] as leaves [B, G, N]; a concatenation of whole rows is what XLA:CPU copies fastest."""
    if not rows:
        return flat
    return [jnp.concatenate(some, axis=1).reshape(some[0].shape[0], len(some), -1) for some in _tuples(flat, rows)]
