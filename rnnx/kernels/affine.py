"""The affine recurrence h_t = A_t h_{t-1} + b_t over a whole sequence.

The kinds of A are those of `rnnx.types.apply`; a state of the kind "pair" is a pair (real, imaginary), any other one
array. Affine maps compose to affine maps, (A2, b2) after (A1, b1) = (A2 A1, A2 b1 + b2), so the states are a prefix
"sum" under an associative product (Blelloch 1990, "Prefix sums and their applications"; as recurrent networks Martin &
Cundy 2018, arXiv:1709.04057). Where a sequence starts, a map does not see the state before it: a flag and a select,
never a product with 0, which would turn an infinity into NaN.
"""

from collections.abc import Callable
from functools import partial
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
from jax import Array
from jax.custom_derivatives import SymbolicZero

# ------------------------------------------------------------------------------------------------- kinds of A


def times(kind: str, a: Any, h: Any) -> Any:
    """A h"""
    if kind == "diagonal":
        return a * h
    if kind == "pair":
        return product(kind, a, h)
    if kind == "block":
        return jnp.einsum("hij,hj->hi", a, h.reshape(a.shape[0], a.shape[2])).reshape(h.shape)
    return a @ h


def product(kind: str, a2: Any, a1: Any) -> Any:
    """A2 A1"""
    if kind == "diagonal":
        return a2 * a1
    if kind == "pair":
        (re2, im2), (re1, im1) = a2, a1
        return re2 * re1 - im2 * im1, re2 * im1 + im2 * re1
    return a2 @ a1


def adjoint(kind: str, a: Any) -> Any:
    """A^T"""
    if kind == "pair":
        return a[0], -a[1]
    return a if kind == "diagonal" else a.mT


def identity(kind: str, a: Any) -> Any:
    """I, shaped like A."""
    if kind == "pair":
        return jnp.ones_like(a[0]), jnp.zeros_like(a[1])
    if kind == "diagonal":
        return jnp.ones_like(a)
    return jnp.broadcast_to(jnp.eye(a.shape[-1], dtype=a.dtype), a.shape)


# ------------------------------------------------------------------------------------------------- one step


class Steps(NamedTuple):
    """T affine maps, or one."""

    a: Any  # leaves [T, ...], or [...] where A is the same at every step
    b: Any  # leaves [T, ...]
    starts: Array | None  # bool [T]: a step that does not see the state before it
    valid: Array | None  # bool [T]: where False, A is the identity


class Map(NamedTuple):
    """How a step acts on what is carried: `visit(carry, step) -> (carry, output)`, whose linear part is `turn(A)`."""

    kind: str
    visit: Callable[[Any, Steps], tuple[Any, Any]]
    turn: Callable[[Any], Any]


def forward(kind: str, fresh: Any) -> Map:
    """h_t = A_t h_{t-1} + b_t, with `fresh` for h_{t-1} where a sequence starts. h_t is carried and the output."""

    def visit(h, step):
        h = h if step.starts is None else where(step.starts, fresh, h)
        h = add(moved(kind, step.a, h, step.valid), step.b)
        return h, h

    return Map(kind, visit, lambda a: a)


def backward(kind: str) -> Map:
    """The transpose: l_t = c_t + m_{t+1}, m_t = A_t^T l_t, and m_t = 0 where a sequence starts. l_t is the output."""

    def visit(m, step):
        l = add(step.b, m)  # noqa: E741
        m = moved(kind, adjoint(kind, step.a), l, step.valid)
        return (m if step.starts is None else where(step.starts, zeros(m), m)), l

    return Map(kind, visit, partial(adjoint, kind))


def moved(kind: str, a: Any, h: Any, valid: Array | None) -> Any:
    """A h, and h itself where the step is not valid."""
    return times(kind, a, h) if valid is None else where(valid, times(kind, a, h), h)


def axes(kind: str, steps: Steps) -> Steps:
    """What has an axis of time, for vmap: A need not."""
    states = jax.tree.leaves(steps.b)[0].ndim - 1
    constant = jax.tree.leaves(steps.a)[0].ndim == {"block": 3, "dense": 2}.get(kind, states)
    return Steps(None if constant else 0, 0, 0, 0)  # type: ignore[arg-type]


# ----------------------------------------------------------------------------------------- the whole sequence

# A way takes `Map, steps, first carry, reverse` and returns (last carry, outputs [T, ...]).
Way = Callable[[Map, Steps, Any, bool], tuple[Any, Any]]


def loop(act: Map, steps: Steps, first: Any, reverse: bool, unroll: int = 1) -> tuple[Any, Any]:
    """Step after step: T visits in a row, and no memory but the outputs."""
    if axes(act.kind, steps).a is None:
        a, steps = steps.a, steps._replace(a=None)
        visit = lambda h, step: act.visit(h, step._replace(a=a))  # noqa: E731
    else:
        visit = act.visit
    return jax.lax.scan(visit, first, steps, reverse=reverse, unroll=unroll)


def recurrence(
    kind: str,
    a: Any,
    b: Any,
    first: Any,
    *,
    fresh: Any = None,
    starts: Array | None = None,
    valid: Array | None = None,
    reverse: bool = False,
    way: Way = loop,
) -> Any:
    """hs, leaves [T, ...], of h_t = A_t h_{t-1} + b_t from h_{-1} = `first`.

    a: leaves [T, ...], or [...] where A is the same at every step. starts bool [T]: h_{t-1} is `fresh` instead.
    valid bool [T]: A_t is the identity where False, and b_t should be 0. reverse: from the last step to the first.
    way: `loop`, or another with the same answer.

    Every derivative works, forward, reverse and higher, and is as parallel as the way: a tangent solves the same
    recurrence, a cotangent its transpose. What is kept for them is A and the states. An infinity or NaN in a state
    that a start discards reaches no value and no derivative.
    """
    if jax.tree.leaves(b)[0].shape[0] == 0:
        return b
    return _states(kind, reverse, way, a, b, first, fresh, starts, valid)


@partial(jax.custom_jvp, nondiff_argnums=(0, 1, 2))
def _states(kind, reverse, way, a, b, first, fresh, starts, valid):
    return way(forward(kind, fresh), Steps(a, b, starts, valid), first, reverse)[1]


@partial(_states.defjvp, symbolic_zeros=True)
def _tangents(kind, reverse, way, primals, tangents):
    """dh_t = A_t dh_{t-1} + c_t, where c is the derivative of one step with the state before it held still."""
    a, *_, starts, valid = primals
    hs = _states(kind, reverse, way, *primals)
    values, tree = jax.tree.flatten(primals[:4])
    dots = jax.tree.leaves(tangents[:4])
    moving = [i for i, dot in enumerate(dots) if not isinstance(dot, SymbolicZero)]

    def once(*some):
        given = dict(zip(moving, some, strict=True))
        a, b, first, fresh = tree.unflatten(given.get(i, value) for i, value in enumerate(values))
        steps = Steps(a, b, starts, valid)
        return jax.vmap(partial(_stepped, kind), (0, axes(kind, steps)))(
            before(first, fresh, hs, starts, reverse), steps
        )

    _, c = jax.jvp(once, [values[i] for i in moving], [dots[i] for i in moving])
    return hs, _linear(kind, reverse, way, Steps(a, c, starts, valid))


def _stepped(kind: str, h: Any, step: Steps) -> Any:
    """A h + b; a step that is not valid is not even computed with h, so that no derivative meets an infinity."""
    if step.valid is None:
        return add(times(kind, step.a, h), step.b)
    still = where(step.valid, zeros(h), h)
    return add(where(step.valid, times(kind, step.a, where(step.valid, h, zeros(h))), still), step.b)


def _all_stepped(kind: str, previous: Any, steps: Steps) -> Any:
    """A_t h_{t-1} + b_t for all t at once."""
    return jax.vmap(partial(_stepped, kind), (0, axes(kind, steps)))(previous, steps)


def _linear(kind: str, reverse: bool, way: Way, steps: Steps) -> Any:
    """The states from 0, linear in b: the solution of (I - M) h = b, (M h)_t = A_t h_{t-1}.

    Alone in this form because the transpose of `custom_linear_solve` takes no right-hand side some leaves of which
    are constant; for the same reason a pair travels as one array.
    """
    paired = kind == "pair"

    def packed(hs):
        return jnp.stack(hs, 1) if paired else hs

    def unpacked(hs):
        return tuple(part[:, 0] for part in jax.lax.split(hs, (1, 1), 1)) if paired else hs

    zero = jax.tree.map(lambda leaf: jnp.zeros_like(leaf[0]), steps.b)

    def matvec(hs):
        hs = unpacked(hs)
        quiet = steps._replace(b=zeros(hs))
        return packed(
            jax.tree.map(
                jnp.subtract,
                hs,
                jax.vmap(partial(_stepped, kind), (0, axes(kind, steps)))(
                    before(zero, zero, hs, steps.starts, reverse), quiet
                ),
            )
        )

    def solve(_, b):
        return packed(way(forward(kind, zero), steps._replace(b=unpacked(b)), zero, reverse)[1])

    def transpose_solve(_, c):
        return packed(way(backward(kind), steps._replace(b=unpacked(c)), zero, not reverse)[1])

    return unpacked(jax.lax.custom_linear_solve(matvec, packed(steps.b), solve, transpose_solve))


def before(first: Any, fresh: Any, hs: Any, starts: Array | None, reverse: bool) -> Any:
    """The state before each step."""

    def shifted(first, hs):
        return jnp.concatenate([hs[1:], first[None]] if reverse else [first[None], hs[:-1]])

    hs = jax.tree.map(shifted, first, hs)
    return hs if starts is None else jax.vmap(where, (0, None, 0))(starts, fresh, hs)


# ----------------------------------------------------------------------------------------------------- trees


def where(condition: Array, yes: Any, no: Any) -> Any:
    """Select, never multiply: an infinity or NaN on the side not taken leaves no trace."""
    return jax.tree.map(lambda a, b: jnp.where(condition, a, b), yes, no)


def add(a: Any, b: Any) -> Any:
    return jax.tree.map(jnp.add, a, b)


def zeros(like: Any) -> Any:
    return jax.tree.map(jnp.zeros_like, like)
