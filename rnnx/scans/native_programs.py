"""The tables of a cell's update and of its derivative, and what of its gates is kept between them."""

from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
from jax import Array

from rnnx.kernels.cpu.program import Graph, Program, assemble, trace, traced_once

_UNARY = {"tanh", "logistic", "exp", "expm1", "log", "log1p", "sqrt", "abs", "sign", "floor"}


class Programs(NamedTuple):
    """Of one form: `forward` keeps nothing; `storing` and `backward` agree on what stands for a gate in the cache."""

    forward: Program
    storing: Program
    stored: tuple[int, ...]
    backward: Program
    row_of: tuple[int, ...]


@traced_once(512)
def programs_of(form: Any, given: tuple[bool, ...], store: bool, weights: bool) -> Programs:
    """given: the leaves whose states have cotangents. weights: whether those of the rows are asked for."""
    shape = form.shape
    s, g, r = shape.leaves, shape.gates, shape.rows

    def split(rows: tuple) -> tuple[list, list, list, list]:
        return list(rows[:s]), list(rows[s : s + g]), list(rows[s + g : s + g + r]), list(rows[s + g + r :])

    def ahead(*rows: Array) -> list:
        # What is carried is rounded to its dtype, as between any two steps; what lies between is not.
        return [_rounded(a, kind) for a, kind in zip(form.update(*split(rows)[:3]), form.dtypes, strict=False)]

    def back(*rows: Array) -> Any:
        state, gates, own, told = split(rows)
        outputs = iter(told[s:])
        d_state = [a + next(outputs) if has else a for a, has in zip(told[:s], given, strict=True)]
        return jax.vjp(form.update, state, gates, own)[1](d_state)

    kinds = [*form.dtypes, *form.dtypes[:s], *(kind for kind, has in zip(form.dtypes, given, strict=False) if has)]
    ahead_graph, new = trace(ahead, shape.units, form.dtypes)
    back_graph, d_all = trace(back, shape.units, kinds)
    stored, values = _stored(ahead_graph, new, back_graph, d_all, range(s, s + g)) if store else ((), {})
    rows = [(i, d) for i, d in enumerate(d_all[s + g :]) if weights and back_graph.value(d) != 0]
    return Programs(
        assemble(ahead_graph, s + g + r, new),
        assemble(ahead_graph, s + g + r, [*new, *(values[i] for i in stored)]),
        tuple(i - s for i in stored),
        assemble(back_graph, len(kinds), d_all[: s + g], [d for _, d in rows]),
        tuple(i for i, _ in rows),
    )


def _rounded(a: Array, dtype: Any) -> Array:
    return a.astype("float32").astype(dtype) if dtype == jnp.bfloat16 else a


def _stored(ahead: Graph, new: list[int], back: Graph, d_all: list[int], gates: range) -> tuple[tuple, dict]:
    """Gates in whose place a function of them is stored: all that anyone reads of them. Changes `back` to read that."""
    values = {}
    for gate in gates:
        first, second = ahead.readers(gate, new), back.readers(gate, d_all)
        if second and second[0] in d_all:
            continue
        if len(first) == 1 and len(second) == 1 and ahead.nodes[first[0]] == back.nodes[second[0]]:
            if ahead.nodes[first[0]][0] in _UNARY:
                values[gate] = first[0]
                back.replace(second[0], gate)
    return tuple(values), values
