"""The affine recurrence in parallel: chunks side by side, in O(log T) dependent operations."""

from functools import partial
from typing import Any

import jax
import jax.numpy as jnp
from jax import Array

from rnnx.kernels.affine import Map, Steps, add, axes, identity, product, times, where, zeros


def tree(act: Map, steps: Steps, first: Any, reverse: bool, chunk: int = 8) -> tuple[Any, Any]:
    """A way of `affine.recurrence`: the maps of chunks, the states between them by the same rule, then the steps.

        P_c = A_{c,last} ... A_{c,first},  v_c = what the chunk makes of 0        each chunk, one after the other inside
        s_c = P_c s_{c-1} + v_c                                                   this way again, over T / chunk maps
        h_{c,k} = A_{c,k} h_{c,k-1} + b_{c,k},  h_{c,-1} = s_{c-1}                each chunk

    2 chunk log(T) / log(chunk) dependent operations, each on T / chunk steps side by side. It multiplies a state about
    twice as often as the loop and an A with an A (1 + 1 / chunk) times a step: N^3 where A is dense. Memory: the
    outputs and O(T / chunk) maps, where `jax.lax.associative_scan` keeps those of every level.

    Products of many A may overflow where the state is 0: then NaN stands for what the loop calls 0.
    """
    count = jax.tree.leaves(steps.b)[0].shape[0]
    chunks, rest = divmod(count, chunk)
    if chunks < 2:
        return _visits(act, [_row(act.kind, steps, k) for k in range(count)], first, reverse)
    begin = rest if reverse else 0  # whole chunks come first in the order of visits, the rest last
    rows = [_rows(act.kind, steps, begin + k, chunks, chunk) for k in range(chunk)]

    link = Map(act.kind, partial(_linked, act.kind), lambda p: p)
    s, ends = tree(link, _chunk_maps(act, rows[::-1] if reverse else rows), first, reverse, chunk)
    entering = jax.tree.map(partial(_entering, reverse), first, ends)
    side_by_side = act._replace(visit=jax.vmap(act.visit, (0, axes(act.kind, steps))))
    _, hs = _visits(side_by_side, rows, entering, reverse, 1)
    hs = jax.tree.map(lambda h: h.reshape(chunks * chunk, *h.shape[2:]), hs)
    if not rest:
        return s, hs
    begin = 0 if reverse else chunks * chunk
    last, tail = _visits(act, [_row(act.kind, steps, begin + k) for k in range(rest)], s, reverse)
    parts = (tail, hs) if reverse else (hs, tail)
    return last, jax.tree.map(lambda *some: jnp.concatenate(some), *parts)


def _linked(kind: str, s: Any, step: Steps) -> tuple[Any, Any]:
    """s_c = P_c s_{c-1} + v_c, and v_c where the chunk has a start: P_c of what is before it then means nothing."""
    s = times(kind, step.a, s)
    s = add(s if step.starts is None else where(step.starts, zeros(s), s), step.b)
    return s, s


def _chunk_maps(act: Map, rows: list[Steps]) -> Steps:
    """What each chunk does to the state that enters it; rows[k] is the k-th step of every chunk, in order of visits."""
    axis = axes(act.kind, rows[0])
    visit = jax.vmap(act.visit, (0, axis))
    v, p, cut = zeros(rows[0].b), None, None
    for row in rows:
        v, _ = visit(v, row)
        grow = partial(_grown, act)
        if axis.a is not None or row.valid is not None:  # else all chunks have one P
            grow = jax.vmap(grow, (None if p is None else 0, axis.a, 0))
        p = grow(p, row.a, row.valid)
        cut = row.starts if cut is None else cut | row.starts
    return Steps(p, v, cut, None)


def _grown(act: Map, p: Any, a: Any, valid: Array | None) -> Any:
    """The linear part of some steps and one more; p is None before the first."""
    a = act.turn(a)
    more = a if p is None else product(act.kind, a, p)
    if valid is None:
        return more
    return where(valid, more, identity(act.kind, a) if p is None else p)


def _visits(act: Map, rows: list[Steps], carry: Any, reverse: bool, axis: int = 0) -> tuple[Any, Any]:
    """One row after the other, written out; outputs stacked along `axis`."""
    outputs = []
    for row in reversed(rows) if reverse else rows:
        carry, out = act.visit(carry, row)
        outputs.append(out)
    outputs = outputs[::-1] if reverse else outputs
    return carry, jax.tree.map(lambda *some: jnp.stack(some, axis), *outputs)


def _entering(reverse: bool, first: Array, ends: Array) -> Array:
    """The state before each chunk."""
    return jnp.concatenate([ends[1:], first[None]] if reverse else [first[None], ends[:-1]])


def _rows(kind: str, steps: Steps, begin: int, count: int, stride: int) -> Steps:
    """Every `stride`-th step from `begin` on, `count` of them."""

    def take(leaf):
        return jax.lax.slice_in_dim(leaf, begin, begin + (count - 1) * stride + 1, stride)

    if axes(kind, steps).a is None:
        return jax.tree.map(take, steps._replace(a=None))._replace(a=steps.a)
    return jax.tree.map(take, steps)


def _row(kind: str, steps: Steps, k: int) -> Steps:
    """Step k alone."""
    one = _rows(kind, steps, k, 1, 1)
    if axes(kind, steps).a is None:
        return jax.tree.map(lambda leaf: leaf[0], one._replace(a=None))._replace(a=steps.a)
    return jax.tree.map(lambda leaf: leaf[0], one)
