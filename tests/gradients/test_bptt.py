"""Backpropagation through time against a loop in plain Python, finite differences, and what must not matter."""

from functools import partial

import jax
import jax.numpy as jnp
import numpy as np
import options
import pytest
from jax.test_util import check_grads

import rnnx
from rnnx.cells import CELLS, LSTM, Readout
from rnnx.gradients import BPTT, ESTIMATORS
from rnnx.types import Example

B, T, D, N, O = 3, 4, 2, 3, 2  # noqa: E741
NET = Readout(LSTM(D, N), O)


def loss(y, target):
    return jnp.sum((y - target) ** 2)


estimate = jax.jit(partial(BPTT(), NET, loss))


@pytest.fixture(scope="module")
def params():
    return jax.jit(NET.init)(jax.random.key(0))


@pytest.fixture(scope="module")
def batch():
    draws = np.random.default_rng(0)
    length = np.array([4, 2, 3])
    scored = (np.arange(T) < length[:, None]) & (draws.random((B, T)) < 0.7)
    xs, targets = draws.normal(size=(B, T, D)), draws.normal(size=(B, T, O))
    return Example(xs, targets, draws.random((B, T)) * scored, length)


def close(got, want):
    jax.tree.map(lambda a, b: np.testing.assert_allclose(a, b, rtol=1e-12, atol=1e-13), got, want)


def one(batch, b):
    """A batch of one example."""
    return jax.tree.map(lambda leaf: leaf[b : b + 1], batch)


def test_it_is_the_gradient_of_a_loop(params, batch):
    def by_hand(params, batch):
        total, weights = 0.0, NET.prepare(params)
        for b in range(B):
            state = NET.initial_state(weights)
            for t in range(batch.length[b]):
                state, y = NET.step(weights, state, batch.xs[b, t])
                total += batch.weights[b, t] * loss(y, batch.targets[b, t])
        return total / B

    want = jax.jit(jax.value_and_grad(lambda p: by_hand(p, batch)))(params)
    close(estimate(params, batch)[:2], want)


def test_padding_and_unscored_targets_reach_nothing(params, batch):
    """Held to the last bit, so that no product with zero hides there."""
    padded = np.arange(T) >= batch.length[:, None]
    unscored = batch.weights == 0
    assert padded.any() and (unscored & ~padded).any()
    dirty = batch._replace(
        xs=np.where(padded[..., None], np.nan, batch.xs),
        targets=np.where(unscored[..., None], np.nan, batch.targets),
    )
    for got, want in zip(*(jax.tree.leaves(estimate(params, b)) for b in (dirty, batch)), strict=True):
        assert np.isfinite(got).all()
        np.testing.assert_array_equal(got, want)


def test_a_nan_that_counts_is_not_hidden(params, batch):
    """Control: the same NaN in a step that is scored."""
    targets = np.where((batch.weights > 0)[..., None], np.nan, batch.targets)
    assert np.isnan(estimate(params, batch._replace(targets=targets)).loss)


def test_the_gradient_of_a_batch_is_the_mean(params, batch):
    single = [estimate(params, one(batch, b)) for b in range(B)]
    mean = jax.tree.map(lambda *leaves: np.mean(leaves, axis=0), *single)
    got = estimate(params, batch)
    close((got.loss, got.gradients), (mean.loss, mean.gradients))
    close(got.states, jax.tree.map(lambda *leaves: np.concatenate(leaves), *(s.states for s in single)))


def test_states_are_carried(params, batch):
    """Two halves, the second from the states of the first, put out what the whole does."""
    half = np.full(B, T // 2)
    early = np.arange(T) < half[:, None]
    whole = batch._replace(weights=np.ones((B, T)), length=np.full(B, T))
    first = estimate(params, whole._replace(weights=1.0 * early, length=half))
    later = jax.tree.map(lambda leaf: np.roll(leaf, T // 2, axis=1), (whole.xs, whole.targets))
    second = estimate(params, Example(*later, 1.0 * early, half), first.states)
    told = estimate(params, whole)
    close(first.loss + second.loss, told.loss)
    close(second.states, told.states)
    summed = jax.tree.map(np.add, first.gradients, second.gradients)
    close(summed.w, told.gradients.w)
    assert np.abs(summed.cell.w_h - told.gradients.cell.w_h).max() > 1e-6  # what the cut leaves out


def test_lengths_reach_the_states(params, batch):
    _, _, states = estimate(params, batch)
    for b in range(B):
        final, _ = rnnx.scan(NET, params, batch.xs[b], length=batch.length[b])
        close(jax.tree.map(lambda leaf, b=b: leaf[b], states), final)


@pytest.mark.parametrize("name", options.one_of_each_room())
def test_finite_differences(name):
    """First and second derivatives, forward and reverse, of everything that goes in."""
    cell = CELLS[name](2, 2)
    params = cell.init(jax.random.key(1))
    xs = np.random.default_rng(1).normal(size=(3, 2))
    state = jax.tree.map(lambda leaf: leaf + 0.3, cell.initial_state(cell.prepare(params)))
    run = jax.jit(lambda params, xs, state: rnnx.scan(cell, params, xs, state))
    check_grads(run, (params, xs, state), order=2, modes=("fwd", "rev"), atol=1e-5, rtol=1e-5)


def test_the_catalogue():
    assert ESTIMATORS["bptt"]() == BPTT() and hash(BPTT()) == hash(BPTT())
