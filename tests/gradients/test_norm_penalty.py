"""Pascanu's regulariser by a loop in NumPy, its immediate derivative by finite differences with all else held."""

from functools import partial

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax.flatten_util import ravel_pytree

import rnnx
from rnnx.cells import LSTM, Elman, Readout, elman
from rnnx.cells.wrappers import readout
from rnnx.gradients import norm_penalty
from rnnx.types import Example

B, T, D, N, O = 3, 5, 2, 3, 2  # noqa: E741
SQUARED = pytest.mark.parametrize("squared", [True, False], ids=["squares", "norms"])


def loss(y, target):
    return jnp.sum(jnp.square(y - target))


# ---------------------------------------------------------------------------------- one linear unit, on paper


@SQUARED
@pytest.mark.parametrize("w", [0.5, -1.3, 1.0])
def test_one_linear_unit(w, squared):
    """|J| = |w| at every step: (w^2 - 1)^2 with derivative 4 w (w^2 - 1), or (|w| - 1)^2 with 2 (|w| - 1) sign w."""
    cell = Elman(1, 1, "identity")
    params = elman.Params(jnp.ones((1, 1, 1)), jnp.full((1, 1, 1), w), jnp.zeros((1, 1)))
    draws = np.random.default_rng(0)
    batch = Example(draws.normal(size=(B, T, 1)), draws.normal(size=(B, T, 1)), np.ones((B, T)))
    value, gradient = jax.value_and_grad(lambda p: norm_penalty(cell, p, batch, loss, squared=squared))(params)
    want = ((w**2 - 1) ** 2, 4 * w * (w**2 - 1)) if squared else ((abs(w) - 1) ** 2, 2 * (abs(w) - 1) * np.sign(w))
    np.testing.assert_allclose((value, gradient.w_h[0, 0, 0]), want, rtol=1e-12, atol=1e-14)
    assert not np.any(gradient.w_x) and not np.any(gradient.b)


# ----------------------------------------------------------------------------------------- a NumPy loop


def draw(seed=0):
    """(parameters of an Elman cell with a readout, a batch with lengths, some steps not scored)."""
    draws = np.random.default_rng(seed)
    params = readout.Params(
        elman.Params(draws.normal(size=(D, 1, N)), draws.normal(size=(N, 1, N)), draws.normal(size=(1, N))),
        draws.normal(size=(N, O)),
        draws.normal(size=O),
    )
    weights = draws.random((B, T)) * (draws.random((B, T)) < 0.7)
    length = np.array([T, 2, 4])
    return params, Example(draws.normal(size=(B, T, D)), draws.normal(size=(B, T, O)), weights, length)


def trajectory(params, batch):
    """[(x_t, h_{t-1}, delta_t)] of all steps that have one before them, differentiated on paper."""
    (w_x, w_h, b), w, c = params
    steps = []
    for i in range(B):
        hs = [np.zeros(N)]
        for t in range(batch.length[i]):
            hs.append(np.tanh(batch.xs[i, t] @ w_x[:, 0] + hs[-1] @ w_h[:, 0] + b[0]))
        delta = np.zeros(N)
        for t in reversed(range(batch.length[i])):
            y = hs[t + 1] @ w + c
            delta = delta + w @ (2 * batch.weights[i, t] * (y - batch.targets[i, t]))
            if t and delta @ delta >= 1e-20:
                steps.append((batch.xs[i, t], hs[t], delta))
            delta = w_h[:, 0] @ (delta * (1 - hs[t + 1] ** 2))
    return steps


def omega(params, steps, squared):
    """From given states and deltas; the parameters come in through the Jacobian alone."""
    (w_x, w_h, b), _, _ = params
    terms = []
    for x, h, delta in steps:
        new = np.tanh(x @ w_x[:, 0] + h @ w_h[:, 0] + b[0])
        back = w_h[:, 0] @ (delta * (1 - new**2))
        q = (back @ back) / (delta @ delta)
        terms.append(((q if squared else np.sqrt(q)) - 1) ** 2)
    return np.mean(terms)


def slopes(function, params, size=1e-6):
    """Central differences, number by number."""
    leaves, tree = jax.tree.flatten(params)
    told = [np.zeros_like(leaf) for leaf in leaves]
    for leaf, slope in zip(leaves, told, strict=True):
        for at in np.ndindex(leaf.shape):
            kept, ends = leaf[at], []
            for step in (size, -size):
                leaf[at] = kept + step
                ends.append(function(tree.unflatten(leaves)))
            leaf[at] = kept
            slope[at] = (ends[0] - ends[1]) / (2 * size)
    return tree.unflatten(told)


@partial(jax.jit, static_argnames="squared")
def penalty(params, batch, squared):
    cell = Readout(Elman(D, N), O)
    return jax.value_and_grad(lambda p: norm_penalty(cell, p, batch, loss, squared=squared))(params)


@SQUARED
def test_an_elman_network_by_hand(squared):
    """The value and its immediate derivative; the total one, states and deltas moving too, is another."""
    params, batch = draw()
    steps = trajectory(params, batch)
    value, gradient = penalty(params, batch, squared)
    np.testing.assert_allclose(value, omega(params, steps, squared), rtol=1e-10)
    immediate = slopes(lambda p: omega(p, steps, squared), params)
    total = slopes(lambda p: omega(p, trajectory(p, batch), squared), params)
    jax.tree.map(lambda a, b: np.testing.assert_allclose(a, b, rtol=1e-6, atol=1e-7), gradient, immediate)
    for a, b in zip(gradient.cell, total.cell, strict=True):
        assert np.abs(a - b).max() > 1e-2
    assert not np.any(gradient.w) and np.any(total.w)
    other = penalty(params, batch, not squared)[0]
    assert abs(other - value) > 1e-2


@SQUARED
def test_padding_reaches_nothing(squared):
    """NaN there, in inputs and targets: the same bit for bit; not without the lengths, nor where a NaN counts."""
    params, batch = draw(1)
    padded = np.arange(T)[None, :, None] >= batch.length[:, None, None]
    dirty = batch._replace(
        xs=np.where(padded, np.nan, batch.xs), targets=np.where(padded | (batch.weights == 0)[..., None], np.nan, 0.5)
    )
    clean = batch._replace(targets=np.full_like(batch.targets, 0.5))
    got, want = penalty(params, dirty, squared), penalty(params, clean, squared)
    jax.tree.map(np.testing.assert_array_equal, got, want)
    assert abs(penalty(params, clean._replace(length=np.full(B, T)), squared)[0] - want[0]) > 1e-3
    seen = dirty._replace(xs=np.where(np.arange(T)[:, None] == 1, np.nan, dirty.xs))
    assert np.isnan(penalty(params, seen, squared)[0])


@SQUARED
def test_steps_without_a_gradient_are_left_out(squared):
    """After the last scored step delta is 0: a batch with two more such steps has the same mean, not a smaller one."""
    params, batch = draw(2)
    full = batch._replace(length=np.full(B, T), weights=np.ones((B, T)))
    last = full.weights * (np.arange(T) < T - 2)
    got = penalty(params, full._replace(weights=last), squared)
    want = penalty(params, full._replace(length=np.full(B, T - 2)), squared)
    jax.tree.map(lambda a, b: np.testing.assert_allclose(a, b, rtol=1e-12), got, want)
    assert got[0] > 1e-3
    none = penalty(params, full._replace(weights=np.zeros((B, T))), squared)
    assert all(np.all(leaf == 0) for leaf in jax.tree.leaves(none))


def test_a_gradient_too_small_to_mean_anything_is_left_out():
    """|delta|^2 just below 1e-20 says nothing, just above it all; the ratio itself knows no scale."""
    params, batch = draw(3)
    one = jax.tree.map(lambda a: a[:1], batch)._replace(weights=np.eye(T)[-1:], length=np.array([T]))
    sizes = [np.linalg.norm(delta) for _, _, delta in trajectory(params, _three(one))]
    assert penalty(params, one, True)[0] > 0
    for target, counted in ((0.99e-10, False), (1.01e-10, True)):
        scaled = one._replace(weights=one.weights * target / max(sizes))
        value = float(penalty(params, scaled, True)[0])
        assert (value > 0) == counted, target


def _three(one):
    return jax.tree.map(lambda a: np.repeat(a, B, axis=0), one)


def test_states_are_carried():
    """The second part of a sequence says, after its first step, what its steps say in the whole; not from zeros."""
    cell = Readout(LSTM(D, N), O)
    params, (_, batch) = cell.init(jax.random.key(0)), draw(5)
    whole = batch._replace(length=None, weights=np.ones((B, T)))
    late = jax.tree.map(lambda a: a[:, 2:], whole)
    states = jax.vmap(lambda xs: rnnx.scan(cell, params, xs)[0])(whole.xs[:, :2])
    part = jax.jit(lambda states: norm_penalty(cell, params, late, loss, states))
    ratios = [lag_term(cell, params, whole, t) for t in range(1, T)]
    np.testing.assert_allclose(norm_penalty(cell, params, whole, loss), np.mean(ratios), rtol=1e-10)
    np.testing.assert_allclose(part(states), np.mean(ratios[2:]), rtol=1e-10)
    fresh = part(jax.tree.map(jnp.zeros_like, states))
    assert abs(fresh - part(states)) > 1e-4


def lag_term(cell, params, batch, t):
    """The mean over the batch of (q_t - 1)^2 of the squares, by jax's Jacobian of one step."""
    weights = cell.prepare(params)

    def one(xs, targets, scores):
        before = rnnx.scan(cell, params, xs[:t])[0]
        flat, unflatten = ravel_pytree(before)

        def move(s):
            return ravel_pytree(cell.step(weights, unflatten(s), xs[t])[0])[0]

        def ahead(s):
            state = unflatten(s)
            rest = rnnx.scan(cell, params, xs[t + 1 :], state)[1]
            ys = jnp.concatenate([cell.readout(weights, state, xs[t])[None], rest])
            return jnp.sum(scores[t:] * jax.vmap(loss)(ys, targets[t:]))

        delta = jax.grad(ahead)(move(flat))
        back = delta @ jax.jacobian(move)(flat)
        return jnp.square(back @ back / (delta @ delta) - 1)

    return jnp.mean(jax.vmap(one)(batch.xs, batch.targets, batch.weights))


def test_a_saturated_unit_has_a_gradient():
    """J = 0: the norm has no derivative there, and none is asked for."""
    cell = Elman(1, 1)
    params = elman.Params(jnp.zeros((1, 1, 1)), jnp.zeros((1, 1, 1)), jnp.zeros((1, 1)))
    batch = Example(np.ones((1, T, 1)), np.ones((1, T, 1)), np.ones((1, T)))
    value, gradient = jax.value_and_grad(lambda p: norm_penalty(cell, p, batch, loss, squared=False))(params)
    assert value == 1 and all(np.isfinite(leaf).all() for leaf in jax.tree.leaves(gradient))


def test_all_leaves_of_a_state_count_together():
    """An LSTM against the full Jacobian of its flat state, by jax; h alone gives another number."""
    cell = Readout(LSTM(D, N), O)
    params, (_, batch) = cell.init(jax.random.key(0)), draw(4)
    batch = jax.tree.map(lambda a: a[:1], batch)._replace(length=None, weights=np.ones((1, T)))
    weights = cell.prepare(params)
    flat, unflatten = ravel_pytree(cell.initial_state(weights))

    def move(s, x):
        return ravel_pytree(cell.step(weights, unflatten(s), x)[0])[0]

    def ahead(s, t):
        """The loss of the steps from t on, from the state after t."""
        total = loss(cell.readout(weights, unflatten(s), batch.xs[0, t]), batch.targets[0, t])
        return total if t == T - 1 else total + ahead(move(s, batch.xs[0, t + 1]), t + 1)

    states = [flat]
    for x in batch.xs[0]:
        states.append(move(states[-1], x))
    whole, part = [], []
    for t in range(1, T):
        delta = np.asarray(jax.grad(ahead)(states[t + 1], t))
        back = delta @ np.asarray(jax.jacobian(move)(states[t], batch.xs[0, t]))
        whole.append((back @ back / (delta @ delta) - 1) ** 2)
        part.append((back[:N] @ back[:N] / (delta[:N] @ delta[:N]) - 1) ** 2)
    value, gradient = jax.value_and_grad(lambda p: norm_penalty(cell, p, batch, loss))(params)
    np.testing.assert_allclose(value, np.mean(whole), rtol=1e-10)
    assert abs(value - np.mean(part)) > 1e-2 and np.any(gradient.cell.w_h) and not np.any(gradient.w)
