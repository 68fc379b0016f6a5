"""The affine recurrence in parallel: all levels of a tree at once, or chunks side by side."""

from functools import partial
from typing import Any

import jax
import jax.numpy as jnp
from jax import Array
from jax.custom_batching import custom_vmap

from rnnx.kernels.affine import Map, Steps, add, axes, identity, loop, product, times, where, zeros


def tree(act: Map, steps: Steps, first: Any, reverse: bool, chunk: int = 16, unroll: int = 1) -> tuple[Any, Any]:
    """A way of `affine.recurrence`: the maps of chunks, the states between them by the same rule, then the steps.

        P_c = A_{c,last} ... A_{c,first},  v_c = what the chunk makes of 0        all chunks side by side
        s_c = P_c s_{c-1} + v_c                                                   this way again, T / chunk maps
        h_{c,k} = A_{c,k} h_{c,k-1} + b_{c,k},  h_{c,-1} = s_{c-1}                all chunks side by side

    About 2 chunk log(T) / log(chunk) visits in a row instead of T, each of T / chunk steps. It multiplies a state twice
    as often as the loop, and once a step an A with an A: N^3 where A is dense. Memory: the outputs and O(T / chunk)
    maps; where no number from chunk / 2 to 2 chunk divides T, also copies of the steps and of the outputs.

    Products of many A may overflow where the state is 0: then NaN stands for what the loop calls 0.
    """
    count = jax.tree.leaves(steps.b)[0].shape[0]
    chunk = near_divisor(count, chunk)
    chunks, rest = divmod(count, chunk)
    if chunks < 2:
        return loop(act, steps, first, reverse)
    whole, tail = _split(act.kind, steps, rest if reverse else count - rest)
    if reverse:
        whole, tail = tail, whole  # the rest is what is visited last
    constant = axes(act.kind, steps).a is None
    a = whole.a if constant else ()
    whole = jax.tree.map(
        lambda leaf: leaf.reshape(chunks, chunk, *leaf.shape[1:]), whole._replace(a=() if constant else whole.a)
    )

    def row(k):
        taken = jax.tree.map(lambda leaf: jax.lax.dynamic_index_in_dim(leaf, k, 1, keepdims=False), whole)
        return taken._replace(a=a) if constant else taken

    order = jnp.arange(chunk)
    maps = _chunk_maps(act, row, order, reverse, unroll)
    link = Map(act.kind, partial(_linked, act.kind), lambda p: p)
    s, ends = tree(link, maps, first, reverse, chunk, unroll)

    visit = jax.vmap(act.visit, (0, axes(act.kind, steps)))

    def write(carry, k):
        h, hs = carry
        h, out = visit(h, row(k))
        return (h, jax.tree.map(lambda hs, out: put(1)(hs, out, k), hs, out)), None

    entering = jax.tree.map(partial(_entering, reverse), first, ends)
    (_, hs), _ = jax.lax.scan(write, (entering, zeros(whole.b)), order, reverse=reverse, unroll=unroll)
    hs = jax.tree.map(lambda h: h.reshape(chunks * chunk, *h.shape[2:]), hs)
    if not rest:
        return s, hs
    last, end = loop(act, tail, s, reverse)
    parts = (end, hs) if reverse else (hs, end)
    return last, jax.tree.map(lambda *some: jnp.concatenate(some), *parts)


def levels(act: Map, steps: Steps, first: Any, reverse: bool) -> tuple[Any, Any]:
    """A way of `affine.recurrence`: every prefix product of the maps, by `jax.lax.associative_scan`.

    2 log2(T) steps in a row, and as many copies of all maps: the fastest where the machine has lanes and memory to
    spare, and A is not dense. A start cuts the product by a select.
    """
    axis = axes(act.kind, steps)
    visit = jax.vmap(act.visit, (0, axis))
    alone, _ = visit(zeros(steps.b), steps)  # what each step makes of 0
    a = act.turn(steps.a)
    if axis.a is None:
        count = jax.tree.leaves(steps.b)[0].shape[0]
        a = jax.tree.map(lambda a: jnp.broadcast_to(a, (count, *a.shape)), a)
    if steps.valid is not None:
        a = jax.vmap(where)(steps.valid, a, identity(act.kind, a))

    def then(one: tuple, two: tuple) -> tuple:
        (a1, v1, cut1), (a2, v2, cut2) = one, two
        v = add(jax.vmap(partial(times, act.kind))(a2, v1), v2)
        if cut1 is None:
            return jax.vmap(partial(product, act.kind))(a2, a1), v, None
        return jax.vmap(partial(product, act.kind))(a2, a1), jax.vmap(where)(cut2, v2, v), cut1 | cut2

    a, v, cut = jax.lax.associative_scan(then, (a, alone, steps.starts), reverse=reverse)
    s = add(jax.vmap(partial(times, act.kind), (0, None))(a, first), v)
    s = s if cut is None else jax.vmap(where)(cut, v, s)
    entering = jax.tree.map(partial(_entering, reverse), first, s)
    _, hs = visit(entering, steps)
    return jax.tree.map(lambda x: x[0 if reverse else -1], s), hs


def _chunk_maps(act: Map, row: Any, order: Array, reverse: bool, unroll: int) -> Steps:
    """What each chunk does to the state that enters it."""
    some = row(0)
    axis = axes(act.kind, some)
    visit, grow = jax.vmap(act.visit, (0, axis)), partial(_grown, act)
    a = some.a
    if axis.a is not None or some.valid is not None:  # else all chunks have one P
        chunks = jax.tree.leaves(some.b)[0].shape[0]
        grow = jax.vmap(grow, (0, axis.a, 0))
        a = a if axis.a == 0 else jax.tree.map(lambda a: jnp.broadcast_to(a[None], (chunks, *a.shape)), a)

    def visits(carry, k):
        p, v, cut = carry
        step = row(k)
        v, _ = visit(v, step)
        return (grow(p, step.a, step.valid), v, None if cut is None else cut | step.starts), None

    begin = (identity(act.kind, a), zeros(some.b), None if some.starts is None else jnp.zeros_like(some.starts))
    (p, v, cut), _ = jax.lax.scan(visits, begin, order, reverse=reverse, unroll=unroll)
    return Steps(p, v, cut, None)


def _grown(act: Map, p: Any, a: Any, valid: Array | None) -> Any:
    """The linear part of some steps and one more."""
    more = product(act.kind, act.turn(a), p)
    return more if valid is None else where(valid, more, p)


def _linked(kind: str, s: Any, step: Steps) -> tuple[Any, Any]:
    """s_c = P_c s_{c-1} + v_c, and v_c where the chunk has a start: P_c of what is before it then means nothing."""
    s = times(kind, step.a, s)
    s = add(s if step.starts is None else where(step.starts, zeros(s), s), step.b)
    return s, s


def _entering(reverse: bool, first: Array, ends: Array) -> Array:
    """The state before each chunk."""
    return jnp.concatenate([ends[1:], first[None]] if reverse else [first[None], ends[:-1]])


def _split(kind: str, steps: Steps, at: int) -> tuple[Steps, Steps]:
    """The steps before `at`, and the others."""
    constant = axes(kind, steps).a is None
    moving = steps._replace(a=None) if constant else steps
    parts = jax.tree.map(lambda leaf: leaf[:at], moving), jax.tree.map(lambda leaf: leaf[at:], moving)
    return tuple(part._replace(a=steps.a) for part in parts) if constant else parts  # type: ignore[return-value]


def put(axis: int):
    """hs with `row` at place k of `axis`. Under vmap it stays that, where JAX would make a scatter of it."""

    @custom_vmap
    def write(hs, row, k):
        return jax.lax.dynamic_update_slice_in_dim(hs, jnp.expand_dims(row, axis), k, axis)

    @write.def_vmap
    def _(size, batched, hs, row, k):
        whole = [
            x if b else jnp.broadcast_to(x[None], (size, *x.shape)) for x, b in zip((hs, row), batched, strict=False)
        ]
        return put(axis + 1)(*whole, k), True

    return write


def near_divisor(count: int, size: int) -> int:
    """The divisor of `count` nearest to `size`, by ratio, if it is within a factor of 2; else `size`."""
    some = [d for d in range(max(2, -(-size // 2)), 2 * size + 1) if count % d == 0]
    return min(some, key=lambda d: max(d / size, size / d), default=size)
