"""Gradient flow: how large the gradient of the loss is, k steps before the end.

    delta_t = dL/ds_t = (dy_t/ds_t)^T dL/dy_t + J_{t+1}^T delta_{t+1},    J_t = ds_t/ds_{t-1}

The reverse pass renormalises delta_t of each example at each step by a power of two and carries the
exponent, so that norms far outside the range of a float come out right. All are reported as log10.
"""

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
    align,
    log10_mean,
    log10_norm,
    log10_root_sum_squares,
    normalise,
    plus,
    unscaled,
)
from rnnx.scans import Sequential, scan
from rnnx.types import Example, step_loss


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
    leaves: Any  # like the state, a Curve for each leaf
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
    target: Any
    weight: Array
    real: Array  # bool: not padding
    before: Any  # s_{t-1}
    after: Any  # s_t


@partial(jax.jit, static_argnames=("cell", "loss"))
def _flow(cell: Any, params: Any, batch: Example, loss: Any, states: Any) -> Flow:
    size = batch.weights.shape[0]
    weights, through_prepare = jax.vjp(cell.prepare, params)
    initial, through_initial = jax.vjp(cell.initial_state, weights)
    if states is None:
        before = jax.tree.map(lambda leaf: jnp.broadcast_to(leaf, (size, *leaf.shape)), initial)
    else:
        before = states
    steps = _trajectory(cell, params, batch, before)

    transition = jax.vmap(lambda w, s, x: cell.step(w, s, x)[0], (None, 0, 0))
    readout = jax.vmap(cell.readout, (None, 0, 0))
    losses = jax.vmap(partial(step_loss, loss))

    def back(carry: tuple[Scaled, Scaled], t: _Step):
        rho, total = carry  # J_{t+1}^T delta_{t+1} by example, and dL/dweights summed over the batch
        y, through_readout = jax.vjp(readout, weights, t.after, t.x)
        value, dy = jax.value_and_grad(lambda y: jnp.sum(losses(y, t.target, t.weight)))(y)
        dy = jax.vmap(normalise)(jax.vmap(unscaled)(dy))
        _, ds_y, dx_y = through_readout(dy.value)
        delta = jax.vmap(plus)(rho, Scaled(ds_y, dy.exponent))

        _, through_step = jax.vjp(transition, weights, t.before, t.x)
        _, ds, dx = through_step(_masked(delta.value, t.real))
        dx = jax.vmap(plus)(Scaled(dx, delta.exponent), Scaled(dx_y, dy.exponent))
        rho = _where(t.real, jax.vmap(normalise)(Scaled(ds, delta.exponent)), rho)

        late, early = _common(dy, t.real), _common(delta, t.real)
        dw_y, dw = through_readout(late.value)[0], through_step(early.value)[0]
        total = plus(total, Scaled(dw_y, late.exponent), Scaled(dw, early.exponent))
        leaves = jax.tree.map(lambda leaf: _norms(Scaled(leaf, delta.exponent), t.real), delta.value)
        return (rho, total), (value, leaves, _norms(dx, t.real), t.real)

    nothing = jax.vmap(normalise)(jax.vmap(unscaled)(jax.tree.map(jnp.zeros_like, before)))
    empty = normalise(unscaled(jax.tree.map(jnp.zeros_like, weights)))
    (rho, total), seen = jax.lax.scan(back, (nothing, empty), steps, reverse=True)
    if states is None:  # a learned initial state has a gradient too
        start = _common(rho, jnp.ones(size, bool))
        (dw,) = through_initial(jax.tree.map(lambda leaf: jnp.sum(leaf, axis=0), start.value))
        total = plus(total, Scaled(dw, start.exponent))
    (gradient,) = through_prepare(total.value)
    values, leaves, inputs, real = jax.tree.map(lambda a: jnp.flip(a, axis=0), seen)  # from time to lag
    parts = jax.tree.leaves(leaves, is_leaf=lambda node: isinstance(node, _Norms))
    whole = jax.tree.map(lambda *norms: log10_root_sum_squares(jnp.stack(norms)), *parts)
    state, leaves, inputs = jax.tree.map(
        lambda norms: Curve(jax.vmap(log10_mean)(norms.each, real), norms.of_mean),
        (whole, leaves, inputs),
        is_leaf=lambda node: isinstance(node, _Norms),
    )
    rescale = LOG10_2 * total.exponent.astype(values.dtype) - jnp.log10(jnp.asarray(size, values.dtype))
    blocks = jax.tree.map(lambda leaf: log10_norm(leaf).astype(values.dtype) + rescale, gradient)
    params_total = log10_root_sum_squares(jnp.stack(jax.tree.leaves(blocks)))
    return Flow(jnp.sum(values) / size, state, leaves, inputs, blocks, params_total)


def _trajectory(cell: Any, params: Any, batch: Example, before: Any) -> _Step:
    """The forward pass, by time [T, B, ...], every example moved so that its last valid step is the last."""
    steps = batch.weights.shape[1]

    def run(example: Example, state: Any) -> _Step:
        xs, targets, weights, length = example
        _, after = scan(cell, params, xs, state, length=length, keep=_states, method=Sequential())
        first = jax.tree.map(lambda a, b: jnp.concatenate([a[None], b])[:-1], state, after)
        real = jnp.ones(steps, bool) if length is None else jnp.arange(steps) < length
        step = _Step(_masked(xs, real), targets, jnp.where(real, weights, 0), real, first, after)
        return step if length is None else jax.tree.map(lambda a: jnp.roll(a, steps - length, axis=0), step)

    return jax.tree.map(lambda a: jnp.swapaxes(a, 0, 1), jax.vmap(run)(batch, before))


def _states(state: Any, y: Array) -> Any:
    del y
    return state


def _common(numbers: Scaled, real: Array) -> Scaled:
    """A batch of numbers, each with its exponent, as one with the exponent of the largest; 0 where not real."""
    exponents = jnp.where(real, numbers.exponent, ZERO)
    top = jnp.max(exponents)
    return Scaled(_masked(jax.vmap(align, (0, None))(numbers, top), real), top)


class _Norms(NamedTuple):
    """log10 norms of a batch of gradients at one lag."""

    each: Array  # [B]
    of_mean: Array  # []


def _norms(numbers: Scaled, real: Array) -> _Norms:
    each = jax.vmap(log10_norm)(numbers.value, numbers.exponent)
    common = _common(numbers, real)
    total = log10_norm(jax.tree.map(lambda leaf: jnp.sum(leaf, axis=0), common.value), common.exponent)
    return _Norms(each, total - jnp.log10(jnp.sum(real).astype(each.dtype)))


def _masked(tree: Any, real: Array) -> Any:
    return _where(real, tree, jax.tree.map(jnp.zeros_like, tree))


def _where(real: Array, yes: Any, no: Any) -> Any:
    """Select by the leading axis."""

    def select(a: Array, b: Array) -> Array:
        return jnp.where(real.reshape(real.shape + (1,) * (a.ndim - 1)), a, b)

    return jax.tree.map(select, yes, no)
