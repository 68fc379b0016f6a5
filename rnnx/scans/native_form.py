"""A cell as the native kernel takes it: gates from x and from the state, rows of weights, and a program.

Two sorts of cells have this form. A pointwise one is its gates and its update; where its recurrent matrix is diagonal,
v is part of the update. An affine one of the kinds "diagonal" and "pair" is h = A h + b with b, and A where it moves,
as gates that the input alone drives.
"""

import contextlib
import dataclasses
from collections.abc import Callable
from functools import partial
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
from jax import Array

from rnnx.cells import parts
from rnnx.kernels.cpu import linear
from rnnx.kernels.cpu.call import Shape
from rnnx.kernels.cpu.program import traced_once
from rnnx.kernels.cpu.rows import Uncut, cut
from rnnx.scans.associative import depends
from rnnx.scans.gates import gates_of, row_list
from rnnx.scans.native_programs import programs_of
from rnnx.types import apply, powers

tree_map = jax.tree.map


class Form(NamedTuple):
    """How a cell is cut for the kernel; all functions are of one group and one step."""

    shape: Shape
    dtype: Any  # what the kernel computes in
    dtypes: tuple  # those that `update` knows its arguments by: of leaves, gates, rows
    update: Callable[[list, list, list], list]  # (state leaves, gates, rows), each [N] -> new state leaves
    drive: Callable[[Any, Any], Array]  # (weights, x) -> [driven, N]
    linear: Callable[[Any], tuple[Array, Array]] | None  # weights -> w_x [D, driven, N], bias, where drive is that
    recurrent: Callable[[Any], Array] | None  # weights -> [heads, m, recurrent, n]
    rows: Callable[[Any], Array] | None  # weights -> [R, N]

    def maps(self, weights: Any) -> tuple:
        """What of the weights the kernel multiplies and reads."""
        told = self.linear(weights) if self.linear else ()
        return (*told, *(f(weights) for f in (self.recurrent, self.rows) if f))


class Refused(NotImplementedError):
    """Why a cell has no such form."""


@traced_once(256)
def form_of(cell: Any, structure: Any, shapes: tuple) -> Form:
    """The form of a cell for weights, state and x of one step, flattened. Raises NotImplementedError."""
    weights, state, x = structure.unflatten(jax.ShapeDtypeStruct(*shape) for shape in shapes)
    leaves = jax.tree.leaves(state)
    units, dtype = leaves[0].shape[0] if leaves[0].ndim else 0, leaves[0].dtype
    for leaf in leaves:
        if leaf.shape != (units,) or leaf.dtype != dtype:
            raise Refused(f"a leaf of its state is {leaf.dtype}{list(leaf.shape)}, not {dtype}[{units}] as the first")
    if dtype == jnp.float16:
        raise Refused("its state is float16")
    if "affine" in powers(cell) and cell.kind in ("diagonal", "pair"):
        return _affine(cell, weights, state, x, units)
    if "pointwise" in powers(cell):
        return _pointwise(cell, weights, state, x, units)
    raise Refused(f"{type(cell).__name__} is neither pointwise nor affine of the kind 'diagonal' or 'pair'")


def _affine(cell: Any, weights: Any, state: Any, x: Any, units: int) -> Form:
    a, b = jax.eval_shape(cell.coefficients, weights, x)
    own = _zeros(weights)
    moves = depends(lambda x: cell.coefficients(own, x)[0], x)
    count, tree = len(jax.tree.leaves(a)), jax.tree.structure(a)

    def drive(weights: Any, x: Any) -> Array:
        a, b = cell.coefficients(weights, x)
        return jnp.stack([*jax.tree.leaves(b), *(jax.tree.leaves(a) if moves else ())])

    def constant(weights: Any) -> Array:
        return jnp.stack(jax.tree.leaves(cell.coefficients(weights, _zeros(x))[0]))

    def update(leaves: list, gates: list, rows: list) -> list:
        h = jax.tree.structure(state).unflatten(leaves)
        a = tree.unflatten(gates[len(leaves) :] if moves else rows)
        b = jax.tree.structure(state).unflatten(gates[: len(leaves)])
        return jax.tree.leaves(tree_map(jnp.add, apply(cell.kind, a, h), b))

    leaves = len(jax.tree.leaves(state))
    shape = Shape(units, leaves, leaves + count * moves, 0, 0, rows=0 if moves else count)
    dtype = jax.tree.leaves(state)[0].dtype
    if {leaf.dtype for leaf in jax.tree.leaves((a, b))} != {dtype}:
        raise Refused(f"its coefficients are not {dtype} as its state is")
    form = Form(
        shape, wide(dtype), (dtype,) * (2 * leaves + count), update, drive, None, None, None if moves else constant
    )
    return _driven(form, weights, x)


def wide(*dtypes: Any) -> Any:
    """What numbers of some dtypes are computed in: float32 at least."""
    return jnp.dtype("float64" if jnp.dtype("float64") in dtypes else "float32")


def _zeros(like: Any) -> Any:
    return tree_map(lambda a: jnp.zeros(a.shape, a.dtype), like)


def _pointwise(cell: Any, weights: Any, state: Any, x: Any, units: int) -> Form:
    u, v = jax.eval_shape(cell.drive, weights, x), jax.eval_shape(cell.recur, weights, state)
    batch = partial(tree_map, lambda a: jax.ShapeDtypeStruct((1, *a.shape), a.dtype))
    gates = gates_of(cell, weights, batch(state), batch(u), batch(v))
    told = _told(cell, weights)
    diagonal = told.kind == "diagonal"
    pairs = () if diagonal else gates.pairs
    count_u, count_v = sum(gates.rows_u), sum(gates.rows_v)
    only_u = [i for i in range(count_u) if i not in {i for i, _ in pairs}]
    only_v = [] if diagonal else [j for j in range(count_v) if j not in {j for _, j in pairs}]
    driven, recurrent = [*only_u, *(i for i, _ in pairs)], [*(j for _, j in pairs), *only_v]
    of_u = [a.dtype for a in jax.tree.leaves(u) for _ in range(a.shape[0])]
    of_v = [a.dtype for a in jax.tree.leaves(v) for _ in range(a.shape[0])]
    dtype = wide(jax.tree.leaves(state)[0].dtype, *of_u, *of_v)
    read = _read(cell, weights, state, u, v, gates, units)

    def update(leaves: list, given: list, rows: list) -> list:
        by_u = dict(zip(driven, given, strict=False))
        by_v = {j: jnp.zeros((units,), of_v[j]) for j in range(count_v)} | dict(
            zip(only_v, given[len(driven) :], strict=True)
        )
        if diagonal:
            (leaf,) = told.leaves
            by_v = {j: row * leaves[leaf] for j, row in enumerate(rows[len(read) :])}
        own = _filled(weights, dict(zip(read, rows, strict=False)))
        inner = gates.readable_rows([by_u[i] for i in range(count_u)], [by_v[j] for j in range(count_v)])
        return jax.tree.leaves(cell.update(own, jax.tree.structure(state).unflatten(leaves), *inner))

    def drive(weights: Any, x: Any) -> Array:
        some = row_list(jax.tree.leaves(cell.drive(weights, x)), gates.rows_u)
        return _stacked([some[i] for i in driven], dtype)

    def matrix(weights: Any) -> Array:
        w = cell.recurrent(weights).matrix
        w = w[None] if told.kind == "dense" else w
        return w if recurrent == list(range(count_v)) else w[:, :, jnp.array(recurrent)]

    def rows(weights: Any) -> Array:
        leaves = jax.tree.leaves(weights)
        some = [jnp.broadcast_to(leaves[i], (units,)) for i in read]
        return _stacked([*some, *(cell.recurrent(weights).matrix if diagonal else ())], dtype)

    heads = told.matrix.shape[0] if told.kind == "heads" else 1
    total = len(read) + count_v * diagonal
    shape = Shape(units, len(jax.tree.leaves(state)), len(only_u), len(pairs), len(only_v), heads, total,
                  read=() if diagonal else told.leaves)  # fmt: skip
    kinds = [a.dtype for a in jax.tree.leaves(state)]
    kinds += [of_u[i] for i in driven] + [of_v[j] for j in only_v]
    kinds += [jax.tree.leaves(weights)[i].dtype for i in read] + [told.matrix.dtype] * (count_v * diagonal)
    matrix_or_none = None if diagonal else matrix
    form = Form(shape, dtype, tuple(kinds), update, drive, None, matrix_or_none, rows if total else None)
    plain = getattr(type(cell), "drive", None) is parts.drive and driven == list(range(count_u))
    return _driven(form, weights, x, (lambda weights: (weights.w_x, weights.b)) if plain else None)


def _driven(form: Form, weights: Any, x: Any, known: Any = None) -> Form:
    """The form with its drive as a matrix; as a matrix and a part of the update; or with u given."""
    if isinstance(x, jax.ShapeDtypeStruct) and x.ndim == 1:
        if linear.affine(form.drive, weights, x):
            return form._replace(linear=known or (lambda weights: linear.matrix(partial(form.drive, weights), x)))
        if not form.shape.sums:
            with contextlib.suppress(Uncut, NotImplementedError):
                return _split(form, weights, x)
    return form._replace(shape=dataclasses.replace(form.shape, given=True))


def _split(form: Form, weights: Any, x: Any) -> Form:
    """The form with the elementwise end of its drive in the update. Raises Uncut, or what the table cannot do."""
    shape, told = form.shape, cut(form.drive, weights, x, form.shape.units)
    own = len(told.dtypes) - told.rows

    def update(leaves: list, gates: list, rows: list) -> list:
        driven = told.finish(gates[: told.rows], rows[shape.rows :])
        return form.update(leaves, [*driven, *gates[told.rows :]], rows[: shape.rows])

    def rows(weights: Any) -> Array:
        return jnp.concatenate(
            [
                *([form.rows(weights)] if form.rows else ()),
                *([_stacked(told.constants(weights), form.dtype)] if own else ()),
            ]
        )

    s, g = shape.leaves, shape.leaves + shape.driven
    kinds = (*form.dtypes[:s], *told.dtypes[: told.rows], *form.dtypes[g:], *told.dtypes[told.rows :])
    made = form._replace(
        shape=dataclasses.replace(shape, only_u=told.rows, rows=shape.rows + own),
        dtypes=kinds,
        update=update,
        drive=told.affine,
        linear=lambda weights: linear.matrix(partial(told.affine, weights), x),
        rows=rows if shape.rows + own else None,
    )
    programs_of(made, (True,) * s, True, True)
    return made


def _told(cell: Any, weights: Any) -> Any:
    """The cell's Recurrent, its matrix as a shape."""
    kept: list = []

    def look(weights: Any) -> Array:
        kept.append(cell.recurrent(weights))
        return kept[0].matrix

    matrix = jax.eval_shape(look, weights)
    return kept[0]._replace(matrix=matrix)


def _read(cell: Any, weights: Any, state: Any, u: Any, v: Any, gates: Any, units: int) -> list[int]:
    """The positions of the weights that `update` reads: [N] or scalars."""
    rows = [
        tuple(jax.ShapeDtypeStruct((units,), a.dtype) for a in jax.tree.leaves(leaves) for _ in range(a.shape[0]))
        for leaves in (u, v)
    ]

    def update(weights: Any, state: Any, u: Any, v: Any) -> Any:
        return cell.update(weights, state, *gates.readable_rows(u, v))

    jaxpr = jax.make_jaxpr(update)(weights, state, *rows).jaxpr
    read = {id(atom) for equation in jaxpr.eqns for atom in equation.invars} | {id(a) for a in jaxpr.outvars}
    told = []
    for i, (variable, leaf) in enumerate(zip(jaxpr.invars, jax.tree.leaves(weights), strict=False)):
        if id(variable) in read:
            if leaf.shape not in ((), (units,)):
                raise Refused(f"its update reads a weight of shape {list(leaf.shape)}, not [N] or a scalar")
            told.append(i)
    return told


def _filled(weights: Any, rows: dict[int, Array]) -> Any:
    """Weights in which some leaves are rows, and the others, which nobody reads, are zeros."""
    leaves, tree = jax.tree.flatten(weights)
    return tree.unflatten(rows.get(i, jnp.zeros(leaf.shape, leaf.dtype)) for i, leaf in enumerate(leaves))


def _stacked(rows: list, dtype: Any) -> Array:
    return jnp.stack([row.astype(dtype) for row in rows])
