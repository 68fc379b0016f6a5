"""Evaluates a traced function with its operations spoiled, to see whether a comparison notices."""

import jax.numpy as jnp
from jax.extend.core import ClosedJaxpr, Jaxpr

_INNER = ("jit", "pjit", "custom_jvp_call", "custom_vjp_call", "closed_call", "remat2", "checkpoint")
_SHAPES = ("broadcast_in_dim", "reshape", "squeeze", "slice", "transpose", "unstack", "copy")


def operations(closed):
    """The names of the operations of a closed jaxpr that make floating-point numbers out of others."""
    return list(_names(closed.jaxpr))


def spoiled(closed, factors, arguments):
    """The outputs, with every result of operation number k times factors[k]."""
    return _run(closed.jaxpr, closed.consts, arguments, iter(factors))


def _names(jaxpr):
    for equation in jaxpr.eqns:
        inner = _inside(equation)
        if inner is not None:
            yield from _names(inner.jaxpr)
        elif _counts(equation):
            yield equation.primitive.name


def _run(jaxpr, consts, arguments, factors):
    """Interprets a jaxpr, calls inlined, in the order of `_names`."""
    values = dict(zip((*jaxpr.constvars, *jaxpr.invars), (*consts, *arguments), strict=True))

    def read(atom):
        return atom.val if hasattr(atom, "val") else values[atom]

    for equation in jaxpr.eqns:
        inputs = [read(atom) for atom in equation.invars]
        inner = _inside(equation)
        if inner is not None:
            results = _run(inner.jaxpr, inner.consts, inputs, factors)
        else:
            results = equation.primitive.bind(*inputs, **equation.params)
            results = results if equation.primitive.multiple_results else [results]
            if _counts(equation):
                factor = next(factors)
                results = [r * factor.astype(r.dtype) for r in results]
        values |= dict(zip(equation.outvars, results, strict=True))
    return [read(atom) for atom in jaxpr.outvars]


def _inside(equation):
    """The closed jaxpr that a call would run, or None."""
    if equation.primitive.name not in _INNER:
        return None
    for value in equation.params.values():
        if isinstance(value, ClosedJaxpr):
            return value
        if isinstance(value, Jaxpr):
            return ClosedJaxpr(value, ())
    return None


def _counts(equation):
    """Constants, comparisons and shapes are no operations on numbers."""
    if equation.primitive.name in (*_SHAPES, "iota", "stop_gradient"):
        return False
    return bool(equation.invars) and all(jnp.issubdtype(v.aval.dtype, jnp.floating) for v in equation.outvars)
