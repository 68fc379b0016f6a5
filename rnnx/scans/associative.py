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
from rnnx.kernels.affine_tree import near_divisor, tree
from rnnx.types import powers


@dataclass(frozen=True)
class Associative:
    """h_t = A_t h_{t-1} + b_t with all A_t, b_t at once, then the states, then all outputs at once. Affine cells.

    chunk: 1 takes the recurrence step after step. More: chunks of about so many steps side by side, which is some 2
        chunk log(T) / log(chunk) steps in a row (`rnnx.kernels.affine_tree`); N^3 a step where A is dense.
    block: the sequence goes through in blocks of about so many steps, one after the other, and the gradient computes
        a block's A, b and states again: memory O(T / block) states and one block. 0: all of it at once.
    unroll: visits that share one trip of a loop.

    None chooses by platform. On a CPU: step after step, in blocks that stay in the cache. Elsewhere: chunks of 16, no
    blocks. Derivatives of every order work, and are as parallel. A product of many A overflows where A grows
    (a dense A of spectral radius above 1): NaN then, where the loop, from a state of exactly 0, gives 0.
    """

    chunk: int | None = None
    block: int | None = None
    unroll: int | None = None

    def __post_init__(self):
        for name, least in (("chunk", 1), ("block", 0), ("unroll", 1)):
            got = getattr(self, name)
            if got is not None and (type(got) is not int or got < least):
                raise ValueError(f"Associative.{name} got {got!r}; write a whole number of at least {least}, or None")

    def refuses(self, cell: Any) -> str | None:
        """Why this method cannot take `cell`: its new state is not affine in the old one."""
        if "affine" in powers(cell):
            return None
        return f"{type(cell).__name__} is not affine in its state; take method='sequential' or 'newton'"

    def chosen(self, cell: Any, steps: int, platform: str) -> "Associative":
        """The same with every field told."""
        cpu = platform == "cpu"
        told = {"chunk": 1 if cpu else 16, "block": 16 if cpu else 0, "unroll": 16 if cpu else 4}
        return dataclasses.replace(self, **{name: value for name, value in told.items() if getattr(self, name) is None})

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
        self = self.chosen(cell, steps, jax.default_backend())
        whole = partial(_visit, self, cell, weights, reverse, keep)
        size = near_divisor(steps, self.block) if self.block else steps
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
        state, kept = jax.lax.scan(jax.checkpoint(whole, prevent_cse=False), state, many, reverse=reverse)
        kept = jax.tree.map(lambda x: x.reshape(blocks * size, *x.shape[2:]), kept)
        if not rest:
            return state, kept
        state, end = whole(state, few)
        order = (end, kept) if reverse else (kept, end)
        return state, jax.tree.map(lambda *some: jnp.concatenate(some), *order)


def _visit(method, cell, weights, reverse, keep, state, inputs):
    """Some steps in a row: (state after them, what is kept)."""
    xs, starts, valid = inputs
    moves = (
        depends(lambda x: cell.coefficients(weights, x)[0], jax.tree.map(lambda x: x[0], xs))
        if jax.tree.leaves(xs)[0].shape[0]
        else True
    )
    a, b = jax.vmap(partial(cell.coefficients, weights), out_axes=(0 if moves else None, 0))(xs)
    b = _only(valid, b)
    fresh = None if starts is None else cell.initial_state(weights)
    way = partial(affine.loop, unroll=method.unroll)
    if method.chunk > 1:
        way = partial(tree, chunk=method.chunk, unroll=method.unroll)
    hs = affine.recurrence(cell.kind, a, b, state, fresh=fresh, starts=starts, valid=valid, reverse=reverse, way=way)
    if hs_count(hs):
        state = jax.tree.map(lambda h: h[0 if reverse else -1], hs)
    return state, _only(valid, jax.vmap(lambda s, x: keep(s, cell.readout(weights, s, x)))(hs, xs))


def hs_count(hs):
    return jax.tree.leaves(hs)[0].shape[0]


def _only(valid: Array | None, values: Any) -> Any:
    """Zeros where a step is not valid."""
    if valid is None:
        return values
    return jax.vmap(lambda flag, value: affine.where(flag, value, affine.zeros(value)))(valid, values)


def depends(function: Callable[[Any], Any], x: Any) -> bool:
    """Whether anything that `function` returns depends on x."""
    traced = jax.make_jaxpr(function)(x).jaxpr
    moving = {id(v) for v in traced.invars}
    for equation in traced.eqns:
        if any(id(v) in moving for v in equation.invars):
            moving.update(id(v) for v in equation.outvars)
    return any(id(v) in moving for v in traced.outvars)
