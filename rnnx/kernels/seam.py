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
from typing import Any

import jax
import jax.numpy as jnp
from jax import Array
from jax.core import ShapedArray
from jax.extend.core import Primitive
from jax.interpreters import ad, batching, mlir
from jax.interpreters import partial_eval as pe

from rnnx.kernels.seam_axes import STATE, STEPS, WEIGHT, apart, bare_place, fold, grown, split, spread
from rnnx.kernels.seam_runs import Plan, run_backward, run_forward, run_tangent, runner, some


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
    plan = Plan(engine, precision, *map(jax.tree.structure, (weights, xs, state, marks, cache)))
    out = _forward.bind(*jax.tree.leaves((weights, xs, state, marks)), plan=plan, bare=True, wanted=None)
    return tuple(split(out, plan.state, plan.state, plan.cache))  # type: ignore[return-value]


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


def _primals(plan: Plan, **how: Any) -> list[tuple]:
    del how
    return spread((plan.weights, WEIGHT), (plan.xs, STEPS), (plan.state, STATE), (plan.marks, STEPS))


def _forward_out(plan: Plan, wanted: tuple | None = None) -> list[tuple]:
    return some(spread((plan.state, STATE), (plan.state, STEPS), (plan.cache, STEPS)), plan, wanted)


def _with_states(plan: Plan) -> list[tuple]:
    return _primals(plan) + spread((plan.state, STEPS), (plan.cache, STEPS))


def _backward_in(plan: Plan, needs: tuple[bool, bool], given: tuple[bool, ...]) -> list[tuple]:
    del needs
    cotangents = spread((plan.state, STATE), (plan.state, STEPS))
    return _with_states(plan) + [axes for axes, has in zip(cotangents, given, strict=True) if has]


def _backward_out(plan: Plan, needs: tuple[bool, bool], given: tuple[bool, ...]) -> list[tuple]:
    del given
    told = [(plan.weights, WEIGHT)] * needs[0] + [(plan.xs, STEPS)] * needs[1] + [(plan.state, STATE)]
    return spread(*told)


def _tangent_in(plan: Plan) -> list[tuple]:
    return _with_states(plan) + spread((plan.weights, WEIGHT), (plan.xs, STEPS), (plan.state, STATE))


def _tangent_out(plan: Plan) -> list[tuple]:
    return spread((plan.state, STATE), (plan.state, STEPS))


def _made(name: str, function: Any, axes_in: Any, axes_out: Any) -> tuple[Primitive, Any]:
    """(primitive, what it computes)"""
    run = runner(function, axes_in, axes_out)
    primitive = _primitive(name, run)
    _batch(primitive, axes_in, axes_out)
    return primitive, run


_forward, _forward_run = _made("forward", run_forward, _primals, _forward_out)
_tangent, _tangent_run = _made("tangent", run_tangent, _tangent_in, _tangent_out)
_backward, _backward_run = _made("backward", run_backward, _backward_in, _backward_out)

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
    return some(out, plan, wanted), some(d_out, plan, wanted)


def _tangent_transpose(cotangents, *operands, plan, bare):
    moving = plan.weights.num_leaves + plan.xs.num_leaves + plan.state.num_leaves
    known, asked = operands[:-moving], [ad.is_undefined_primal(a) for a in operands[-moving:]]
    given = tuple(type(ct) is not ad.Zero for ct in cotangents)
    cotangents = [ct for ct, has in zip(cotangents, given, strict=True) if has]
    groups = split(asked, plan.weights, plan.xs, plan.state)
    needs = tuple(any(jax.tree.leaves(group)) for group in groups[:2])
    found = iter(_backward.bind(*known, *cotangents, plan=plan, bare=bare, needs=needs, given=given))
    told = []
    for group, need in zip(groups, (*needs, True), strict=True):
        told += [next(found) if need else None for _ in jax.tree.leaves(group)]
    return [None] * len(known) + [ct if wanted else None for ct, wanted in zip(told, asked, strict=True)]


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
