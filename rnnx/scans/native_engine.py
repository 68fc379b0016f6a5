"""The engine of the native kernel: what a cell is to it, and the two calls with the axes of the seam."""

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from typing import Any

import jax
import jax.numpy as jnp
from jax import Array

from rnnx.kernels.cpu import call
from rnnx.kernels.cpu.program import traced_once
from rnnx.scans.loop import Loop
from rnnx.scans.native_form import Form, form_of
from rnnx.scans.native_programs import programs_of
from rnnx.types import state_of

MANY, SHORT = 24 * 2**20, 80  # bytes of gates and states; numbers that a gate sums
tree_map = jax.tree.map


@traced_once(256)
def refusal(cell: Any) -> str | None:
    """Why the kernel has no form of the cell, or no program for its update."""
    try:
        form = form_of_cell(cell)
        programs_of(form, (True,) * form.shape.leaves, True, True)
    except NotImplementedError as error:
        return f"{error}; take method='deferred'"
    return None


def form_of_cell(cell: Any) -> Form:
    """For weights as the cell makes them, and x an array [D]."""
    weights = jax.eval_shape(lambda: cell.prepare(cell.init(jax.random.key(0))))
    state = state_of(cell)
    dtype = jax.tree.leaves(state)[0].dtype
    return _form(cell, weights, state, jax.ShapeDtypeStruct((cell.inputs,), dtype))


def _form(cell: Any, weights: Any, state: Any, x: Any) -> Form:
    leaves, structure = jax.tree.flatten((weights, state, x))
    return form_of(cell, structure, tuple((a.shape, a.dtype) for a in leaves))


@dataclass(frozen=True)
class Kernel(Loop):
    """An `Engine` that takes all groups at once on a CPU, and does as Loop does elsewhere."""

    whole = ("cpu",)

    own: Any  # the cell itself, where Loop holds a factored view of it
    store: bool | None

    def plain(self, batch: int) -> bool:
        del batch
        return False

    def _stores(self, form: Form, xs: Any, steps: int, batch: int) -> bool:
        """Whether gates are kept; else their arrays have no numbers. Measured where memory comes fresh from the system,
        as large temporaries of XLA do: then a short product costs less than the pages to keep its result in."""
        if self.store is not None:
            return self.store
        shape = form.shape
        size = steps * batch * shape.units * (shape.gates + shape.leaves) * form.dtype.itemsize
        depth = shape.units + sum(a.shape[-1] for a in jax.tree.leaves(xs))
        return size < MANY or depth > SHORT

    # ---------------------------------------------------------------------- one group, as JAX programs

    def forward(self, weights: Any, xs: Any, state: Any, marks: Any, *, platform: str = "") -> tuple[Any, Any, Any]:
        final, states, _ = super().forward(weights, xs, state, marks, platform=platform)
        form, first = self._of(weights, xs, state), jax.tree.leaves(states)[0]
        width = first.shape[-1] * self._stores(form, xs, *first.shape[:2])
        return final, states, [jnp.zeros((*first.shape[:2], width), form.dtype)] * form.shape.gates

    def backward(self, primals, states, cache, cotangents, *, needs, platform=""):
        return super().backward(primals, states, None, cotangents, needs=needs, platform=platform)

    # ---------------------------------------------------------- all groups, by the kernel: [K, ...], [K, T, B, ...]

    def forward_whole(
        self, weights: Any, xs: Any, state: Any, marks: Any, wanted: tuple | None
    ) -> tuple[Any, Any, Any]:
        """(final, states, cache); of what is not wanted (a flag for every leaf of states and cache), nothing."""
        form, dtype = self._of_groups(weights, xs, state), jax.tree.leaves(state)[0].dtype
        operands, _ = self._operands(form, weights, xs, state, marks)
        count = form.shape.leaves
        groups, steps, batch = operands.xs.shape[:3]
        stores = self._stores(form, xs, steps, batch)
        asked = wanted is None or any(wanted[count:])
        states_wanted = [True] * count if wanted is None else list(wanted[:count])
        programs = programs_of(form, (True,) * count, stores and asked, True)
        final, states, cache = call.forward(
            self._shape(form),
            programs.storing if stores and asked else programs.forward,
            operands,
            states_wanted,
            programs.stored if stores and asked else None,
        )
        told = iter(states)
        states = [next(told).astype(dtype) if has else None for has in states_wanted]
        if not asked:
            cache = [None] * form.shape.gates
        elif not stores:
            cache = [jnp.zeros((groups, steps, batch, 0), form.dtype)] * form.shape.gates
        return [a.astype(dtype) for a in final], states, cache

    def backward_whole(
        self, primals: Any, states: Any, cache: Any, cotangents: Any, needs: Any
    ) -> tuple[Any, Any, Any]:
        """Cotangents of weights, xs and state; cotangents given are lists of leaves, None where zero."""
        weights, xs, state, marks = primals
        form = self._of_groups(weights, xs, state)
        operands, back = self._operands(form, weights, xs, state, marks)
        wide = partial(_cast, dtype=operands.xs.dtype)
        d_final, d_states = ([wide(a) for a in some] for some in cotangents)
        given = tuple(a is not None for a in d_states)
        inner = (needs[0], needs[1] or (needs[0] and form.shape.given))
        cache = [a for a in cache if a.shape[-1]]
        programs = programs_of(form, given, bool(cache), needs[0])
        d_maps, d_xs, d_first, d_fresh = call.backward(
            self._shape(form),
            programs.backward,
            operands,
            [wide(a) for a in jax.tree.leaves(states)],
            list(cache),
            d_final,
            d_states,
            programs.row_of,
            inner,
        )
        d_weights, d_xs = back(d_maps, d_xs, d_fresh, needs)
        dtype = jax.tree.leaves(state)[0].dtype
        return d_weights, d_xs, jax.tree.structure(state).unflatten(a.astype(dtype) for a in d_first)

    def _operands(self, form: Form, weights: Any, xs: Any, state: Any, marks: Any) -> tuple[call.Operands, Callable]:
        """What the kernel takes, and how the cotangents of that become those of weights and xs."""
        starts, valid = marks
        dtype = form.dtype

        def ready(weights: Any) -> tuple[Any, list]:
            fresh = [] if starts is None else jax.tree.leaves(jax.vmap(self.own.initial_state)(weights))
            return tree_map(partial(_cast, dtype=dtype), (jax.vmap(form.maps)(weights), fresh))

        def driven(weights: Any, xs: Any) -> Array:
            if not form.shape.given:
                return _cast(xs, dtype)
            groups, steps, batch = jax.tree.leaves(xs)[0].shape[:3]
            rows = tree_map(lambda a: a.reshape(groups, steps * batch, *a.shape[3:]), xs)
            u = jax.vmap(jax.vmap(form.drive, (None, 0)))(weights, rows)
            return _cast(u.reshape(groups, steps, batch, *u.shape[2:]), dtype)

        maps, fresh = ready(weights)
        first = [_cast(a, dtype) for a in jax.tree.leaves(state)]
        operands = call.Operands(driven(weights, xs), maps, first, fresh, starts, valid)

        def back(d_maps: Any, d_xs: Any, d_fresh: Any, needs: tuple[bool, bool]) -> tuple[Any, Any]:
            d_weights = jax.vjp(ready, weights)[1]((d_maps, d_fresh))[0] if needs[0] else None
            if not form.shape.given:
                return d_weights, tree_map(lambda a: _cast(d_xs, a.dtype), xs) if needs[1] else None
            if not any(needs):
                return None, None
            by_weights, by_xs = jax.vjp(driven, weights, xs)[1](d_xs)
            return tree_map(jnp.add, d_weights, by_weights) if needs[0] else None, by_xs if needs[1] else None

        return operands, back

    # ------------------------------------------------------------------------------------------------- form

    def _shape(self, form: Form) -> call.Shape:
        return form.shape if not self.reverse else form.shape.reversed()

    def _of(self, weights: Any, xs: Any, state: Any) -> Form:
        """From one group's arrays, or what stands for them."""
        return _form(self.own, weights, _one(state), _one(_one(xs)))

    def _of_groups(self, weights: Any, xs: Any, state: Any) -> Form:
        return self._of(_one(weights), _one(xs), _one(state))


def _one(tree: Any) -> Any:
    """Shapes without the first axis."""
    return tree_map(lambda a: jax.ShapeDtypeStruct(a.shape[1:], a.dtype), tree)


def _cast(a: Array | None, dtype: Any) -> Any:
    return None if a is None else a.astype(dtype)
