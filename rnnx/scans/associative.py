"""Affine cells, with everything but the recurrence itself taken out of the loop; in parallel over time."""

import dataclasses
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from typing import Any

import jax
import jax.numpy as jnp
from jax import Array

from rnnx.kernels import affine
from rnnx.kernels.affine_tree import levels, near_divisor, tree
from rnnx.scans.deferred import kept
from rnnx.types import powers


@dataclass(frozen=True)
class Associative:
    """h_t = A_t h_{t-1} + b_t with all A_t, b_t at once, then the states, then all outputs at once. Affine cells.

    chunk: 1 takes the recurrence step after step. 0: all prefixes at once, 2 log2(T) steps in a row and as many copies
        of A and b. More: chunks of about so many steps side by side, which is some 2 chunk log(T) / log(chunk) steps in
        a row (`rnnx.kernels.affine_tree`). The last two multiply A with A: N^3 a step where A is dense.
    block: the sequence goes through in blocks of about so many steps, one after the other, and the gradient computes
        a block's A, b and states again: memory O(T / block) states and one block. 0: all of it at once.
    unroll: visits that share one trip of a loop.

    None chooses by platform. On a CPU: step after step, in blocks that stay in the cache. Elsewhere, no blocks: all
    prefixes at once where A is diagonal, chunks of 16 where it is not. Derivatives of every order work, and are as
    parallel. A product of many A overflows where A grows (a dense A of spectral radius above 1): NaN then, where the
    loop, from a state of exactly 0, gives 0.

    Source: Blelloch 1990 (CMU-CS-90-190), section 1.4; Martin & Cundy 2018 (arXiv:1709.04057).
    """

    chunk: int | None = None
    block: int | None = None
    unroll: int | None = None

    def __post_init__(self):
        for name, least in (("chunk", 0), ("block", 0), ("unroll", 1)):
            got = getattr(self, name)
            if got is not None and (type(got) is not int or got < least):
                raise ValueError(f"Associative.{name} got {got!r}; write a whole number of at least {least}, or None")

    def refuses(self, cell: Any) -> str | None:
        """Why this method cannot take `cell`: its new state is not affine in the old one."""
        if "affine" in powers(cell):
            return None
        return f"{type(cell).__name__} is not affine; take method='sequential' or 'newton'"

    def chosen(self, platform: str, kind: str) -> "Associative":
        """The same with every field told."""
        cpu = platform == "cpu"
        told = {
            "chunk": 1 if cpu else 0 if kind in ("diagonal", "pair") else 16,
            "block": 16 if cpu else 0,
            "unroll": 16 if cpu else 4,
        }
        return dataclasses.replace(self, **{name: value for name, value in told.items() if getattr(self, name) is None})

    def way(self) -> Callable[..., Any]:
        """How the recurrence is run, with every field told."""
        chunk, unroll = self.chunk, self.unroll or 1
        if chunk == 0:
            return levels
        chunk = chunk or 1
        return partial(affine.loop, unroll=unroll) if chunk == 1 else partial(tree, chunk=chunk, unroll=unroll)

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
        """(final state, what `keep` kept), as `Sequential.run` gives them."""
        steps = jax.tree.leaves(xs)[0].shape[0]
        method = self.chosen(jax.default_backend(), cell.kind)
        whole = partial(_visit, method, cell, weights, reverse, keep)
        size = near_divisor(steps, method.block) if method.block else steps
        blocks, rest = divmod(steps, size) if size else (0, 0)
        if blocks < 2:
            return whole(state, (xs, starts, valid))

        at = rest if reverse else steps - rest  # the rest is what is visited last
        parts = [
            jax.tree.map(lambda x: x[:at], (xs, starts, valid)),
            jax.tree.map(lambda x: x[at:], (xs, starts, valid)),
        ]
        many, few = parts[::-1] if reverse else parts
        many = jax.tree.map(lambda x: x.reshape(blocks, size, *x.shape[1:]), many)
        state, told = jax.lax.scan(jax.checkpoint(whole, prevent_cse=False), state, many, reverse=reverse)
        told = jax.tree.map(lambda x: x.reshape(blocks * size, *x.shape[2:]), told)
        if not rest:
            return state, told
        state, end = whole(state, few)
        order = (end, told) if reverse else (told, end)
        return state, jax.tree.map(lambda *some: jnp.concatenate(some), *order)


def _visit(method: Associative, cell: Any, weights: Any, reverse: bool, keep: Any, state: Any, inputs: Any) -> Any:
    """Some steps in a row: (state after them, what is kept)."""
    xs, starts, valid = inputs
    a, b = coefficients(cell, weights, xs, valid)
    fresh = None if starts is None else cell.initial_state(weights)
    how = {"fresh": fresh, "starts": starts, "valid": valid, "reverse": reverse, "way": method.way()}
    hs = affine.recurrence(cell.kind, a, b, state, **how)
    if jax.tree.leaves(xs)[0].shape[0]:
        state = jax.tree.map(lambda h: h[0 if reverse else -1], hs)
    return state, kept(cell, weights, xs, hs, valid, keep)


def coefficients(cell: Any, weights: Any, xs: Any, valid: Array | None) -> tuple[Any, Any]:
    """(A, b) of all steps, leaves [T, ...]; A [...] where it is the same at every step. b is 0 where not valid."""
    one = jax.tree.map(lambda leaf: jax.ShapeDtypeStruct(leaf.shape[1:], leaf.dtype), xs)
    moves = depends(lambda x: cell.coefficients(weights, x)[0], one)
    a, b = jax.vmap(partial(cell.coefficients, weights), out_axes=(0 if moves else None, 0))(xs)
    return a, b if valid is None else jax.vmap(affine.where)(valid, b, affine.zeros(b))


def depends(function: Callable[[Any], Any], x: Any) -> bool:
    """Whether anything that `function` returns depends on x."""
    traced = jax.make_jaxpr(function)(x).jaxpr
    moving = {id(v) for v in traced.invars}
    for equation in traced.eqns:
        if any(id(v) in moving for v in equation.invars):
            moving.update(id(v) for v in equation.outvars)
    return any(id(v) in moving for v in traced.outvars)
