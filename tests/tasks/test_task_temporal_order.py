"""The temporal order problem, row by row of its table."""

import functools
import math

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from rnnx.tasks import TemporalOrder, batch
from rnnx.tasks.temporal_order import VARIANTS

MANY = 20_000
QUICK = {"xla_backend_optimization_level": "0"}  # compiles in a fifth of the time


@functools.cache
def drawn(length: int, variant: str):
    """(lines of text, places of X and Y in each, target, length) of many examples."""
    task = TemporalOrder(length, variant)
    draw = jax.jit(lambda key: batch(task, (), key, MANY), compiler_options=QUICK)
    xs, targets, weights, lengths = jax.tree.map(np.asarray, draw(jax.random.key(0)))
    assert np.all(np.sum(xs, axis=-1) == 1) and np.isin(xs, (0, 1)).all() and np.all(targets == targets[:, :1])
    lengths = np.full(MANY, length) if lengths is None else lengths
    np.testing.assert_array_equal(np.argmax(weights, axis=1), lengths - 1)
    letters = np.array(task.alphabet)[np.argmax(xs, axis=-1)]
    lines = ["".join(line[:n]) for line, n in zip(letters, lengths, strict=True)]
    places = np.array([[t for t, letter in enumerate(line) if letter in "XY"] for line in lines])
    return lines, places, targets[:, -1], lengths


def order(line: str) -> int:
    """The class by its table: XX 0, YX 1, XY 2, YY 3; with a third symbol Y four more."""
    marked = "".join(letter for letter in line if letter in "XY")
    return ["XX", "YX", "XY", "YY"].index(marked[:2]) + 4 * (marked[2:] == "Y")


def uniform(draws: np.ndarray, low: int, high: int) -> None:
    """Counts within five standard deviations of equal, and none outside."""
    assert draws.min() >= low and draws.max() < high
    counts = np.bincount(draws, minlength=high)[low:high]
    mean = len(draws) / (high - low)
    assert np.max(np.abs(counts - mean)) < 5 * np.sqrt(mean)


@pytest.mark.parametrize("variant", VARIANTS)
def test_target_is_the_order_of_the_marked_symbols(variant):
    """All classes alike. The control: neither the reverse order nor the number of Ys gives the class."""
    lines, _, targets, _ = drawn(50, variant)
    classes = 8 if "three" in variant else 4
    assert TemporalOrder(50, variant).outputs == classes
    uniform(targets, 0, classes)
    assert targets.tolist() == [order(line) for line in lines]
    assert abs(np.mean([order(line[::-1]) == target for line, target in zip(lines, targets, strict=True)]) - 0.5) < 0.05
    assert len({line.count("Y") for line in lines}) < classes


@pytest.mark.parametrize(
    ("variant", "length", "windows"),
    [
        ("pascanu", 100, [(10, 20), (50, 60)]),
        ("pascanu", 57, [(5, 10), (28, 33)]),
        ("pascanu_three", 100, [(10, 20), (30, 40), (60, 70)]),
        ("hs97", 100, [(10, 21), (50, 61)]),
        ("hs97_three", 100, [(10, 21), (33, 44), (66, 77)]),
        ("hs97", 10, [(1, 3), (5, 7)]),
    ],
)
def test_windows_are_the_published_ones(variant, length, windows):
    """Each step of each window alike, and none outside; Hochreiter & Schmidhuber's include their upper ends."""
    _, places, _, lengths = drawn(length, variant)
    assert places.shape == (MANY, len(windows))
    for place, window in zip(places.T, windows, strict=True):
        uniform(place, *window)
    uniform(lengths, length, length * 11 // 10 + 1 if "hs97" in variant else length + 1)
    with pytest.raises(AssertionError):  # the control: half a window elsewhere is seen
        uniform(places[:, 0] + np.arange(MANY) % 2, *windows[0])


@pytest.mark.parametrize("variant", VARIANTS)
def test_the_other_symbols_say_nothing(variant):
    """Four kinds, each as likely; in hs97 between an E and a B, which stand nowhere else."""
    lines, *_ = drawn(50, variant)
    sentinels = "hs97" in variant
    assert TemporalOrder(50, variant).alphabet == tuple("XYabcdEB" if sentinels else "XYabcd")
    inner = [line[1:-1] for line in lines] if sentinels else lines
    assert not sentinels or all(line[0] == "E" and line[-1] == "B" for line in lines)
    rest = "".join(inner).replace("X", "").replace("Y", "")
    counts = np.array([rest.count(letter) for letter in "abcd"])
    assert np.sum(counts) == len(rest)
    assert np.max(np.abs(counts - len(rest) / 4)) < 5 * math.sqrt(len(rest) / 4)


@pytest.mark.parametrize("variant", VARIANTS)
def test_windows_are_apart_at_every_length(variant):
    """From the shortest length on, each window ends before the next begins, and the last before the last step."""
    for length in range(VARIANTS[variant].shortest, 400):
        windows = TemporalOrder(length, variant).windows()
        sentinels = "hs97" in variant
        steps = [t for start, width in windows for t in range(start, start + width)]
        assert steps == sorted(set(steps)) and steps[0] >= sentinels and steps[-1] < length - sentinels
    assert len(TemporalOrder(VARIANTS[variant].shortest, variant).windows()) == (3 if "three" in variant else 2)


@pytest.mark.parametrize("variant", VARIANTS)
def test_chance_is_reached_by_knowing_the_last_symbol_alone(variant):
    """ln of the number of classes: by frequencies of the class given the last symbol."""
    task = TemporalOrder(50, variant)
    lines, _, targets, _ = drawn(50, variant)
    last = np.array([line[-1] for line in lines])
    loss = 0.0
    for letter in set(last):
        counts = np.bincount(targets[last == letter], minlength=task.outputs)
        loss += jnp.sum(counts * np.array([task.loss(jnp.log(counts), c) for c in range(task.outputs)])) / MANY
    assert abs(loss - task.chance) < 5e-3 and task.chance == math.log(task.outputs)


def test_correct_of_hs97_asks_for_errors_below_three_tenths():
    """Of every class's probability; pascanu takes the likeliest."""
    for first in (0.69, 0.71):
        y = jnp.log(jnp.array([first, 0.1, 0.1, 0.8 - first]))
        assert TemporalOrder(20, "hs97").correct(y, jnp.array(0)) == (first > 0.7)
        assert TemporalOrder(20).correct(y, jnp.array(0))
        assert not TemporalOrder(20).correct(y, jnp.array(3))
