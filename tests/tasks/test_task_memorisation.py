"""Noiseless memorisation, at delays small enough to write out."""

import functools
import math

import jax
import numpy as np
import pytest

from rnnx.tasks import Memorisation, batch
from rnnx.types import Example

QUICK = {"xla_backend_optimization_level": "0"}  # compiles in a fifth of the time
MESSAGES = {"mem5": (5, 2), "mem20": (10, 5)}


@functools.cache
def drawn(task: Memorisation, size: int) -> Example:
    """A batch, as NumPy arrays."""
    draw = jax.jit(lambda key: batch(task, (), key, size), compiler_options=QUICK)
    return jax.tree.map(np.asarray, draw(jax.random.key(1)))


@pytest.mark.parametrize("variant", MESSAGES)
@pytest.mark.parametrize("delay", [1, 3])
def test_the_sequence_written_out(variant, delay):
    """Message, blanks, cue, blanks; the target repeats the message from the step of the cue on."""
    n, kinds = MESSAGES[variant]
    blank, cue = kinds, kinds + 1
    task = Memorisation(delay, variant)
    assert (task.inputs, task.outputs, task.steps) == (kinds + 2, kinds + 1, delay + 2 * n)
    xs, targets, weights, length = drawn(task, 50)
    assert np.all(np.sum(xs, axis=-1) == 1) and np.isin(xs, (0, 1)).all() and length is None
    np.testing.assert_allclose(weights, 1 / (delay + 2 * n), rtol=1e-6)
    for tokens, target in zip(np.argmax(xs, axis=-1).tolist(), targets.tolist(), strict=True):
        message = tokens[:n]
        assert set(message) <= set(range(kinds))
        assert tokens == message + [blank] * delay + [cue] + [blank] * (n - 1)
        assert target == [blank] * (n + delay) + message
    reverse = targets[:, : -n - 1 : -1]  # the control: backwards, only a palindrome is the message
    assert np.any(np.any(reverse != np.argmax(xs, axis=-1)[:, :n], axis=1))


@pytest.mark.parametrize("variant", MESSAGES)
def test_symbols_are_uniform(variant):
    """Each kind as likely at each place; of 5 bits, each of the 32 messages."""
    n, kinds = MESSAGES[variant]
    messages = drawn(Memorisation(1, variant), 8000).targets[:, -n:]
    for place in messages.T:
        assert np.max(np.abs(np.bincount(place, minlength=kinds) - 8000 / kinds)) < 5 * math.sqrt(8000 / kinds)
    if variant == "mem5":
        counts = np.bincount(messages @ 2 ** np.arange(5), minlength=32)
        assert len(counts) == 32 and np.max(np.abs(counts - 250)) < 5 * math.sqrt(250)


@pytest.mark.parametrize("variant", MESSAGES)
def test_chance_is_reached_by_knowing_the_time_alone(variant):
    """Blank for certain before the cue, uniform over the kinds from it on."""
    n, kinds = MESSAGES[variant]
    task = Memorisation(30, variant)
    examples = drawn(task, 500)
    silent = np.arange(task.steps)[:, None] < 30 + n
    scores = np.where(silent, [-1e9] * kinds + [0.0], [0.0] * kinds + [-1e9])
    losses = jax.vmap(jax.vmap(task.loss), (None, 0))(scores, examples.targets)
    np.testing.assert_allclose(np.sum(examples.weights * losses, axis=1), task.chance, rtol=1e-6)
    assert task.chance == pytest.approx(n * math.log(kinds) / (30 + 2 * n))
    assert task.chance_last == pytest.approx(float(losses[0, -1]))


@pytest.mark.parametrize("variant", MESSAGES)
@pytest.mark.parametrize("delay", [1, 100, 10_000])
def test_the_criterion_is_one_in_a_hundred_symbols_at_any_delay(variant, delay):
    """A network that is right about every blank and guesses the message is far from it."""
    n, kinds = MESSAGES[variant]
    task = Memorisation(delay, variant)
    quantity, bound, *_ = task.criterion
    assert quantity == "accuracy" and (1 - bound) * task.steps == pytest.approx(n / 100)
    assert 1 - n * (1 - 1 / kinds) / task.steps < bound < 1
