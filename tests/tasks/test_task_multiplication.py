"""The multiplication problem, row by row of its table."""

import functools

import jax
import numpy as np
import pytest

from rnnx.tasks import Adding, Multiplication, batch

VARIANTS = ("pascanu", "hs97", "plrnn")
MANY = 20_000
QUICK = {"xla_backend_optimization_level": "0"}  # compiles in a fifth of the time


@functools.cache
def drawn(length: int, variant: str, cls=Multiplication):
    """(values, marks, target of the last step, length) of many examples, as NumPy arrays."""
    draw = jax.jit(lambda key: batch(cls(length, variant), (), key, MANY), compiler_options=QUICK)
    xs, targets, weights, lengths = jax.tree.map(np.asarray, draw(jax.random.key(0)))
    lengths = np.full(MANY, length) if lengths is None else lengths
    np.testing.assert_array_equal(np.argmax(weights, axis=1), lengths - 1)
    assert np.all(targets == targets[:, :1])
    return xs[..., 0], xs[..., 1], targets[:, -1], lengths


def product(values: np.ndarray, marks: np.ndarray) -> np.ndarray:
    """What is asked, from the inputs alone: a marked value hidden by the sentinel of the first step counts as 1."""
    return np.prod(np.where(marks == 1, values, 1), axis=1)


def uniform(steps: np.ndarray, low: int, high: int) -> None:
    """Counts within five standard deviations of equal, and none outside."""
    assert steps.min() >= low and steps.max() < high
    counts = np.bincount(steps, minlength=high)[low:high]
    mean = len(steps) / (high - low)
    assert np.max(np.abs(counts - mean)) < 5 * np.sqrt(mean)


@pytest.mark.parametrize("variant", VARIANTS)
def test_target_is_the_product_of_the_marked_values(variant):
    """Values are U[0, 1] everywhere, marked or not. The control: no sum, and no other two values."""
    values, marks, target, _ = drawn(40, variant)
    assert values.min() >= 0 and values.max() < 1
    assert abs(values.mean() - 1 / 2) < 1e-3 and abs(values.var() - 1 / 12) < 1e-3
    np.testing.assert_allclose(target, product(values, marks), atol=1e-12)
    assert np.mean(np.isclose(target, np.sum(values * (marks == 1), axis=1))) < 0.2
    assert not np.any(np.isclose(target, product(values, np.roll(marks, 1, axis=1)), atol=1e-12))


def test_marks_of_pascanu():
    """L in [T, 1.1 T), first in [0, L/10), second in [L/10, L/2)."""
    _, marks, _, lengths = drawn(50, "pascanu")
    uniform(lengths, 50, 55)
    assert np.isin(marks, (0, 1)).all() and np.all(np.sum(marks, axis=1) == 2)
    first, second = np.argmax(marks, axis=1), 54 - 1 - np.argmax(marks[:, ::-1], axis=1)
    uniform(first, 0, 5)
    for length in (50, 54):
        uniform(second[lengths == length], 5, length // 2)


def test_marks_of_plrnn():
    """One in 0-9, another before T/2; where the second comes later than step 9 they can be told apart."""
    _, marks, _, _ = drawn(60, "plrnn")
    assert np.isin(marks, (0, 1)).all() and np.all(np.sum(marks, axis=1) == 2)
    first, second = np.argmax(marks, axis=1), 59 - np.argmax(marks[:, ::-1], axis=1)
    far = second >= 10
    uniform(first[far], 0, 10)
    uniform(second[far], 10, 30)


def test_marks_of_hs97():
    """Sentinels -1 at both ends, L in [T, 1.1 T]; a mark at the first step is hidden, and the target then one value."""
    values, marks, target, lengths = drawn(40, "hs97")
    uniform(lengths, 40, 45)
    steps = np.arange(44)
    np.testing.assert_array_equal(marks == -1, (steps == 0) | (steps == lengths[:, None] - 1))
    single = np.sum(marks == 1, axis=1) == 1
    share = 1 / 10 + 9 / 10 / 18  # the first window has 10 steps, the second 19, less the one taken
    assert abs(np.mean(single) - share) < 5 * np.sqrt(share / MANY)
    np.testing.assert_array_equal(target[single], np.sum(values * (marks == 1), axis=1)[single])


@pytest.mark.parametrize("variant", VARIANTS)
def test_the_input_is_that_of_adding(variant):
    """The same key draws the same marks; the values too, but that hs97 adds numbers of [-1, 1]."""
    values, marks, *_ = drawn(40, variant)
    others, same, *_ = drawn(40, variant, Adding)
    np.testing.assert_array_equal(marks, same)
    np.testing.assert_allclose(values, (others + 1) / 2 if variant == "hs97" else others, atol=1e-12)


@pytest.mark.parametrize(("length", "variant"), [(50, "pascanu"), (100, "plrnn"), (40, "hs97"), (6, "hs97")])
def test_chance_is_what_the_best_constant_reaches(length, variant):
    """The variance of the target: 1/9 - 1/16 for two free values, more where one of them may count as 1."""
    task = Multiplication(length, variant)
    *_, target, _ = drawn(length, variant)
    errors = (target - target.mean()) ** 2
    tolerance = 4 * errors.std() / np.sqrt(MANY)
    assert abs(errors.mean() - task.chance) < tolerance
    if variant != "hs97":
        assert task.chance == pytest.approx(7 / 144)
    else:
        assert task.chance - 7 / 144 > tolerance, "the control: the free values' variance would not do"


@pytest.mark.parametrize(("variant", "tolerance"), [("pascanu", 0.2), ("hs97", 0.04), ("plrnn", 0.04)])
def test_correct_is_an_error_below_the_tolerance(variant, tolerance):
    """As the papers count; pascanu asks for a squared error below 0.04."""
    correct = Multiplication(20, variant).correct
    for sign in (-1, 1):
        assert correct(np.array([0.5 + sign * (tolerance - 1e-6)]), 0.5)
        assert not correct(np.array([0.5 + sign * (tolerance + 1e-6)]), 0.5)
