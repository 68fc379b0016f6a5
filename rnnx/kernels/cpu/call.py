"""The two calls of the native kernel as functions of arrays; shapes are those of src/plan.h."""

from dataclasses import dataclass, replace
from typing import Any, NamedTuple

import jax
import numpy as np
from jax import Array

from rnnx.kernels.cpu.program import Program


@dataclass(frozen=True)
class Shape:
    """What is the same whatever the batch: gates that only u drives, u and v as a sum, only v, in this order."""

    units: int
    leaves: int
    only_u: int
    sums: int
    only_v: int
    heads: int = 1
    rows: int = 0
    given: bool = False  # u is an operand, not x
    reverse: bool = False
    read: tuple[int, ...] = ()

    @property
    def gates(self) -> int:
        return self.only_u + self.sums + self.only_v

    @property
    def driven(self) -> int:
        return self.only_u + self.sums

    def reversed(self) -> "Shape":
        return replace(self, reverse=True)

    def numbers(self, xs: Array) -> list[int]:
        groups, steps, batch = xs.shape[:3]
        inputs = 0 if self.given else xs.shape[3]
        counts = self.leaves, self.only_u, self.sums, self.only_v, self.heads, self.rows, self.given, self.reverse
        return [steps, groups, batch, inputs, self.units, *map(int, counts), *_list(self.read)]


class Operands(NamedTuple):
    """K groups, B examples each. A field is () where there is nothing of the kind."""

    xs: Array  # [K, T, B, D], or u [K, T, B, driven, N]
    maps: tuple  # w_x [K, D, driven, N] and bias [K, driven, N]; w_h [K, heads, m, recurrent, n]; rows [K, R, N]
    first: list[Array]  # [K, B, N]
    fresh: list[Array]  # [K, N], with starts
    starts: Array | None  # bool [K, T, B]
    valid: Array | None

    def flat(self) -> list[Array]:
        flags = [a for a in (self.starts, self.valid) if a is not None]
        if self.starts is None:
            return [self.xs, *self.maps, *self.first, *flags]
        return [self.xs, *self.maps, *self.first, *self.fresh, *flags]

    def flags(self) -> list[int]:
        return [int(self.starts is not None), int(self.valid is not None)]


def _list(values: Any) -> list[int]:
    return [len(values), *map(int, values)]


def _run(direction: str, results: list, operands: list[Array], numbers: list[int], program: Program) -> list[Array]:
    dtype = operands[0].dtype
    name = f"rnnx_{direction}_{'f32' if dtype == np.float32 else 'f64'}"
    told = np.asarray([*numbers, program.temporaries], np.int64)
    shapes = [jax.ShapeDtypeStruct(shape, dtype) for shape in results]
    return list(jax.ffi.ffi_call(name, shapes)(*operands, numbers=told, **program.arrays()))


def forward(
    shape: Shape, program: Program, operands: Operands, wanted: list[bool], stored: tuple[int, ...] | None
) -> tuple[list[Array], list[Array], list[Array]]:
    """(final, the states that are wanted, the gates [K, T, B, N] each, or none where `stored` is None).

    stored: the gates in whose place an output of the program is stored.
    """
    groups, steps, batch = operands.xs.shape[:3]
    one, all_steps = (groups, batch, shape.units), (groups, steps, batch, shape.units)
    caches = stored is not None
    numbers = [*shape.numbers(operands.xs), *operands.flags(), int(caches), *_list(wanted), *_list(stored or ())]
    counts = shape.leaves, sum(wanted), shape.gates * caches
    results = [one] * counts[0] + [all_steps] * (counts[1] + counts[2])
    out = _run("forward", results, operands.flat(), numbers, program)
    return out[: counts[0]], out[counts[0] : counts[0] + counts[1]], out[counts[0] + counts[1] :]


def backward(
    shape: Shape,
    program: Program,
    operands: Operands,
    states: list[Array],
    cache: list[Array],
    d_final: list[Array | None],
    d_states: list[Array | None],
    row_of: tuple[int, ...],
    needs: tuple[bool, bool],
) -> tuple[tuple, Array | None, list[Array], list[Array]]:
    """(d_maps, d_xs, d_first, d_fresh), () and None where `needs` (of maps, of xs) says so."""
    given = [[a for a in some if a is not None] for some in (d_final, d_states)]
    flags = [[a is not None for a in some] for some in (d_final, d_states)]
    numbers = [*shape.numbers(operands.xs), *operands.flags(), int(bool(cache)), *map(int, needs)]
    numbers += [*_list(flags[0]), *_list(flags[1]), *_list(row_of)]
    results = [a.shape for a in operands.maps] * needs[0] + [operands.xs.shape] * needs[1]
    results += [a.shape for a in operands.first] + [a.shape for a in operands.fresh]
    out = iter(_run("backward", results, [*operands.flat(), *states, *cache, *given[0], *given[1]], numbers, program))
    d_maps = tuple(next(out) for _ in operands.maps) if needs[0] else ()
    d_xs = next(out) if needs[1] else None
    return d_maps, d_xs, [next(out) for _ in operands.first], list(out)
