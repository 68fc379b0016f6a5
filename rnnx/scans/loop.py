"""The engine of the Deferred method: forward as ever, backward chunk by chunk with the weights left out of the loop."""

from dataclasses import dataclass
from functools import partial
from typing import Any

import jax
import jax.numpy as jnp
from jax import Array

from rnnx.scans.gates import Parts, gates_of
from rnnx.scans.sequential import select

ROWS, LEAST = 256, 8  # of a chunk, steps times batch: as many as make a product fast; and the fewest steps
tree_map = jax.tree.map


@dataclass(frozen=True)
class Loop:
    """An `Engine` of rnnx.kernels.seam_runs: every array has the batch after time."""

    cell: Any
    reverse: bool
    chunk: int | None

    whole = ()

    def plain(self, batch: int) -> bool:
        """A single sequence has nothing to gain on a CPU, where products of one row are slow when taken apart."""
        return batch == 1 and jax.default_backend() == "cpu"

    def drive(self, weights: Any, xs: Any) -> Any:
        """u of many steps or examples [R, ...], as one product."""
        return jax.vmap(self.cell.drive, (None, 0))(weights, xs)

    def recur(self, weights: Any, states: Any) -> Any:
        return jax.vmap(self.cell.recur, (None, 0))(weights, states)

    # ----------------------------------------------------------------------------------------------- forward

    def forward(self, weights: Any, xs: Any, state: Any, marks: Any, *, platform: str = "") -> tuple[Any, Any, Any]:
        """Also hands over the pre-activations of pointwise cells, which the backward pass would compute again."""
        starts, valid = marks
        fresh = None if starts is None else self.cell.initial_state(weights)
        hoisted = platform != "cpu"  # there the product inside the loop is faster: its result stays in cache
        if hoisted:
            steps, batch = jax.tree.leaves(xs)[0].shape[:2]
            xs = _unflat(self.drive(weights, _flat(xs)), steps, batch)

        def visit(state: Any, inputs: Any) -> tuple[Any, Any]:
            x, start, real = inputs
            if start is not None:
                state = jax.vmap(select, (0, None, 0))(start, fresh, state)
            u = x if hoisted else self.drive(weights, x)
            v = self.recur(weights, state)
            new = jax.vmap(self.cell.update, (None, 0, 0, 0))(weights, state, u, v)
            gates = gates_of(self.cell, weights, state, u, v)
            cache = jax.vmap(gates.apart)(u, v) if gates.rows_u or gates.rows_v else None
            if real is not None:
                new = jax.vmap(select)(real, new, state)
            return new, (new, cache)

        final, (states, cache) = jax.lax.scan(visit, state, (xs, starts, valid), reverse=self.reverse)
        return final, states, cache

    # ----------------------------------------------------------------------------------------------- tangent

    def tangent(self, primals: Any, states: Any, tangents: Any, *, platform: str = "") -> tuple[Any, Any]:
        """Along the states that were reached, a Jacobian times a vector each step."""
        del platform
        weights, xs, state, (starts, valid) = primals
        d_weights, d_xs, d_state = tangents
        cell, fresh, d_fresh = self.cell, None, None
        if starts is not None:
            fresh, d_fresh = jax.jvp(cell.initial_state, (weights,), (d_weights,))

        def step(weights: Any, state: Any, x: Any) -> Any:
            return cell.update(weights, state, cell.drive(weights, x), cell.recur(weights, state))

        def one(d_state: Any, inputs: Any) -> Any:
            state, x, d_x, start, real = inputs
            if start is not None:
                state, d_state = select(start, (fresh, d_fresh), (state, d_state))
            _, d_new = jax.jvp(step, (weights, state, x), (d_weights, d_state, d_x))
            return d_new if real is None else select(real, d_new, d_state)

        def visit(d_state: Any, inputs: Any) -> tuple[Any, Any]:
            d_state = jax.vmap(one)(d_state, inputs)
            return d_state, d_state

        steps = before(state, states, self.reverse), xs, d_xs, starts, valid
        return jax.lax.scan(visit, d_state, steps, reverse=self.reverse)

    # ---------------------------------------------------------------------------------------------- backward

    def backward(
        self, primals: Any, states: Any, cache: Any, cotangents: Any, *, needs: tuple[bool, bool], platform: str = ""
    ) -> tuple[Any, Any, Any]:
        """Chunk by chunk, from the last one visited to the first; what is left over of T is a shorter chunk."""
        weights, xs, state, (starts, valid) = primals
        d_state, d_states = cotangents
        steps, batch = jax.tree.leaves(states)[0].shape[:2]
        k = min(self.chunk or max(ROWS // batch, LEAST if platform == "cpu" else 4 * LEAST), steps)
        whole = steps // k * k
        pieces = xs, states, starts, valid, d_states, cache
        chunks = tree_map(lambda a: a[:whole].reshape(-1, k, *a.shape[1:]), pieces)
        rest = tree_map(lambda a: a[whole:], pieces)
        edges, edge = self._edges(state, states, k, whole)

        def sweep(carry: Any, piece: Any) -> tuple[Any, Any]:
            return self._sweep(weights, carry, piece, needs)

        zeros = tree_map(jnp.zeros_like, (weights, d_state))
        carry = d_state, zeros[0] if needs[0] else None, None if starts is None else zeros[1]
        last = None
        if whole < steps and not self.reverse:
            carry, last = sweep(carry, (edge, *rest))
        carry, d_xs = jax.lax.scan(sweep, carry, (edges, *chunks), reverse=not self.reverse)
        d_xs = tree_map(lambda a: a.reshape(whole, *a.shape[2:]), d_xs)
        if whole < steps and self.reverse:
            carry, last = sweep(carry, (edge, *rest))
        if whole < steps:
            d_xs = tree_map(lambda a, b: jnp.concatenate([a, b]), d_xs, last)
        d_state, d_weights, d_fresh = carry
        if needs[0] and starts is not None:
            total = tree_map(lambda a: jnp.sum(a, 0), d_fresh)
            d_weights = tree_map(jnp.add, d_weights, jax.vjp(self.cell.initial_state, weights)[1](total)[0])
        return d_weights, d_xs, d_state

    def _edges(self, state: Any, states: Any, k: int, whole: int) -> tuple[Any, Any]:
        """The state before the first step visited of each chunk, and of the rest."""

        def forward(first: Array, after: Array) -> tuple[Array, Array]:
            ends = after[k - 1 : whole : k]
            return jnp.concatenate([first[None], ends[:-1]]), ends[-1]

        def backward(first: Array, after: Array) -> tuple[Array, Array]:
            begins = jnp.concatenate([after[k::k], first[None]])  # of the chunks and, if there is a rest, of that
            return begins[: whole // k], first

        leaves, structure = jax.tree.flatten(state)
        pairs = zip(leaves, jax.tree.leaves(states), strict=True)
        told = [(backward if self.reverse else forward)(a, b) for a, b in pairs]
        return structure.unflatten(a for a, _ in told), structure.unflatten(b for _, b in told)

    def _sweep(self, weights: Any, carry: Any, piece: Any, needs: tuple[bool, bool]) -> tuple[Any, Any]:
        """One chunk backward: the loop over its steps, then one product each for dW_x, dW_h and dx."""
        edge, xs, states, starts, valid, d_states, cache = piece
        d_state, d_weights, d_fresh = carry
        cell = self.cell
        k, batch = jax.tree.leaves(states)[0].shape[:2]
        previous = before(edge, states, self.reverse)
        if starts is not None:
            fresh = cell.initial_state(weights)
            previous = jax.vmap(jax.vmap(select, (0, None, 0)), (0, None, 0))(starts, fresh, previous)
        flat_xs, flat_previous = _flat((xs, previous))
        u, from_drive = jax.vjp(self.drive, weights, flat_xs)
        v, from_recur = jax.vjp(lambda weights: self.recur(weights, flat_previous), weights)
        gates = gates_of(cell, weights, flat_previous, u, v)
        parts = jax.vmap(gates.apart)(u, v) if cache is None else _flat(cache)
        reads = reads_weights(cell, weights, flat_previous, u, v)

        def update(weights: Any, states: Any, parts: Parts) -> Any:
            def one(state: Any, parts: Parts) -> Any:
                return cell.update(weights, state, *gates.readable(parts))

            return jax.vmap(one)(states, parts)

        def visit(carry: Any, inputs: Any) -> tuple[Any, Any]:
            d_state, d_fresh = carry
            state, parts, start, real, d_output = inputs
            d_state = tree_map(jnp.add, d_state, d_output)
            d_old, d_parts = jax.vjp(lambda *a: update(weights, *a), state, parts)[1](d_state)
            if real is not None:
                d_parts = jax.vmap(select)(real, d_parts, tree_map(jnp.zeros_like, d_parts))
            d_v = gates.together(d_parts)
            (through,) = jax.vjp(partial(self.recur, weights), tree_map(jnp.zeros_like, state))[1](d_v)
            d_old = tree_map(jnp.add, d_old, through)
            told = d_v, d_parts.u, d_state if reads else None
            if real is not None:
                d_old = jax.vmap(select)(real, d_old, d_state)
                told = (*told[:2], jax.vmap(select)(real, told[2], tree_map(jnp.zeros_like, told[2])))
            if start is not None:
                nothing = tree_map(jnp.zeros_like, d_old)
                d_fresh = tree_map(jnp.add, d_fresh, jax.vmap(select)(start, d_old, nothing))
                d_old = jax.vmap(select)(start, nothing, d_old)
            return (d_old, d_fresh), told

        steps = previous, _unflat(parts, k, batch), starts, valid, d_states
        (d_state, d_fresh), told = jax.lax.scan(visit, (d_state, d_fresh), steps, reverse=not self.reverse)
        d_v, d_u, d_new = _flat(told)
        through_drive, d_xs = from_drive(gates.input_side(d_v, d_u))
        if needs[0]:
            terms = [d_weights, through_drive, *from_recur(d_v)]
            if reads:
                terms += jax.vjp(lambda weights: update(weights, flat_previous, parts), weights)[1](d_new)
            d_weights = tree_map(lambda *a: sum(a[1:], a[0]), *terms)
        return (d_state, d_weights, d_fresh), _unflat(d_xs, k, batch) if needs[1] else None


def before(first: Any, states: Any, reverse: bool) -> Any:
    """The state before each step, from that before the first one visited and those after each."""

    def shift(a: Array, b: Array) -> Array:  # never in place: XLA:CPU gets that wrong
        return jnp.concatenate([b[1:], a[None]] if reverse else [a[None], b[:-1]])

    return tree_map(shift, first, states)


def reads_weights(cell: Any, weights: Any, states: Any, u: Any, v: Any) -> bool:
    """Whether `update` reads any weight at all; arguments with a batch."""
    one = tree_map(lambda a: jax.ShapeDtypeStruct(a.shape[1:], a.dtype), (states, u, v))
    jaxpr = jax.make_jaxpr(cell.update)(weights, *one).jaxpr
    read = {id(atom) for equation in jaxpr.eqns for atom in equation.invars} | {id(a) for a in jaxpr.outvars}
    return any(id(a) in read for a in jaxpr.invars[: len(jax.tree.leaves(weights))])


def _flat(tree: Any) -> Any:
    """Steps and batch as one axis, so that every product is one of matrices."""
    return tree_map(lambda a: a.reshape(-1, *a.shape[2:]), tree)


def _unflat(tree: Any, steps: int, batch: int) -> Any:
    return tree_map(lambda a: a.reshape(steps, batch, *a.shape[1:]), tree)
