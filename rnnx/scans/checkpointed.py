"""Less memory for more time: states kept here and there, the steps between them taken again."""

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from typing import Any

import jax
import jax.numpy as jnp
from jax import Array

from rnnx.scans.sequential import Sequential


@dataclass(frozen=True)
class Checkpointed:
    """Keeps every c-th state; the gradient goes back chunk by chunk and takes the steps of each again.

        s_{(i+1) c} = chunk(s_{i c}, x_{i c} .. x_{(i+1) c - 1}),    c = T^(1/L)

    L = 2 (the default) is one loop over chunks of sqrt(T) steps. L = 3 makes chunks of c c steps out of chunks of c,
    and so on. Where some c, at most half as large again, leaves nothing over of T it is taken, else the last chunk
    is shorter. The innermost c steps are taken by `inner`, any other method: Deferred computes the pre-activations of
    a chunk as one product, from the states of its steps. Takes what `inner` takes; every derivative that works
    through `inner` works.

    `levels`: L; 1 is `inner` alone. `states`: instead of L, how many states may be kept at a time; the fewest levels
    that do it are taken. The states of ONE sequence are counted, since `vmap` does not show the batch: in bytes, a
    budget is `states` times the bytes of the whole batch's states at one step.

    Cost: L forward passes where Sequential makes one, about (L + 2) / 3 of its flops; on a CPU often no more time,
    since what a chunk keeps stays in the cache. Memory of the gradient: L c states at most, c of them with what a
    step's derivative reads (gates); outputs, their cotangents and that of xs come on top, as in every method.
    Source: Chen et al. 2016 (arXiv:1604.06174), the sqrt(n) algorithm and its recursion.

    >>> Checkpointed(states=200)
    Checkpointed(levels=None, states=200, inner=Sequential(unroll=1))
    """

    levels: int | None = None
    states: int | None = None
    inner: Any = Sequential()

    def __post_init__(self):
        for name in ("levels", "states"):
            got = getattr(self, name)
            if got is not None and (type(got) is not int or got < 1):
                raise ValueError(f"Checkpointed.{name} got {got!r}; write a whole number of at least 1, or None")
        if self.levels is not None and self.states is not None:
            raise ValueError(
                f"Checkpointed got levels={self.levels} and states={self.states}; write one of them, "
                "states to have the levels chosen"
            )
        if not hasattr(self.inner, "refuses"):
            raise ValueError(f"Checkpointed.inner got {self.inner!r}; write a method such as Sequential()")

    def refuses(self, cell: Any) -> str | None:
        """Why this method cannot take `cell`: `inner` cannot."""
        return self.inner.refuses(cell)

    def run(
        self,
        cell: Any,
        weights: Any,
        xs: Any,
        state: Any,
        *,
        starts: Array | None,
        valid: Array | None,
        reverse: bool,
        keep: Callable[[Any, Array], Any],
    ) -> tuple[Any, Any]:
        """(final state, what `keep` kept), as the door hands it over: see `Sequential.run`."""

        def innermost(state: Any, pieces: Any) -> tuple[Any, Any]:
            xs, starts, valid = pieces
            return self.inner.run(cell, weights, xs, state, starts=starts, valid=valid, reverse=reverse, keep=keep)

        levels, c = self._plan(_steps(xs))
        return _through(innermost, state, (xs, starts, valid), c ** (levels - 1), c, reverse)

    def _plan(self, steps: int) -> tuple[int, int]:
        """(levels, c) for so many steps."""
        if self.states is None:
            levels = self.levels or 2
            return levels, _length(steps, levels, steps)
        roots = {levels: _root(steps, levels) for levels in range(1, max(1, steps.bit_length()) + 1)}
        least = min(levels * c for levels, c in roots.items())
        if self.states < least:
            raise ValueError(f"Checkpointed.states got {self.states} for {steps} steps; write {least} or more")
        levels = next(levels for levels, c in roots.items() if levels * c <= self.states)
        return levels, _length(steps, levels, self.states // levels)


def _through(innermost: Callable, state: Any, pieces: Any, size: int, c: int, reverse: bool) -> tuple[Any, Any]:
    """Through all steps of `pieces` in chunks of `size`, those in chunks of size / c, down to the innermost."""
    if size == 1:
        return innermost(state, pieces)
    steps = _steps(pieces)
    below = partial(_through, innermost, size=size // c, c=c, reverse=reverse)
    if steps <= size:
        return below(state, pieces)
    count = steps // size

    # Reads its steps from the whole: handed over by `lax.scan` they would be copied first.
    def chunk(state: Any, i: Array) -> tuple[Any, Any]:
        return below(state, jax.tree.map(lambda a: jax.lax.dynamic_slice_in_dim(a, i * size, size), pieces))

    def chunks(state: Any) -> tuple[Any, Any]:
        state, kept = jax.lax.scan(jax.checkpoint(chunk, prevent_cse=False), state, jnp.arange(count), reverse=reverse)
        return state, jax.tree.map(lambda a: a.reshape(count * size, *a.shape[2:]), kept)

    if steps == count * size:
        return chunks(state)
    rest = partial(jax.checkpoint(below), pieces=jax.tree.map(lambda a: a[count * size :], pieces))
    if reverse:
        state, last = rest(state)
        state, first = chunks(state)
    else:
        state, first = chunks(state)
        state, last = rest(state)
    return state, jax.tree.map(lambda a, b: jnp.concatenate([a, b]), first, last)


def _steps(tree: Any) -> int:
    return jax.tree.leaves(tree)[0].shape[0]


def _root(steps: int, levels: int) -> int:
    """The least whole c >= 1 with c^levels >= steps."""
    c = max(1, round(steps ** (1 / levels)) - 1)
    while c**levels < steps:
        c += 1
    return c


def _length(steps: int, levels: int, most: int) -> int:
    """c: the first from the root to `most` that leaves nothing over of `steps`, else the root."""
    root = _root(steps, levels)
    even = (c for c in range(root, min(most, root * 3 // 2) + 1) if steps % c ** (levels - 1) == 0)
    return next(even, root)
