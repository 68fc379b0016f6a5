"""Delayed exclusive or, against a plain recount."""

import functools
import math

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from rnnx.tasks import DelayedXor, batch

MANY = 4000
QUICK = {"xla_backend_optimization_level": "0"}  # compiles in a fifth of the time


@functools.cache
def drawn(task: DelayedXor):
    """(bits, targets, weights) of many examples, as NumPy arrays."""
    draw = jax.jit(lambda key: batch(task, (), key, MANY), compiler_options=QUICK)
    xs, targets, weights, lengths = jax.tree.map(np.asarray, draw(jax.random.key(0)))
    assert xs.shape == (MANY, task.length, 1) and np.isin(xs, (0, 1)).all() and lengths is None
    return xs[..., 0].astype(int), targets, weights


@pytest.mark.parametrize(("length", "delay"), [(3, 1), (9, 4), (12, 3), (20, 1)])
def test_steps_compares_two_moments_of_the_past(length, delay):
    """From step 2d on, each with the same weight. The control: another delay gives other answers."""
    bits, targets, weights = drawn(DelayedXor(length, delay=delay))
    first = 2 * delay
    np.testing.assert_allclose(weights, np.tile(np.arange(length) >= first, (MANY, 1)) / (length - first), rtol=1e-6)
    for line, target in zip(bits[:200].tolist(), targets[:200].tolist(), strict=True):
        assert target[first:] == [int(line[t - delay] != line[t - 2 * delay]) for t in range(first, length)]
    for near, far in ((0, delay), (0, 2 * delay), (delay - 1, 2 * delay), (delay, 2 * delay - 1)):
        agree = np.mean((bits[:, length - 1 - near] != bits[:, length - 1 - far]) == targets[:, -1])
        assert abs(agree - 1 / 2) < 5 / (2 * math.sqrt(MANY)) or near == far


def test_end_asks_the_last_of_these():
    """The same bits, the same last answer, at every step the same target."""
    bits, targets, weights = drawn(DelayedXor(12, "end", 3))
    others, answers, _ = drawn(DelayedXor(12, "steps", 3))
    np.testing.assert_array_equal(bits, others)
    np.testing.assert_array_equal(targets, np.tile(answers[:, -1:], (1, 12)))
    np.testing.assert_array_equal(weights, np.tile(np.arange(12) == 11, (MANY, 1)))


def test_bits_and_answers_are_fair():
    """Each as likely, at each step: chance is ln 2, whatever the present bit is."""
    task = DelayedXor(12, delay=3)
    bits, targets, _ = drawn(task)
    five = 5 / (2 * math.sqrt(MANY))
    assert np.max(np.abs(np.mean(bits, axis=0) - 1 / 2)) < five
    assert np.max(np.abs(np.mean(targets[:, 6:], axis=0) - 1 / 2)) < five
    assert np.max(np.abs(np.mean(targets[:, 6:] == bits[:, 6:], axis=0) - 1 / 2)) < five
    assert abs(task.loss(jnp.zeros(2), 1) - task.chance) < 1e-12 and task.chance == math.log(2)


@pytest.mark.parametrize(("length", "delay", "lag"), [(3, 0, 1), (9, 0, 1), (10, 0, 2), (100, 0, 20), (100, 49, 49)])
def test_the_default_delay_is_a_fifth(length, delay, lag):
    """At least one step, and always short enough."""
    assert DelayedXor(length, delay=delay).lag == lag and 2 * lag < length
    assert DelayedXor(length).answers == "steps" and DelayedXor(length, "end").answers == "end"
