"""Parity, at the end and along the way."""

import functools
import math

import jax
import numpy as np
import pytest

from rnnx.tasks import Parity, batch

VARIANTS = ("end", "steps", "variable")
MANY = 10_000
QUICK = {"xla_backend_optimization_level": "0"}  # compiles in a fifth of the time


@functools.cache
def drawn(length: int, variant: str):
    """(bits, targets, weights, lengths) of many examples, as NumPy arrays."""
    draw = jax.jit(lambda key: batch(Parity(length, variant), (), key, MANY), compiler_options=QUICK)
    xs, targets, weights, lengths = jax.tree.map(np.asarray, draw(jax.random.key(0)))
    assert np.all(np.sum(xs, axis=-1) == 1) and np.isin(xs, (0, 1)).all()
    return xs[..., 1].astype(int), targets, weights, np.full(MANY, length) if lengths is None else lengths


def odd(bits) -> int:
    """By counting."""
    return list(bits).count(1) % 2


def test_bits_are_fair():
    """At each step, each as likely, and independent of the one before."""
    bits = drawn(12, "end")[0]
    five = 5 / (2 * math.sqrt(MANY))
    assert np.max(np.abs(np.mean(bits, axis=0) - 1 / 2)) < five
    assert np.max(np.abs(np.mean(bits[:, 1:] == bits[:, :-1], axis=0) - 1 / 2)) < five


def test_end_asks_for_the_parity_of_all():
    """At the last step alone. The control: all but any one bit give it in half of the examples."""
    bits, targets, weights, _ = drawn(9, "end")
    assert targets[:, -1].tolist() == [odd(line) for line in bits] and np.all(targets == targets[:, :1])
    np.testing.assert_array_equal(weights, np.tile(np.arange(9) == 8, (MANY, 1)))
    for t in range(9):
        assert abs(np.mean(odd_without(bits, t) == targets[:, -1]) - 1 / 2) < 5 / (2 * math.sqrt(MANY))


def odd_without(bits: np.ndarray, t: int) -> np.ndarray:
    return np.array([odd(line) for line in np.delete(bits, t, axis=1)])


def test_steps_asks_for_the_parity_so_far():
    """The present bit counts; each step weighs the same."""
    bits, targets, weights, _ = drawn(9, "steps")
    for line, target in zip(bits[:300], targets[:300], strict=True):
        assert target.tolist() == [odd(line[: t + 1]) for t in range(9)]
        assert target.tolist() != [odd(line[:t]) for t in range(9)] or not any(line)
    np.testing.assert_allclose(weights, 1 / 9, rtol=1e-6)


def test_variable_asks_at_the_end_of_each_length():
    """1 to T, each as likely; what comes after does not count."""
    bits, targets, weights, lengths = drawn(9, "variable")
    counts = np.bincount(lengths, minlength=10)
    assert counts[0] == 0 and len(counts) == 10 and np.max(np.abs(counts[1:] - MANY / 9)) < 5 * math.sqrt(MANY / 9)
    assert targets[:, -1].tolist() == [odd(line[:n]) for line, n in zip(bits, lengths, strict=True)]
    assert targets[:, -1].tolist() != [odd(line) for line in bits]
    assert np.all(targets == targets[:, :1])
    np.testing.assert_array_equal(weights, np.arange(9) == lengths[:, None] - 1)


def entropy(answers: np.ndarray) -> float:
    """In nats, by frequencies."""
    p = np.bincount(answers, minlength=2) / max(1, len(answers))
    return -sum(q * math.log(q) for q in p if q)


@pytest.mark.parametrize("variant", VARIANTS)
@pytest.mark.parametrize("length", [2, 9])
def test_chance_is_reached_by_the_time_and_the_present_bit(variant, length):
    """The entropy of the answer given both, as counted; of the last answer alone too."""
    task = Parity(length, variant)
    bits, targets, weights, _ = drawn(length, variant)
    loss = np.zeros(length)
    for t in range(length):
        for bit in (0, 1):
            asked = (weights[:, t] > 0) & (bits[:, t] == bit)
            loss[t] += np.sum(weights[asked, t]) / MANY * entropy(targets[asked, t])
    assert abs(np.sum(loss) - task.chance) < 0.02
    if variant != "variable":
        assert abs(loss[-1] / weights[0, -1] - task.chance_last) < 0.02
    assert task.answers == ("steps" if variant == "steps" else "end")


def test_chance_is_beaten_by_what_remembers():
    """The control: of two bits, both known, nothing is left to guess."""
    bits, targets, *_ = drawn(2, "end")
    for pair in ((0, 0), (0, 1), (1, 0), (1, 1)):
        assert entropy(targets[np.all(bits == pair, axis=1), 1]) == 0
