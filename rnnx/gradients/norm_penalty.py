"""Pascanu's regulariser: the gradient is to keep its size on its way back."""

from collections.abc import Callable
from functools import partial
from typing import Any

import jax
import jax.numpy as jnp
from jax import Array

from rnnx.scans import scan
from rnnx.types import Example, step_loss

SMALLEST = 1e-20  # of |delta|^2; below it a step says nothing


def norm_penalty(
    cell: Any,
    params: Any,
    batch: Example,
    loss: Callable[[Array, Any], Array],
    states: Any = None,
    *,
    squared: bool = True,
    axis: str | None = None,
) -> Array:
    """How far the gradient is from keeping its norm over one step, [].

        Omega = mean over sequences and steps of (q_t - 1)^2,    q_t = |J_t^T delta_t|^2 / |delta_t|^2
        delta_t = dL/ds_t,    J_t = ds_t/ds_{t-1};    without `squared`  q_t = |J_t^T delta_t| / |delta_t|

    Its derivative is the immediate one: states and delta_t are held constant, only J_t depends on the parameters.
    Steps with |delta_t|^2 below 1e-20, padding and the first step are left out. All leaves of the state count together.
    `states`, leaves [B, ...], are where sequences start from, if not afresh.

    Inside `jax.shard_map`, `axis` is a mesh axis among whose devices a batch is divided: the mean of the results over
    devices is then Omega of the whole batch, however unequally the counted steps lie.

    Source: Pascanu, Mikolov & Bengio 2013 (arXiv:1211.5063), eq. 9 (norms) and eq. 10 (their squares, as in the
    authors' code). Cost: about four forward passes beside the gradient; memory O(B T) states.
    """
    weights = cell.prepare(params)
    held = jax.lax.stop_gradient(weights)
    run = jax.vmap(partial(_backward, cell, params, held, loss))
    xs, before, delta, real = jax.lax.stop_gradient(run(batch, states))

    def ratio(x: Any, s: Any, d: Any) -> Array:
        _, pull = jax.vjp(lambda s: cell.step(weights, s, x)[0], s)
        below, above = _square(pull(d)[0]), _square(d)
        return below / jnp.maximum(above, jnp.full_like(above, SMALLEST))

    q = jax.vmap(jax.vmap(ratio))(xs, before, delta)
    counted = real & ~(jax.vmap(jax.vmap(_square))(delta) < SMALLEST)  # so that a NaN counts, and shows
    if not squared:  # the root has no derivative at 0
        zero = q == 0
        q = jnp.where(zero, q, jnp.sqrt(jnp.where(zero, jnp.ones_like(q), q)))
    terms = jnp.where(counted, jnp.square(q - 1), jnp.zeros_like(q))
    if axis is None:
        return jnp.sum(terms) / jnp.maximum(jnp.sum(counted), 1).astype(q.dtype)
    everywhere = jnp.maximum(jax.lax.psum(jnp.sum(counted), axis), 1).astype(q.dtype)
    return jnp.sum(terms) * jax.lax.axis_size(axis) / everywhere


def _backward(cell: Any, params: Any, weights: Any, loss: Any, example: Example, state: Any) -> Any:
    """(xs, state before each step, delta_t, whether t has a step before it), leaves [T, ...], of one sequence."""
    initial = cell.initial_state(weights) if state is None else state
    _, after = scan(cell, params, example.xs, initial, length=example.length, keep=_state)
    before = jax.tree.map(lambda first, rest: jnp.concatenate([first[None], rest[:-1]]), initial, after)
    time = jnp.arange(example.weights.shape[0])
    length = len(time) if example.length is None else example.length.astype(time.dtype)
    valid = time < length
    xs = jax.tree.map(lambda a: jnp.where(_along(valid, a), a, jnp.zeros_like(a)), example.xs)

    def visit(later: Any, step: Any) -> tuple[Any, Any]:
        """delta_t, from J_{t+1}^T delta_{t+1}."""
        x, s, target, weight, real = step

        def scored(s: Any) -> Array:
            return step_loss(loss, cell.readout(weights, s, x), target, weight)

        new, pull = jax.vjp(lambda s: cell.step(weights, s, x)[0], s)
        delta = jax.tree.map(jnp.add, later, jax.grad(scored)(new))
        delta = jax.tree.map(lambda a: jnp.where(real, a, jnp.zeros_like(a)), delta)
        return pull(delta)[0], delta

    steps = xs, before, example.targets, example.scored(), valid
    none = jax.tree.map(jnp.zeros_like, initial)
    _, delta = jax.lax.scan(visit, none, steps, reverse=True)
    return xs, before, delta, valid & (time > 0)


def _state(state: Any, y: Array) -> Any:
    del y
    return state


def _along(valid: Array, a: Array) -> Array:
    return valid.reshape(-1, *[1] * (a.ndim - 1))


def _square(tree: Any) -> Array:
    """The square of the norm of a pytree."""
    squares = [jnp.sum(jnp.square(leaf)) for leaf in jax.tree.leaves(tree)]
    return sum(squares[1:], squares[0])
