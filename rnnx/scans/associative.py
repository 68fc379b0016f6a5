"""Affine cells in parallel over time."""

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from typing import Any

import jax
import jax.numpy as jnp
from jax import Array

from rnnx.kernels import affine
from rnnx.kernels.affine_tree import tree
from rnnx.types import powers


@dataclass(frozen=True)
class Associative:
    chunk: int | None = None
    unroll: int = 1
    block: int | None = None
    remat: bool = False

    def refuses(self, cell: Any) -> str | None:
        if "affine" in powers(cell):
            return None
        return "it is not affine; take method='sequential' or 'newton'"

    def run(self, cell: Any, weights: Any, xs: Any, state: Any, *, starts, valid, reverse, keep):
        steps = jax.tree.leaves(xs)[0].shape[0]

        def visit(state, inputs):
            xs, starts, valid = inputs
            return self.whole(cell, weights, xs, state, starts=starts, valid=valid, reverse=reverse, keep=keep)

        if self.block is None or steps < 2 * self.block:
            return visit(state, (xs, starts, valid))
        visit = jax.checkpoint(visit, prevent_cse=False) if self.remat else visit
        blocks, rest = divmod(steps, self.block)
        assert not rest
        inputs = jax.tree.map(lambda x: x.reshape(blocks, self.block, *x.shape[1:]), (xs, starts, valid))
        state, kept = jax.lax.scan(visit, state, inputs, reverse=reverse)
        return state, jax.tree.map(lambda x: x.reshape(steps, *x.shape[2:]), kept)

    def whole(self, cell: Any, weights: Any, xs: Any, state: Any, *, starts, valid, reverse, keep):
        one = jax.tree.map(lambda x: jnp.zeros(x.shape[1:], x.dtype), xs)
        moves = varies(lambda x: cell.coefficients(weights, x)[0], one)
        a, b = jax.vmap(partial(cell.coefficients, weights), out_axes=(0 if moves else None, 0))(xs)
        if valid is not None:
            b = jax.vmap(lambda v, b: affine.where(v, b, jax.tree.map(jnp.zeros_like, b)))(valid, b)
        fresh = None if starts is None else cell.initial_state(weights)
        way = partial(tree, chunk=self.chunk) if self.chunk else partial(affine.loop, unroll=self.unroll)
        hs = affine.recurrence(
            cell.kind, a, b, state, fresh=fresh, starts=starts, valid=valid, reverse=reverse, way=way
        )
        final = jax.tree.map(lambda h, s: h[0 if reverse else -1] if h.shape[0] else s, hs, state)
        kept = jax.vmap(lambda s, x: keep(s, cell.readout(weights, s, x)))(hs, xs)
        if valid is not None:
            kept = jax.vmap(lambda v, k: affine.where(v, k, jax.tree.map(jnp.zeros_like, k)))(valid, kept)
        return final, kept


def varies(function: Callable[[Any], Any], x: Any) -> bool:
    """Whether any of what `function` returns depends on x."""
    traced = jax.make_jaxpr(function)(x).jaxpr
    moving = {id(v) for v in traced.invars}
    for equation in traced.eqns:
        if any(id(v) in moving for v in equation.invars):
            moving.update(id(v) for v in equation.outvars)
    return any(id(v) in moving for v in traced.outvars)
