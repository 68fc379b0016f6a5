"""The matrix of a function that is affine in x: f(x) = x W + f(0)."""

from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
from jax import Array

# Linear in all operands together, in one at a time, and in the first one only.
_TOGETHER = set(
    "add add_any sub neg reshape broadcast_in_dim transpose squeeze slice reduce_sum copy copy_p rev concatenate "
    "convert_element_type cumsum stack unstack split expand_dims".split()
)
_ONE = {"mul", "dot_general"}
_FIRST = {"div", "dynamic_slice", "gather"}
_INSIDE = {"jit", "pjit", "closed_call"}


def affine(function: Callable[..., Any], arguments: Any, x: Any) -> bool:
    """Whether `function(arguments, x)` is affine in x, as far as its primitives tell."""
    jaxpr = jax.make_jaxpr(function)(arguments, x).jaxpr
    moving = [False] * (len(jaxpr.invars) - 1) + [True]
    return _affine(jaxpr, moving) is not None


def _affine(jaxpr: Any, moving: list[bool]) -> list[bool] | None:
    """Which results depend on x, given which arguments do; None where one may not be affine in it."""
    depends = {v for v, moves in zip(jaxpr.invars, moving, strict=True) if moves}
    for equation in jaxpr.eqns:
        flags = [not hasattr(atom, "val") and atom in depends for atom in equation.invars]
        if not any(flags):
            continue
        name, out = equation.primitive.name, [True] * len(equation.outvars)
        if name in _INSIDE:
            inner = equation.params["jaxpr"]
            out = _affine(getattr(inner, "jaxpr", inner), flags)
            if out is None:
                return None
        elif not affine_step(equation, flags):
            return None
        depends |= {v for v, moves in zip(equation.outvars, out, strict=True) if moves}
    return [not hasattr(atom, "val") and atom in depends for atom in jaxpr.outvars]


def affine_step(equation: Any, moving: list[bool]) -> bool:
    """Whether one equation is affine in those operands that move, taken together."""
    name = equation.primitive.name
    if not all(jnp.issubdtype(v.aval.dtype, jnp.floating) for v in equation.outvars):
        return False
    return name in _TOGETHER or name in _ONE and sum(moving) == 1 or name in _FIRST and moving[0] and sum(moving) == 1


def matrix(function: Callable[[Array], Array], x: Any) -> tuple[Array, Array]:
    """(W [D, ...], f(0) [...]) of an affine function of x [D]. Cost: a product of D rows."""
    zero = jnp.zeros(x.shape, x.dtype)
    rows = jax.vmap(lambda one: jax.jvp(function, (zero,), (one,))[1])(jnp.eye(x.shape[0], dtype=x.dtype))
    return rows, function(zero)
