"""The copy problem, row by row of its table, at delays small enough to write out."""

import functools
import math

import jax
import numpy as np
import pytest

from rnnx.tasks import Copy, batch
from rnnx.types import Example

MARK, BLANK = 9, 8
QUICK = {"xla_backend_optimization_level": "0"}  # compiles in a fifth of the time


@functools.cache
def drawn(task: Copy, size: int) -> Example:
    """A batch, as NumPy arrays."""
    draw = jax.jit(lambda key: batch(task, (), key, size), compiler_options=QUICK)
    return jax.tree.map(np.asarray, draw(jax.random.key(1)))


def tokens(example) -> list[int]:
    """What the one-hot inputs say."""
    assert np.all(np.sum(example.xs, axis=-1) == 1) and np.isin(example.xs, (0, 1)).all()
    return np.argmax(example.xs, axis=-1).tolist()


@pytest.mark.parametrize(
    ("variant", "middle", "end"),
    [
        ("urnn", [BLANK, BLANK, MARK], [BLANK] * 10),
        ("tcn", [BLANK, BLANK, MARK], [MARK] * 10),
        ("exprnn", [BLANK, BLANK, BLANK], [MARK] + [BLANK] * 9),
        ("s4", [BLANK, BLANK, BLANK], [MARK] * 10),
    ],
)
def test_the_sequence_of_a_delay_of_three(variant, middle, end):
    """23 steps: symbols, delay, answers; the target is blank, then the symbols in order."""
    example = jax.tree.map(lambda a: a[0], drawn(Copy(3, variant), 4))
    symbols = tokens(example)[:10]
    assert set(symbols) <= set(range(8)) and len(set(symbols)) > 1
    assert tokens(example) == symbols + middle + end
    assert example.targets.tolist() == [BLANK] * 13 + symbols
    assert example.length is None
    weights = [0] * 13 + [1 / 10] * 10 if variant == "s4" else [1 / 23] * 23
    np.testing.assert_allclose(example.weights, weights, rtol=1e-6)


def test_the_variable_delay():
    """As urnn with the delay drawn: its marker is one step before the answers, its padding is scored nowhere."""
    task = Copy(4, "variable")
    examples = drawn(task, 4000)
    lengths = examples.length
    counts = np.bincount(lengths, minlength=25)
    assert set(lengths) == {21, 22, 23, 24} and np.max(np.abs(counts[21:] - 1000)) < 5 * math.sqrt(1000)
    for i in range(20):
        example = jax.tree.map(lambda a, i=i: a[i], examples)
        n = int(lengths[i])
        symbols = tokens(example)[:10]
        assert tokens(example)[:n] == symbols + [BLANK] * (n - 21) + [MARK] + [BLANK] * 10
        assert example.targets[:n].tolist() == [BLANK] * (n - 10) + symbols
        np.testing.assert_allclose(example.weights, [1 / n] * n + [0] * (24 - n), rtol=1e-6)


def test_symbols_are_uniform():
    """Eight kinds, each as likely, at each of ten places."""
    symbols = drawn(Copy(1), 8000).targets[:, -10:]
    for place in symbols.T:
        assert np.max(np.abs(np.bincount(place, minlength=8) - 1000)) < 5 * math.sqrt(1000)


@pytest.mark.parametrize("variant", ["urnn", "tcn", "exprnn", "s4", "variable"])
def test_chance_is_reached_by_knowing_the_time_alone(variant):
    """Blank for certain outside the answers, uniform over eight kinds inside them."""
    task = Copy(30, variant)
    examples = drawn(task, 2000)
    answers = (examples.targets != BLANK)[..., None]
    scores = np.where(answers, [0.0] * 8 + [-1e9], [-1e9] * 8 + [0.0])
    losses = jax.vmap(jax.vmap(task.loss))(scores, examples.targets)
    totals = np.sum(examples.weights * losses, axis=1)
    assert abs(totals.mean() - task.chance) < 3 * totals.std() / math.sqrt(2000) + 1e-6
    stated = {"s4": math.log(8), "variable": None}.get(variant, 10 * math.log(8) / 50)
    assert stated is None or task.chance == pytest.approx(stated)


@pytest.mark.parametrize(
    ("delay", "published"), [(100, 0.1733), (200, 0.0945), (500, 0.0400), (1000, 0.0204), (2000, 0.0103)]
)
def test_chance_is_the_published_baseline(delay, published):
    """The memoryless line of the papers' figures."""
    assert abs(Copy(delay).chance - published) < 5.1e-5
