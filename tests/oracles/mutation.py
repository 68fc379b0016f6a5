"""Evaluates a traced function with one of its operations spoiled, to see whether a comparison notices."""

import jax
import jax.numpy as jnp

_INNER = ("jit", "pjit", "custom_jvp_call", "custom_vjp_call", "closed_call", "remat2", "checkpoint")


def operations(closed):
    """How many operations of a closed jaxpr make floating-point numbers out of others."""
    counter = [0]
    _run(closed.jaxpr, closed.consts, None, counter, None)
    return counter[0]


def spoiled(closed, arguments, target):
    """(outputs, name of the operation) with every result of operation number `target` 1 % too large."""
    counter, name = [0], []
    outputs = _run(closed.jaxpr, closed.consts, arguments, counter, (target, name))
    return outputs, name[0]


def _run(jaxpr, consts, arguments, counter, target):
    """Interprets a jaxpr, calls inlined; with `arguments` None it only counts."""
    values = {}

    def read(atom):
        return atom.val if hasattr(atom, "val") else values[atom]

    if arguments is not None:
        values |= dict(zip((*jaxpr.constvars, *jaxpr.invars), (*consts, *arguments), strict=True))
    for equation in jaxpr.eqns:
        inputs = None if arguments is None else [read(atom) for atom in equation.invars]
        inner = _inside(equation)
        if inner is not None:
            results = _run(inner.jaxpr, inner.consts, inputs, counter, target)
        else:
            results = None
            if arguments is not None:
                results = equation.primitive.bind(*inputs, **equation.params)
                results = results if equation.primitive.multiple_results else [results]
            if _counts(equation):
                if arguments is not None and counter[0] == target[0]:
                    target[1].append(equation.primitive.name)
                    results = [r * jnp.asarray(1.01, r.dtype) for r in results]
                counter[0] += 1
        if arguments is not None:
            values |= dict(zip(equation.outvars, results, strict=True))
    return None if arguments is None else [read(atom) for atom in jaxpr.outvars]


def _inside(equation):
    """The closed jaxpr that a call would run, or None."""
    if equation.primitive.name not in _INNER:
        return None
    for value in equation.params.values():
        if isinstance(value, jax.extend.core.ClosedJaxpr):
            return value
        if isinstance(value, jax.extend.core.Jaxpr):
            return jax.extend.core.ClosedJaxpr(value, ())
    return None


def _counts(equation):
    """Constants, comparisons and shapes are no operations on numbers."""
    name = equation.primitive.name
    if name in ("broadcast_in_dim", "reshape", "squeeze", "slice", "iota", "stop_gradient", "copy", "transpose"):
        return False
    return bool(equation.invars) and all(jnp.issubdtype(v.aval.dtype, jnp.floating) for v in equation.outvars)
