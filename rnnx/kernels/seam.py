"""The seam behind which a recurrence runs for a whole batch at once, whatever `vmap` and `grad` are around it.

The house writes for one sequence and lets `jax.vmap` add batch and seeds. A rule of differentiation written for one
sequence would then make a weight gradient per example. So a recurrence is three primitives of JAX over arrays that
always carry all axes, and `vmap` only makes those longer:

    forward    (w, xs, s, marks) -> final, states, cache            s_t = f(w, s_{t-1}, x_t), all t
    tangent    its derivative, linear in (dw, dxs, ds)
    backward   the transpose of that: (dw summed over the batch, dxs, ds)

    w [K, ...], s and final [K, B, ...], xs, marks, states and cache [K, T, B, ...]

`vmap` over something with weights adds to the groups K, over anything else to the batch B. Asked for a weight
gradient per example (`vmap` outside `grad`), backward makes the examples groups. An `Engine` says how each of the
three is computed for one group. Second derivatives differentiate the engine's own `tangent` and `backward` as plain
JAX, in which the states are operands: nothing is held fixed that depends on the weights. Only `cache` is: it repeats
what can be computed from the other operands, and both do so when they are differentiated.
"""

from functools import partial
from typing import Any, NamedTuple, Protocol

import jax
import jax.numpy as jnp
from jax import Array
from jax.core import ShapedArray
from jax.extend.core import Primitive
from jax.interpreters import ad, batching, mlir
from jax.interpreters import partial_eval as pe

from rnnx.kernels.seam_axes import STATE, STEPS, WEIGHT, apart, bare_place, fold, grouped, grown, split, spread


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


class _Plan(NamedTuple):
    """What is static of a call: who runs it, and how its flat operands are grouped. Trees of one group's values."""

    engine: Any
    precision: str | None  # of products, as set where the call was written: a lowering comes later
    weights: Any
    xs: Any
    state: Any
    marks: Any
    cache: Any


def recurrence(engine: Any, weights: Any, xs: Any, state: Any, marks: Any) -> tuple[Any, Any, Any]:
    """(final state, states [T, ...], cache [T, ...]) of one sequence; xs and marks lead with T.

    Leaves of weights, xs and state are floating; the cache has no derivative.
    """
    for leaf in jax.tree.leaves((weights, xs, state)):
        if not jnp.issubdtype(leaf.dtype, jnp.floating):
            raise NotImplementedError(
                f"a recurrence of {leaf.dtype} numbers has no derivative by this method; take method='sequential'"
            )
    lengthen, widen = partial(jax.tree.map, lambda a: a[:, None]), partial(jax.tree.map, lambda a: a[None])
    forward = partial(engine.forward, platform="")
    _, _, cache = jax.eval_shape(forward, weights, lengthen(xs), widen(state), lengthen(marks))
    precision = jax.config.jax_default_matmul_precision  # type: ignore[attr-defined]
    plan = _Plan(engine, precision, *map(jax.tree.structure, (weights, xs, state, marks, cache)))
    out = _forward.bind(*jax.tree.leaves((weights, xs, state, marks)), plan=plan, bare=True, wanted=None)
    return tuple(split(out, plan.state, plan.state, plan.cache))  # type: ignore[return-value]


# ------------------------------------------------------------------------------------------------------- axes


def _primals(plan: _Plan, **how: Any) -> list[tuple]:
    del how
    return spread((plan.weights, WEIGHT), (plan.xs, STEPS), (plan.state, STATE), (plan.marks, STEPS))


# -------------------------------------------------------------------------------------------- the three functions


def _run(function: Any, axes_in: Any, axes_out: Any) -> Any:
    """What a primitive computes: `function`, with products as precise as was asked for where the call was written.

    Operands that are `bare`, of a single sequence, get their axes of groups and batch here, and lose them again.
    """

    def run(*operands: Array, plan: _Plan, bare: bool, platform: str = "", cached: bool = True, **how: Any) -> list:
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


def _run_forward(*operands: Array, plan: _Plan, wanted: tuple | None = None, platform: str = "") -> list[Array]:
    args = split(operands, plan.weights, plan.xs, plan.state, plan.marks)
    if platform in plan.engine.whole:
        final, states, cache = plan.engine.forward_whole(*args, wanted)
        return _some([*final, *states, *cache], plan, wanted)
    function = partial(plan.engine.forward, platform=platform)
    out = grouped(function, (WEIGHT, STEPS, STATE, STEPS), (STATE, STEPS, STEPS))(*args)
    return _some(jax.tree.leaves(out), plan, wanted)


def _some(leaves: list, plan: _Plan, wanted: tuple | None) -> list:
    """What is wanted of the results of forward; the final state always is."""
    count = plan.state.num_leaves
    if wanted is None:
        return leaves
    return [*leaves[:count], *(a for a, has in zip(leaves[count:], wanted, strict=True) if has)]


def _run_tangent(*operands: Array, plan: _Plan, platform: str = "") -> list[Array]:
    primals, (states, _, *tangents) = _operands(operands, plan, (plan.weights, plan.xs, plan.state))

    def function(weights, xs, state, marks, states, *tangents):
        return plan.engine.tangent((weights, xs, state, marks), states, tangents, platform=platform)

    axes = (WEIGHT, STEPS, STATE, STEPS, STEPS, WEIGHT, STEPS, STATE)
    return jax.tree.leaves(grouped(function, axes, (STATE, STEPS))(*primals, states, *tangents))


def _run_backward(
    *operands: Array,
    plan: _Plan,
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


def _operands(operands: Any, plan: _Plan, rest: tuple) -> tuple[list, list]:
    """(primals, [states, cache, *rest])"""
    parts = split(operands, plan.weights, plan.xs, plan.state, plan.marks, plan.state, plan.cache, *rest)
    return parts[:4], parts[4:]


# ----------------------------------------------------------------------------------------------- the primitives


def _primitive(name: str, run: Any) -> Primitive:
    primitive = Primitive(f"rnnx_{name}")
    primitive.multiple_results = True
    primitive.def_impl(lambda *args, **how: jax.jit(partial(run, **how))(*args))

    def shapes(*args, **how):
        given = [jax.ShapeDtypeStruct(a.shape, a.dtype) for a in args]
        return [ShapedArray(o.shape, o.dtype) for o in jax.eval_shape(partial(run, **how), *given)]

    primitive.def_abstract_eval(shapes)
    mlir.register_lowering(primitive, mlir.lower_fun(run, multiple_results=True))
    on_cpu = mlir.lower_fun(partial(run, platform="cpu"), multiple_results=True)
    mlir.register_lowering(primitive, on_cpu, platform="cpu")
    return primitive


def _batch(primitive: Primitive, axes_in: Any, axes_out: Any) -> None:
    """`vmap` makes the axis of groups or that of the batch longer, or gives it to operands that are bare."""

    def rule(operands, dims, *, plan, bare, **how):
        axes, out_axes = axes_in(plan, **how), axes_out(plan, **how)
        size = next(a.shape[d] for a, d in zip(operands, dims, strict=True) if d is not None)
        weighty = any(d is not None for d, a in zip(dims, axes, strict=True) if a == WEIGHT)
        which = 0 if weighty or WEIGHT in out_axes else 1  # 0: groups, 1: batch
        join = grown if bare else fold
        joined = [join(a, d, size, where, which) for a, d, where in zip(operands, dims, axes, strict=True)]
        out = primitive.bind(*joined, plan=plan, bare=False, **how)
        if bare:
            others = [where[1 - which] for where in out_axes]
            out = [a if i is None else jnp.squeeze(a, i) for a, i in zip(out, others, strict=True)]
            return out, [bare_place(where, which) for where in out_axes]
        places = [where[which] for where in out_axes]
        return [apart(a, size, p) for a, p in zip(out, places, strict=True)], places

    batching.primitive_batchers[primitive] = rule


def _forward_out(plan: _Plan, wanted: tuple | None = None) -> list[tuple]:
    return _some(spread((plan.state, STATE), (plan.state, STEPS), (plan.cache, STEPS)), plan, wanted)


def _with_states(plan: _Plan) -> list[tuple]:
    return _primals(plan) + spread((plan.state, STEPS), (plan.cache, STEPS))


def _backward_in(plan: _Plan, needs: tuple[bool, bool], given: tuple[bool, ...]) -> list[tuple]:
    del needs
    cotangents = spread((plan.state, STATE), (plan.state, STEPS))
    return _with_states(plan) + [axes for axes, has in zip(cotangents, given, strict=True) if has]


def _backward_out(plan: _Plan, needs: tuple[bool, bool], given: tuple[bool, ...]) -> list[tuple]:
    del given
    told = [(plan.weights, WEIGHT)] * needs[0] + [(plan.xs, STEPS)] * needs[1] + [(plan.state, STATE)]
    return spread(*told)


def _tangent_in(plan: _Plan) -> list[tuple]:
    return _with_states(plan) + spread((plan.weights, WEIGHT), (plan.xs, STEPS), (plan.state, STATE))


def _tangent_out(plan: _Plan) -> list[tuple]:
    return spread((plan.state, STATE), (plan.state, STEPS))


def _made(name: str, function: Any, axes_in: Any, axes_out: Any) -> tuple[Primitive, Any]:
    """(primitive, what it computes)"""
    run = _run(function, axes_in, axes_out)
    primitive = _primitive(name, run)
    _batch(primitive, axes_in, axes_out)
    return primitive, run


_forward, _forward_run = _made("forward", _run_forward, _primals, _forward_out)
_tangent, _tangent_run = _made("tangent", _run_tangent, _tangent_in, _tangent_out)
_backward, _backward_run = _made("backward", _run_backward, _backward_in, _backward_out)

# ------------------------------------------------------------------------------------------------- derivatives


def _dense(tangent: Any, primal: Any) -> Array:
    """A tangent with its zeros written out; those of flags have a type of their own."""
    if type(tangent) is not ad.Zero:
        return tangent
    floating = jnp.issubdtype(primal.dtype, jnp.floating)
    return jnp.zeros(primal.shape, primal.dtype if floating else jax.dtypes.float0)


def _forward_jvp(primals, tangents, *, plan, bare, wanted):
    if plan.engine.plain(1 if bare else primals[plan.weights.num_leaves].shape[2]):
        how = {"plan": plan, "bare": bare, "wanted": wanted}
        return _plainly(partial(_forward_run, platform=jax.default_backend()))(primals, tangents, **how)
    out = _forward.bind(*primals, plan=plan, bare=bare, wanted=None)
    count = plan.weights.num_leaves + plan.xs.num_leaves + plan.state.num_leaves  # marks are flags
    moving = [_dense(t, p) for t, p in zip(tangents[:count], primals, strict=False)]
    known = out[plan.state.num_leaves :]  # states and cache
    d_out = _tangent.bind(*primals, *known, *moving, plan=plan, bare=bare)
    d_out = [*d_out, *(ad.Zero(jax.typeof(a).to_tangent_aval()) for a in out[len(d_out) :])]
    return _some(out, plan, wanted), _some(d_out, plan, wanted)


def _tangent_transpose(cotangents, *operands, plan, bare):
    moving = plan.weights.num_leaves + plan.xs.num_leaves + plan.state.num_leaves
    known, asked = operands[:-moving], [ad.is_undefined_primal(a) for a in operands[-moving:]]
    given = tuple(type(ct) is not ad.Zero for ct in cotangents)
    cotangents = [ct for ct, has in zip(cotangents, given, strict=True) if has]
    groups = split(asked, plan.weights, plan.xs, plan.state)
    needs = tuple(any(jax.tree.leaves(group)) for group in groups[:2])
    out = iter(_backward.bind(*known, *cotangents, plan=plan, bare=bare, needs=needs, given=given))
    told = [
        [next(out) for _ in jax.tree.leaves(g)] if need else [None] * g_count(g) for g, need in _pairs(groups, needs)
    ]
    flat = [ct if a else None for ct, a in zip([c for group in told for c in group], asked, strict=True)]
    return [None] * len(known) + flat


def g_count(group: Any) -> int:
    return len(jax.tree.leaves(group))


def _pairs(groups: list, needs: tuple) -> Any:
    return zip(groups, (*needs, True), strict=True)


def _plainly(run: Any) -> Any:
    """The derivative of a function's own program, as JAX finds it."""

    def rule(primals, tangents, **how):
        return jax.jvp(partial(run, **how), primals, tuple(map(_dense, tangents, primals)))

    return rule


def _forward_dce(used: list[bool], *rest: Any) -> tuple[list[bool], Any]:
    """Of a call whose states or gates nobody reads, only the others are computed and stored."""
    equation = rest[-1]  # newer JAX also says before it which operands are live
    if not any(used):
        return [False] * len(equation.invars), None
    plan, wanted = equation.params["plan"], equation.params["wanted"]
    count, told = plan.state.num_leaves, iter(used[plan.state.num_leaves :])
    wanted = tuple(has and next(told) for has in wanted or (True,) * (len(used) - count))
    out = [v for i, (v, has) in enumerate(zip(equation.outvars, used, strict=True)) if i < count or has]
    return [True] * len(equation.invars), equation.replace(outvars=out, params={**equation.params, "wanted": wanted})


pe.dce_rules[_forward] = _forward_dce
ad.primitive_jvps[_forward] = _forward_jvp
ad.primitive_transposes[_tangent] = _tangent_transpose
ad.primitive_jvps[_tangent] = _plainly(_tangent_run)
ad.primitive_jvps[_backward] = _plainly(partial(_backward_run, cached=False))
