"""The adding problem, row by row of its table."""

import functools

import jax
import numpy as np
import pytest

from rnnx.tasks import Adding, batch

VARIANTS = ("urnn", "tcn", "hs97", "pascanu", "plrnn")
MANY = 20_000
QUICK = {"xla_backend_optimization_level": "0"}  # compiles in a fifth of the time


@functools.cache
def drawn(length: int, variant: str):
    """(task, values, marks, target of the last step, length) of many examples, as NumPy arrays."""
    task = Adding(length, variant)
    draw = jax.jit(lambda key: batch(task, (), key, MANY), compiler_options=QUICK)
    xs, targets, weights, lengths = jax.tree.map(np.asarray, draw(jax.random.key(0)))
    lengths = np.full(MANY, length) if lengths is None else lengths
    np.testing.assert_array_equal(np.argmax(weights, axis=1), lengths - 1)
    return task, xs[..., 0], xs[..., 1], targets[:, -1], lengths


def two_marks(marks: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """The earlier and the later marked step of each example."""
    steps = np.arange(marks.shape[1])
    assert np.all(np.sum(marks == 1, axis=1) == 2) and np.isin(marks, (0, 1)).all()
    return np.min(np.where(marks == 1, steps, 10**6), axis=1), np.max(np.where(marks == 1, steps, -1), axis=1)


@pytest.mark.parametrize(("variant", "scale"), [("urnn", 1), ("tcn", 1), ("plrnn", 1), ("pascanu", 0.5)])
def test_target_is_the_scaled_sum_of_the_marked_values(variant, scale):
    """Values are U[0, 1] everywhere, marked or not."""
    _, values, marks, target, _ = drawn(40, variant)
    np.testing.assert_allclose(target, scale * np.sum(values * marks, axis=1), atol=1e-12)
    assert values.min() >= 0 and values.max() < 1
    assert abs(values.mean() - 1 / 2) < 1e-3 and abs(values.var() - 1 / 12) < 1e-3


@pytest.mark.parametrize(("length", "first", "second"), [(40, (0, 20), (20, 40)), (41, (0, 20), (20, 41))])
def test_urnn_marks_one_step_of_each_half(length, first, second):
    """Every step of each window is drawn, and none outside it."""
    early, late = two_marks(drawn(length, "urnn")[2])
    assert set(early) == set(range(*first)) and set(late) == set(range(*second))
    uniform(early, *first)
    uniform(late, *second)


def uniform(steps: np.ndarray, low: int, high: int) -> None:
    """Counts within five standard deviations of equal."""
    counts = np.bincount(steps, minlength=high)[low:high]
    mean = len(steps) / (high - low)
    assert np.max(np.abs(counts - mean)) < 5 * np.sqrt(mean)


def test_tcn_marks_any_two_steps():
    """Two different steps, uniform over pairs: each step is marked with probability 2/T."""
    early, late = two_marks(drawn(10, "tcn")[2])
    assert np.all(early < late)
    pairs = np.bincount(early * 10 + late, minlength=100)[[10 * i + j for i in range(10) for j in range(i + 1, 10)]]
    assert np.max(np.abs(pairs - MANY / 45)) < 5 * np.sqrt(MANY / 45)


def test_plrnn_marks_the_beginning_and_the_first_half():
    """One mark in 0-9, another in [0, T/2); never in the second half."""
    early, late = two_marks(drawn(60, "plrnn")[2])
    assert early.max() <= 9 and set(late) == set(range(1, 30))
    far = late >= 10  # then the early one is the first mark, uniform over 0-9
    uniform(early[far], 0, 10)
    uniform(late[far], 10, 30)


def test_pascanu_marks_by_the_drawn_length():
    """L in [T, 1.1 T), first in [0, L/10), second in [L/10, L/2)."""
    task, _, marks, _, lengths = drawn(50, "pascanu")
    assert task.steps == 54 and set(lengths) == {50, 51, 52, 53, 54}
    uniform(lengths, 50, 55)
    early, late = two_marks(marks)
    assert np.all(early < lengths // 10) and np.all(late >= lengths // 10) and np.all(late < lengths // 2)
    uniform(early, 0, 5)
    assert late.min() == 5 and np.max(late[lengths == 50]) == 24 and np.max(late[lengths == 54]) == 26


def test_hs97_row_of_the_table():
    """Values U[-1, 1], sentinels -1 at both ends, target (2 + a + b)/4, L in [T, 1.1 T]; the first step counts 0."""
    task, values, marks, target, lengths = drawn(40, "hs97")
    assert task.steps == 44 and set(lengths) == {40, 41, 42, 43, 44}
    uniform(lengths, 40, 45)
    assert values.min() < -0.999 and values.max() > 0.999 and abs(values.mean()) < 2e-3
    steps = np.arange(44)
    ends = (steps == 0) | (steps == lengths[:, None] - 1)
    np.testing.assert_array_equal(marks == -1, ends)
    assert np.isin(marks, (-1, 0, 1)).all()
    # A mark drawn at the first step is overwritten by its sentinel: then one mark is left.
    count = np.sum(marks == 1, axis=1)
    assert np.isin(count, (1, 2)).all()
    np.testing.assert_allclose(target, 0.5 + np.sum(values * (marks == 1), axis=1) / 4, atol=1e-12)
    share = 1 / 10 + 9 / 10 / 18  # the first window has 10 steps, the second 19, less the one taken
    assert abs(np.mean(count == 1) - share) < 5 * np.sqrt(share / MANY)
    early, late = two_marks(np.abs(marks[count == 2]) * (marks[count == 2] > 0))
    assert early.min() == 1 and early.max() <= 9 and late.max() == 40 // 2 - 2


def test_short_lengths_draw_one_length_only():
    """Where 1.1 T is below T + 1 there is nothing to draw, and nothing is padded."""
    assert Adding(9, "hs97").steps == 9 and Adding(10, "hs97").steps == 11
    assert Adding(10, "pascanu").steps == 10 and Adding(11, "pascanu").steps == 12
    assert Adding(10, "pascanu").sample((), jax.random.key(0)).length is None


@pytest.mark.parametrize("variant", VARIANTS)
def test_chance_is_what_the_best_constant_reaches(variant):
    """The target is independent of what is seen last, but for the rare mark there: the mean is all one can say."""
    task, *_, target, _ = drawn(100, variant)
    errors = (target - target.mean()) ** 2
    assert abs(errors.mean() - task.chance) < 3 * errors.std() / np.sqrt(MANY)
    stated = {"hs97": 1 / 24, "pascanu": 1 / 24}.get(variant, 1 / 6)
    assert abs(task.chance / stated - 1) < 0.1


@pytest.mark.parametrize(("variant", "tolerance"), [("urnn", 0.04), ("tcn", 0.04), ("hs97", 0.04), ("pascanu", 0.2)])
def test_correct_is_an_error_below_the_tolerance(variant, tolerance):
    """As the papers count; pascanu asks for a squared error below 0.04."""
    correct = Adding(20, variant).correct
    for sign in (-1, 1):
        assert correct(np.array([0.5 + sign * (tolerance - 1e-6)]), 0.5)
        assert not correct(np.array([0.5 + sign * (tolerance + 1e-6)]), 0.5)
