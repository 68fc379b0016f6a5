"""What the primitives of the seam compute: an engine's three functions, over arrays that carry all axes."""

from functools import partial
from typing import Any, NamedTuple, Protocol

import jax
import jax.numpy as jnp
from jax import Array

from rnnx.kernels.seam_axes import STATE, STEPS, WEIGHT, grouped, split


class Engine(Protocol):
    """How one group goes through time: weights bare, s [B, ...], xs, marks, states and cache [T, B, ...].

    It is static (frozen and hashable). `platform` is "cpu", "" for any other, or where it cannot be known. On the
    platforms in `whole` it takes all groups at once instead, by two more methods, with the axes of the primitives:

        forward_whole(weights, xs, state, marks, wanted) -> final, states, cache, as lists of leaves
        backward_whole(primals, states, cache, cotangents, needs) -> as `backward`

    `wanted` has a flag for every leaf of states and cache (None: all), and anything may stand for what is not wanted;
    leaves of the cotangents are None where they are zero. Derivatives of these are those of the other three.
    """

    whole: tuple[str, ...]

    def plain(self, batch: int) -> bool:
        """Whether to leave the derivatives of so small a batch to JAX, which needs `forward` alone."""
        ...

    def forward(self, weights: Any, xs: Any, state: Any, marks: Any, *, platform: str) -> tuple[Any, Any, Any]: ...
    def tangent(self, primals: tuple, states: Any, tangents: tuple, *, platform: str) -> tuple[Any, Any]: ...
    def backward(
        self, primals: tuple, states: Any, cache: Any, cotangents: tuple, *, needs: tuple[bool, bool], platform: str
    ) -> tuple[Any, Any, Any]:
        """Cotangents of weights, xs and state; None for weights or xs where `needs` says so. `cache` may be None."""
        ...


class Plan(NamedTuple):
    """What is static of a call: who runs it, and how its flat operands are grouped. Trees of one group's values."""

    engine: Any
    precision: str | None  # of products, as set where the call was written: a lowering comes later
    weights: Any
    xs: Any
    state: Any
    marks: Any
    cache: Any


def runner(function: Any, axes_in: Any, axes_out: Any) -> Any:
    """What a primitive computes: `function`, with products as precise as was asked for where the call was written.

    Operands that are `bare`, of a single sequence, get their axes of groups and batch here, and lose them again.
    """

    def run(*operands: Array, plan: Plan, bare: bool, platform: str = "", cached: bool = True, **how: Any) -> list:
        if bare:
            axes = zip(operands, axes_in(plan, **how), strict=True)
            operands = tuple(jnp.expand_dims(a, [i for i in where if i is not None]) for a, where in axes)
        more = {} if cached else {"cached": False}
        with jax.default_matmul_precision(plan.precision):
            out = function(*operands, plan=plan, platform=platform, **how, **more)
        if not bare:
            return out
        axes = zip(out, axes_out(plan, **how), strict=True)
        return [jnp.squeeze(a, [i for i in where if i is not None]) for a, where in axes]

    return run


def run_forward(*operands: Array, plan: Plan, wanted: tuple | None = None, platform: str = "") -> list[Array]:
    args = split(operands, plan.weights, plan.xs, plan.state, plan.marks)
    if platform in plan.engine.whole:
        final, states, cache = plan.engine.forward_whole(*args, wanted)
        return some([*final, *states, *cache], plan, wanted)
    function = partial(plan.engine.forward, platform=platform)
    out = grouped(function, (WEIGHT, STEPS, STATE, STEPS), (STATE, STEPS, STEPS))(*args)
    return some(jax.tree.leaves(out), plan, wanted)


def some(leaves: list, plan: Plan, wanted: tuple | None) -> list:
    """What is wanted of the results of forward; the final state always is."""
    count = plan.state.num_leaves
    if wanted is None:
        return leaves
    return [*leaves[:count], *(a for a, has in zip(leaves[count:], wanted, strict=True) if has)]


def run_tangent(*operands: Array, plan: Plan, platform: str = "") -> list[Array]:
    primals, (states, _, *tangents) = _operands(operands, plan, (plan.weights, plan.xs, plan.state))

    def function(weights, xs, state, marks, states, *tangents):
        return plan.engine.tangent((weights, xs, state, marks), states, tangents, platform=platform)

    axes = (WEIGHT, STEPS, STATE, STEPS, STEPS, WEIGHT, STEPS, STATE)
    return jax.tree.leaves(grouped(function, axes, (STATE, STEPS))(*primals, states, *tangents))


def run_backward(
    *operands: Array,
    plan: Plan,
    needs: tuple[bool, bool],
    given: tuple[bool, ...],
    cached: bool = True,
    platform: str = "",
) -> list[Array]:
    count = len(operands) - sum(given)
    primals, (states, cache) = _operands(operands[:count], plan, ())
    told = iter(operands[count:])
    leaves = [next(told) if has else None for has in given]
    final, later = leaves[: plan.state.num_leaves], leaves[plan.state.num_leaves :]
    if platform in plan.engine.whole and cached:
        return jax.tree.leaves(plan.engine.backward_whole(primals, states, cache, (final, later), needs))
    zeros = [
        jnp.zeros_like(like) if a is None else a
        for a, like in zip(leaves, jax.tree.leaves((primals[2], states)), strict=True)
    ]
    cotangents = split(zeros, plan.state, plan.state)

    def function(weights, xs, state, marks, states, cache, *cotangents):
        primals = weights, xs, state, marks
        how = {"needs": needs, "platform": platform}
        return plan.engine.backward(primals, states, cache if cached else None, cotangents, **how)

    axes = (WEIGHT, STEPS, STATE, STEPS, STEPS, STEPS, STATE, STEPS)
    out = grouped(function, axes, (WEIGHT, STEPS, STATE))(*primals, states, cache, *cotangents)
    return jax.tree.leaves(out)


def _operands(operands: Any, plan: Plan, rest: tuple) -> tuple[list, list]:
    """(primals, [states, cache, *rest])"""
    parts = split(operands, plan.weights, plan.xs, plan.state, plan.marks, plan.state, plan.cache, *rest)
    return parts[:4], parts[4:]
