"""Gradient flow: how large the gradient of the loss is, k steps before the end.

    delta_t = dL/ds_t = (dy_t/ds_t)^T dL/dy_t + J_{t+1}^T delta_{t+1},    J_t = ds_t/ds_{t-1}

The reverse pass renormalises delta_t of each example at each step by a power of two and carries the
exponent, so that norms far outside the range of a float come out right. All are reported as log10.
"""

import functools
from collections.abc import Callable
from functools import partial
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
from jax import Array

from rnnx.diagnostics.scaled import (
    LOG10_2,
    ZERO,
    Scaled,
    add,
    align,
    largest,
    log10_mean,
    log10_root_sum_squares,
    magnitude,
    magnitudes,
    unscaled,
)
from rnnx.scans import Sequential, scan
from rnnx.types import Example, step_loss

LIFT = 40  # squares are taken of entries times 2**LIFT


class Curve(NamedTuple):
    """log10 of a gradient's norm by lag: entry k lies k steps before the end of each example.

    -inf is an exact zero; NaN a lag that no example reaches (or a NaN of the network's own).
    """

    mean: Array  # [T], mean over examples of the norm: what one sequence sees
    of_mean: Array  # [T], norm of the mean over examples: what a step of gradient descent sees


class Flow(NamedTuple):
    """The gradient flow of one network on one batch."""

    loss: Array  # [], mean over examples
    state: Curve  # dL/ds_t, all leaves of the state together
    leaves: Any  # like the state, a Curve for each leaf, where it is within 1e-30 of the whole
    inputs: Curve  # dL/dx_t
    params: Any  # like the parameters: log10 norm of the batch's mean gradient, block by block
    params_total: Array  # [], the same of all parameters together


def flow(
    cell: Any,
    params: Any,
    batch: Example,
    loss: Callable[[Array, Any], Array],
    states: Any = None,
) -> Flow:
    """The gradient flow of `cell` on a batch; leaves of `batch`, and of `states` if given, lead with B.

    The loss L of an example is sum_t weights[t] loss(y_t, targets[t]). Lag 0 is the state after an example's
    own last valid step, lag T-1 the state after its first. Always runs through Sequential, whatever trains.

    Source: Bengio, Simard & Frasconi 1994, IEEE Trans. Neural Networks 5, for delta and its decay; Arjovsky,
    Shah & Bengio 2016, arXiv:1511.06464, fig. 4, for its mean norm by t. Cost: about five forward passes and
    O(B T) states.
    """
    if not hasattr(cell, "readout"):
        raise TypeError(f"flow: {cell} gives no readout(weights, state, x); add it, y as a function of the new state")
    if not all(jnp.issubdtype(leaf.dtype, jnp.floating) for leaf in jax.tree.leaves(batch.xs)):
        raise TypeError("flow: xs holds whole numbers, which have no gradient; give them one-hot or embedded")
    return _flow(cell, params, batch, loss, states)


class _Step(NamedTuple):
    """What one step of the reverse pass reads; leaves lead with T outside the loop, with B inside."""

    x: Any
    before: Any  # s_{t-1}
    direct: Scaled  # (dy_t/ds_t)^T dL/dy_t, normalised, of the leaves that the readout reads
    direct_x: Scaled  # the same through x_t
    real: Array | None  # bool: not padding; None if there is none


class _Squares(NamedTuple):
    """Sums of squares of a batch of gradients at one lag, leaf by leaf."""

    each: Any  # [B], times 4**exponent
    exponent: Array  # [B]
    of_sum: Any  # [], times 4**top
    top: Array  # []


@partial(jax.jit, static_argnames=("cell", "loss"))
def _flow(cell: Any, params: Any, batch: Example, loss: Any, states: Any) -> Flow:
    size = batch.weights.shape[0]
    weights, through_prepare = jax.vjp(cell.prepare, params)
    initial, through_initial = jax.vjp(cell.initial_state, weights)
    if states is None:
        start = jax.tree.map(lambda leaf: jnp.broadcast_to(leaf, (size, *leaf.shape)), initial)
    else:
        start = states
    xs, targets, scores, real, before, after = _trajectory(cell, params, batch, start)

    # The loss of every step and its gradient through the readout: nothing here depends on time.
    def losses(weights: Any, after: Any, xs: Any) -> Array:
        ys = jax.vmap(jax.vmap(cell.readout, (None, 0, 0)), (None, 0, 0))(weights, after, xs)
        return jnp.sum(jax.vmap(jax.vmap(partial(step_loss, loss)))(ys, targets, scores))

    value, (by_readout, direct, direct_x) = jax.value_and_grad(losses, (0, 1, 2))(weights, after, xs)
    reads, reads_s, reads_x = _reads(cell.readout, weights, *jax.tree.map(lambda a: a[0, 0], (after, xs)))
    steps = _Step(xs, before, _normalised(direct, reads_s), _normalised(direct_x, reads_x), real)
    transition = jax.vmap(lambda w, s, x: cell.step(w, s, x)[0], (None, 0, 0))

    def back(carry: tuple[Scaled, Scaled], t: _Step):
        rho, by_step = carry  # J_{t+1}^T delta_{t+1} by example, and dL/dweights through the steps so far
        delta = jax.vmap(partial(_plus, reads_s))(rho, t.direct)
        delta = delta._replace(value=_masked(delta.value, t.real))
        _, through_step = jax.vjp(transition, weights, t.before, t.x)
        _, ds, dx = through_step(delta.value)
        inputs = jax.vmap(partial(_plus, reads_x))(Scaled(dx, delta.exponent), t.direct_x)
        common = _common(delta, t.real)
        # The cotangents take the exponent of the sum so far, so that no gradient needs to be scaled after it.
        top = jnp.maximum(by_step.exponent, common.exponent)
        dw = through_step(align(common, top))[0]
        by_step = Scaled(jax.tree.map(jnp.add, align(by_step, top), dw), top)
        rho = _where(t.real, Scaled(ds, delta.exponent), rho)
        return (rho, by_step), (_squares(delta, common), _squares(inputs, _common(inputs, t.real)))

    nothing = jax.vmap(unscaled)(jax.tree.map(jnp.zeros_like, start))
    empty = add(unscaled(jax.tree.map(jnp.zeros_like, weights)))
    (rho, by_step), (state, inputs) = jax.lax.scan(back, (nothing, empty), steps, reverse=True)

    # What each block of the weights receives: through the steps, the readouts, and the initial state.
    gradients = [(by_step, [True] * len(reads)), (unscaled(by_readout), reads)]
    (read_first,) = _reads(cell.initial_state, weights)
    if states is None and any(read_first):
        common = _common(jax.vmap(add)(rho), None)
        (dw,) = through_initial(jax.tree.map(lambda leaf: jnp.sum(leaf, axis=0), common.value))
        gradients.append((Scaled(dw, common.exponent), read_first))
    blocks = _block_norms(gradients, through_prepare, _same_leaves(cell.prepare(params), params))
    blocks = blocks - jnp.log10(jnp.asarray(size, blocks.dtype))
    return Flow(
        loss=value / size,
        state=_curve(_sum(state), real),
        leaves=jax.tree.map(lambda each, of_sum: _curve(state._replace(each=each, of_sum=of_sum), real), *state[::2]),
        inputs=_curve(_sum(inputs), real),
        params=jax.tree.unflatten(jax.tree.structure(params), list(blocks)),
        params_total=log10_root_sum_squares(blocks),
    )


def _trajectory(cell: Any, params: Any, batch: Example, start: Any) -> tuple[Any, Any, Array, Array | None, Any, Any]:
    """(xs, targets, weights, real, states before, states after) by time [T, B, ...], every example moved so that its
    last valid step is the last of all."""
    steps = batch.weights.shape[1]

    def run(example: Example, state: Any) -> tuple[Any, Any, Array, Array | None, Any, Any]:
        xs, targets, _, length = example
        _, after = scan(cell, params, xs, state, length=length, keep=_states, method=Sequential())
        before = jax.tree.map(lambda a, b: jnp.concatenate([a[None], b])[:-1], state, after)
        if length is None:
            return xs, targets, example.weights, None, before, after
        real = jnp.arange(steps, dtype=length.dtype) < length
        seen = _masked(xs, real), targets, example.scored(), real, before, after
        return jax.tree.map(lambda a: jnp.roll(a, steps - length, axis=0), seen)

    return jax.tree.map(lambda a: jnp.swapaxes(a, 0, 1), jax.vmap(run)(batch, start))


def _states(state: Any, y: Array) -> Any:
    del y
    return state


def _normalised(tree: Any, reads: list[bool]) -> Scaled:
    """The leaves [T, B, ...] that `reads` chooses, normalised for each step of each example."""
    chosen = [leaf for leaf, use in zip(jax.tree.leaves(tree), reads, strict=True) if use]
    if not chosen:
        return Scaled([], jnp.full(jax.tree.leaves(tree)[0].shape[:2], ZERO, jnp.int32))
    return jax.vmap(jax.vmap(lambda leaves: add(unscaled(leaves))))(chosen)


def _plus(reads: list[bool], number: Scaled, direct: Scaled) -> Scaled:
    """number + direct, which has the leaves that `reads` chooses; what is always zero is not added."""
    if not direct.value:
        return add(number)
    top = jnp.maximum(magnitude(number), direct.exponent)
    leaves, tree = jax.tree.flatten(align(number, top))
    extra = iter(align(direct, top))
    return Scaled(
        jax.tree.unflatten(tree, [a + next(extra) if use else a for a, use in zip(leaves, reads, strict=True)]), top
    )


def _common(numbers: Scaled, real: Array | None) -> Scaled:
    """A batch of numbers, each with its exponent, as one with the exponent of the largest; 0 where not real."""
    top = jnp.max(numbers.exponent if real is None else jnp.where(real, numbers.exponent, ZERO))
    return Scaled(_masked(jax.vmap(align, (0, None))(numbers, top), real), top)


def _squares(numbers: Scaled, common: Scaled) -> _Squares:
    return _Squares(
        each=jax.tree.map(jax.vmap(_lifted), numbers.value),
        exponent=numbers.exponent,
        of_sum=jax.tree.map(lambda leaf: _lifted(jnp.sum(leaf, axis=0)), common.value),
        top=common.exponent,
    )


def _lifted(leaf: Array) -> Array:
    """The sum of squares times 4**LIFT: entries are at most about 1, and from 1e-30 on their squares are numbers."""
    return jnp.sum(jnp.square(leaf * jnp.asarray(2.0**LIFT, leaf.dtype)))


def _log10_norm(squares: Array, exponent: Array) -> Array:
    return jnp.log10(squares) / 2 + (exponent - LIFT).astype(squares.dtype) * LOG10_2


def _sum(squares: _Squares) -> _Squares:
    """Those of all leaves together."""
    each, of_sum = (sum(jax.tree.leaves(tree)) for tree in (squares.each, squares.of_sum))
    return squares._replace(each=each, of_sum=of_sum)


def _curve(squares: _Squares, real: Array | None) -> Curve:
    """The curve by lag, from squares by time."""
    each, exponent, of_sum, top = squares

    real = jnp.ones_like(each, bool) if real is None else real
    mean = jax.vmap(log10_mean)(_log10_norm(each, exponent), real)
    of_mean = _log10_norm(of_sum, top) - jnp.log10(jnp.sum(real, axis=1).astype(each.dtype))
    return Curve(jnp.flip(mean), jnp.flip(of_mean))


def _block_norms(gradients: list[tuple[Scaled, list[bool]]], through_prepare: Any, unprepared: bool) -> Array:
    """log10 norms [blocks] of the parameters' gradient, each block summed at an exponent of its own."""
    terms = []
    for (tree, exponent), read in gradients:
        leaves = jax.tree.leaves(tree if unprepared else through_prepare(tree)[0])
        chosen = read if unprepared else [True] * len(leaves)
        terms.append([Scaled(leaf, exponent) if use else None for leaf, use in zip(leaves, chosen, strict=True)])
    columns = [[term for term in column if term is not None] for column in zip(*terms, strict=True)]
    every = [term for column in columns for term in column]
    sizes = jnp.stack([largest(term.value) for term in every])
    tops = iter(magnitudes(sizes, jnp.stack([term.exponent for term in every])))
    squares, exponents = [], []
    for column in columns:  # small things of all blocks are stacked: XLA compiles one vector faster than many numbers
        top = functools.reduce(jnp.maximum, [next(tops) for _ in column])
        squares.append(_lifted(functools.reduce(jnp.add, [align(term, top) for term in column])))
        exponents.append(top)
    return _log10_norm(jnp.stack(squares), jnp.stack(exponents))


def _same_leaves(a: Any, b: Any) -> bool:
    """Whether `prepare` handed the parameters on as they are."""
    a, b = jax.tree.leaves(a), jax.tree.leaves(b)
    return len(a) == len(b) and all(x is y for x, y in zip(a, b, strict=True))


def _reads(function: Any, *args: Any) -> list[list[bool]]:
    """For each argument, which of its leaves `function` reads at all: what it does not has no gradient."""
    jaxpr = jax.make_jaxpr(function)(*args).jaxpr
    used = {id(v) for equation in jaxpr.eqns for v in equation.invars} | {id(v) for v in jaxpr.outvars}
    flags = iter([id(v) in used for v in jaxpr.invars])
    return [[next(flags) for _ in jax.tree.leaves(arg)] for arg in args]


def _masked(tree: Any, real: Array | None) -> Any:
    return tree if real is None else _where(real, tree, jax.tree.map(jnp.zeros_like, tree))


def _where(real: Array | None, yes: Any, no: Any) -> Any:
    """Select by the leading axis; all of `yes` if there is no padding."""

    def select(a: Array, b: Array) -> Array:
        return a if real is None else jnp.where(real.reshape(real.shape + (1,) * (a.ndim - 1)), a, b)

    return jax.tree.map(select, yes, no)
