"""A function of x cut in two: what is affine in x, and an elementwise function of rows [N] of that.

A gate such as sigmoid(W x + b) so becomes a product, which the kernel does, and an operation of its table. The function
is traced; where an operation is not affine, its affine operands are the cut. Beyond the cut every array [..., N] is
taken as rows [N]: operations on the axes before the last only pick and order rows, all others must be elementwise.
"""

import math
from collections.abc import Callable
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jax import Array

from rnnx.kernels.cpu.linear import affine_step
from rnnx.kernels.cpu.program import ELEMENTWISE, INSIDE

MOST = 2  # rows at the cut for each row of the result: beyond that the products would be the larger cost


class Cut(NamedTuple):
    """f(arguments, x) = finish(affine(arguments, x), constants(arguments)), all of them stacks or lists of rows [N]."""

    affine: Callable[[Any, Any], Array]  # -> [A, N]
    constants: Callable[[Any], list[Array]]  # -> rows [N]
    finish: Callable[[list, list], list]
    rows: int
    dtypes: tuple  # of the rows at the cut, then of the constants


class Uncut(Exception):
    """The function has no such form."""


def cut(function: Callable[[Any, Any], Array], arguments: Any, x: Any, units: int) -> Cut:
    """Of `function(arguments, x) -> [R, N]`. Raises Uncut."""
    with jax.disable_jit():  # what is jitted inside is seen through
        closed = jax.make_jaxpr(function)(arguments, x)
    jaxpr, consts = closed.jaxpr, closed.consts
    level = {v: "fixed" for v in (*jaxpr.constvars, *jaxpr.invars)} | {jaxpr.invars[-1]: "affine"}
    later = [equation for equation in jaxpr.eqns if _classify(equation, level)]
    outside = dict.fromkeys(a for equation in later for a in equation.invars if not hasattr(a, "val"))
    outside |= dict.fromkeys(a for a in jaxpr.outvars if not hasattr(a, "val"))
    bases = [v for v in outside if level[v] == "affine"]
    fixed = [v for v in outside if level[v] == "fixed"]
    if any(v.aval.shape[-1:] != (units,) for v in bases) or any(v.aval.shape[-1:] not in ((), (units,)) for v in fixed):
        raise Uncut
    counts = [math.prod(v.aval.shape[:-1]) for v in bases]
    if not later or not bases or sum(counts) > MOST * math.prod(jaxpr.outvars[0].aval.shape[:-1]):
        raise Uncut

    def evaluate(wanted: list, arguments: Any, x: Any) -> list[Array]:
        known = dict(zip(jaxpr.constvars, consts, strict=True))
        known |= dict(zip(jaxpr.invars, [*jax.tree.leaves(arguments), x], strict=True))
        for equation in jaxpr.eqns:
            if all(hasattr(v, "val") or v in known for v in equation.invars) and equation not in later:
                out = _bound(equation, [_value(known, v) for v in equation.invars])
                known.update(zip(equation.outvars, out, strict=True))
        rows = [jnp.broadcast_to(known[v], (*v.aval.shape[:-1], units)).reshape(-1, units) for v in wanted]
        return [row for some in rows for row in some]

    def affine(arguments: Any, x: Any) -> Array:
        return jnp.stack(evaluate(bases, arguments, x))

    def constants(arguments: Any) -> list[Array]:
        return evaluate(fixed, arguments, jnp.zeros(x.shape, x.dtype))

    def finish(given: list, own: list) -> list:
        waiting, known = iter([*given, *own]), {}
        for v in (*bases, *fixed):
            known[v] = _array([next(waiting) for _ in range(math.prod(v.aval.shape[:-1]))], v.aval.shape[:-1])
        for equation in later:
            values = [_value(known, a) for a in equation.invars]
            if equation.primitive.name == "unstack" and equation.params["axis"] < values[0].ndim:
                parts = np.moveaxis(values[0], equation.params["axis"], 0)
                parts = [part if isinstance(part, np.ndarray) else _array([part], ()) for part in parts]
                known.update(zip(equation.outvars, parts, strict=True))
            else:
                known[equation.outvars[0]] = _on_rows(equation, values, units)
        return list(known[jaxpr.outvars[0]].reshape(-1))

    kinds = [v.aval.dtype for v in (*bases, *fixed) for _ in range(math.prod(v.aval.shape[:-1]))]
    return Cut(affine, constants, finish, sum(counts), tuple(kinds))


def _classify(equation: Any, level: dict) -> bool:
    """Notes the level of an equation's results; whether it stands beyond the cut."""
    told = [None if hasattr(a, "val") else level[a] for a in equation.invars]
    if not any(t in ("affine", "later") for t in told):
        kind = "fixed"
    elif "later" not in told and affine_step(equation, [t == "affine" for t in told]):
        kind = "affine"
    else:
        kind = "later"
    level.update({v: kind for v in equation.outvars})
    return kind == "later"


def _value(known: dict, atom: Any) -> Any:
    return atom.val if hasattr(atom, "val") else known[atom]


def _bound(equation: Any, values: list) -> list:
    told = equation.primitive.get_bind_params(equation.params)
    more, how = told if isinstance(told, tuple) else ((), told)  # the first also names functions, in older JAX
    out = equation.primitive.bind(*more, *values, **how)
    return out if equation.primitive.multiple_results else [out]


def _array(rows: list, shape: tuple) -> np.ndarray:
    """Rows as entries of an array, which NumPy must not look into."""
    out = np.empty(len(rows), object)
    for i, row in enumerate(rows):
        out[i] = row
    return out.reshape(shape)


def _on_rows(equation: Any, values: list, units: int) -> np.ndarray:
    """One equation: rows picked and ordered, or an elementwise operation on each."""
    name, how, shape = equation.primitive.name, equation.params, equation.outvars[0].aval.shape
    if len(equation.outvars) != 1 or shape[-1:] != (units,) or not values:
        raise Uncut
    first, rank = values[0], len(equation.invars[0].aval.shape)
    match name:
        case "reshape" | "squeeze" | "expand_dims":
            return first.reshape(shape[:-1])
        case "slice" if how["start_indices"][-1] == 0 and how["limit_indices"][-1] == units:
            steps = how["strides"] or (1,) * rank
            starts, limits = how["start_indices"], how["limit_indices"]
            return first[tuple(slice(*s) for s in zip(starts[:-1], limits[:-1], steps[:-1], strict=True))]
        case "stack" if how["axis"] < rank:
            return np.stack(values, how["axis"])
        case "concatenate" if how["dimension"] < rank - 1:
            return np.concatenate(values, how["dimension"])
        case "broadcast_in_dim" if rank == 0:
            row = jnp.full((units,), first) if not isinstance(first, np.ndarray) else first[()]
            return _array([row] * math.prod(shape[:-1]), shape[:-1])
        case "broadcast_in_dim" if how["broadcast_dimensions"][-1] == len(shape) - 1:
            lengths = dict(zip(how["broadcast_dimensions"], equation.invars[0].aval.shape, strict=True))
            return np.broadcast_to(first.reshape([lengths.get(i, 1) for i in range(len(shape) - 1)]), shape[:-1])
    if name not in ELEMENTWISE - {"broadcast_in_dim"} and (name not in INSIDE or shape != (units,)):
        raise Uncut
    if any(a.aval.shape not in ((), shape) for a in equation.invars):
        raise Uncut
    rows = []
    for place in np.ndindex(*shape[:-1]):
        operands = [
            v[place if v.ndim else ()] if isinstance(v, np.ndarray) and v.dtype == object else v for v in values
        ]
        rows.append(_bound(equation, _even(operands, units))[0])
    return _array(rows, shape[:-1])


def _even(operands: list, units: int) -> list:
    """Numbers beside rows as rows."""
    return [a if getattr(a, "ndim", 0) else jnp.full((units,), a) for a in operands]
