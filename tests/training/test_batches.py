"""Which examples a batch holds: as a function of (seed, step), against plain counting."""

import jax
import numpy as np
import pytest
from plain_tasks import LENGTHS, Numbered, Tape

from rnnx.tasks import Adding, batch
from rnnx.training import Epochs, Fresh, Streams
from rnnx.training.batches import cut

SKEWED = np.where(np.arange(103) < 100, 3, 12)  # the longest are fewer than what fills no batch


def epoch(plan, seed, n):
    return np.stack([plan.draw(seed, step) for step in range(n * plan.per_epoch, (n + 1) * plan.per_epoch)])


# ------------------------------------------------------------------------------------------------- fresh


def test_fresh_examples_are_those_of_the_key():
    """fold_in(key(seed), step), compiled or not; another step or seed draws others."""
    task = Adding(6)
    plan = Fresh(task, 4)
    fetch = jax.jit(plan.fetch)
    for seed, step in ((0, 0), (3, 7), (2**32 - 1, 5)):
        want = batch(task, (), jax.random.fold_in(jax.random.key(seed), step), 4)
        jax.tree.map(np.testing.assert_array_equal, fetch((), plan.draw(seed, step)), want)
    drawn = {fetch((), plan.draw(seed, step)).xs.tobytes() for seed in range(3) for step in range(3)}
    assert len(drawn) == 9 and plan.begins(1) and plan.width(4) == 6 and plan.per_epoch == 0


# ------------------------------------------------------------------------------------------------ epochs


@pytest.mark.parametrize("buckets", [1, 4])
@pytest.mark.parametrize("lengths", [LENGTHS, SKEWED], ids=["spread", "skewed"])
def test_an_epoch(lengths, buckets):
    """Every example at most once, as many as fill batches, in an order of its own for every epoch and seed."""
    plan = Epochs(Numbered(), lengths, 10, buckets)
    assert plan.per_epoch == 10
    orders = [epoch(plan, seed, n) for seed in range(4) for n in range(4)]
    for order in orders:
        assert order.shape == (10, 10) and len(np.unique(order)) == 100 and order.dtype == np.int32
        assert order.min() >= 0 and order.max() < 103
    assert len({order.tobytes() for order in orders}) == 16
    again = Epochs(Numbered(), lengths, 10, buckets)  # a pure function: of nothing that was drawn before
    np.testing.assert_array_equal(again.draw(2, 37), plan.draw(2, 37))


@pytest.mark.parametrize("buckets", [1, 4])
def test_no_example_waits_for_ever(buckets):
    """Three of a hundred and three are left out of an epoch, each as often: the longest ones, too."""
    plan, epochs = Epochs(Numbered(), SKEWED, 10, buckets), 400
    missed = epochs - np.bincount(np.concatenate([epoch(plan, 0, n).ravel() for n in range(epochs)]), minlength=103)
    want = epochs * 3 / 103
    assert np.all(np.abs(missed - want) < 5 * np.sqrt(want)), missed
    assert abs(missed[100:].mean() - want) < 4 * np.sqrt(want / 3)


@pytest.mark.parametrize("lengths", [LENGTHS, SKEWED], ids=["spread", "skewed"])
@pytest.mark.parametrize("buckets", [1, 2, 4])
def test_widths(lengths, buckets):
    """Never below a batch's longest, whatever the seed, and the same for all seeds; with buckets, less is padded."""
    plan, spent = Epochs(Numbered(), lengths, 10, buckets), 0
    for n in range(5):
        widths = [plan.width(step) for step in range(n * 10, n * 10 + 10)]
        spent += sum(widths)
        for seed in range(6):
            assert np.all(lengths[epoch(plan, seed, n)].max(axis=1) <= widths)
    assert spent == 5 * 120 if buckets == 1 else spent < 5 * 120 - 60
    assert max(plan.width(step) for step in range(10)) == 12


def test_buckets_are_mixed():
    """Short and long batches come in another order every epoch, which is not that of their length."""
    plan = Epochs(Numbered(), LENGTHS, 10, 4)
    orders = [[plan.width(n * 10 + i) for i in range(10)] for n in range(6)]
    assert len(set(map(tuple, orders))) > 3 and all(sorted(order) == sorted(orders[0]) for order in orders)
    assert any(order != sorted(order) for order in orders)


def test_what_is_fetched_and_cut():
    plan = Epochs(Numbered(), LENGTHS, 10, 4)
    drawn, width = plan.draw(1, 3), plan.width(3)
    whole = jax.jit(plan.fetch)(LENGTHS, drawn)
    np.testing.assert_array_equal(whole.xs[:, :, 0], np.repeat(drawn[:, None], 12, axis=1))
    np.testing.assert_array_equal(whole.length, LENGTHS[drawn])
    short = cut(whole, width)
    assert short.xs.shape == (10, width, 1) and short.weights.shape == short.targets.shape == (10, width)
    assert short.length is whole.length and cut(whole, 12) is whole and plan.begins(3)


def test_too_few_examples_are_told():
    with pytest.raises(ValueError, match="batches of 104 examples from data that has 103; write at most 103"):
        Epochs(Numbered(), LENGTHS, 104)


# ----------------------------------------------------------------------------------------------- streams


@pytest.mark.parametrize("size, total", [(1, 31), (3, 50), (4, 83), (2, 21)])
@pytest.mark.parametrize("shifted", [True, False])
def test_readers_go_on(size, total, shifted):
    """Consecutive batches continue each other, no reader reads what another reads, nothing beyond the end."""
    task, tape = Tape(), np.arange(total)
    plan = Streams(task, tape, size, shifted)
    fetch = jax.jit(plan.fetch)
    for seed in range(3):
        for n in range(3):
            steps = range(n * plan.per_epoch, (n + 1) * plan.per_epoch)
            batches = [fetch(tape, plan.draw(seed, step)) for step in steps]
            read = np.concatenate([b.xs for b in batches], axis=1)
            assert read.shape == (size, plan.per_epoch * 5) and np.all(np.diff(read, axis=1) == 1)
            assert len(np.unique(read)) == read.size and read.max() < total - 1
            for b in batches:
                np.testing.assert_array_equal(b.targets, b.xs + 1)
            assert [plan.begins(step) for step in steps] == [True] + [False] * (plan.per_epoch - 1)
    assert (total - 1) // size - plan.per_epoch * 5 < 5 and plan.width(0) == 5
    starts = {plan.draw(seed, n * plan.per_epoch).tobytes() for seed in range(4) for n in range(4)}
    assert (len(starts) > 1) == (shifted and (total - 1) // size % 5 > 0)


def test_too_many_readers_are_told():
    with pytest.raises(ValueError, match="7 readers of windows of 5 in data of 30 steps; write a .* of at most 6"):
        Streams(Tape(), np.arange(31), 7)
    assert Streams(Tape(), np.arange(31), 6).per_epoch == 1
