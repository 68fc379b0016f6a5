"""Forecasts of a series."""

import jax.numpy as jnp
import numpy as np
import pytest
from small_files import series as written
from small_files import told, waves

from rnnx.tasks import Series, solved
from rnnx.tasks.readers import BadFile

ROWS = np.random.default_rng(5).normal(size=(60, 3)).cumsum(axis=0) * [1, 10, 0.1] + [0, 50, 3]
BORDERS = {"train": (0, 42), "valid": (42, 48), "test": (48, 60)}


@pytest.fixture
def file(tmp_path) -> str:
    return written(tmp_path, ROWS)


def windows(task: Series, split: str):
    """(xs, targets [T, D], weights) of every example."""
    data = task.load(split)
    for i in range(task.count(data)):
        xs, targets, weights, length = task.example(data, jnp.asarray(i))
        assert length is None
        yield np.asarray(xs), np.reshape(targets, (task.steps, task.outputs)), np.asarray(weights)


def scored(task: Series, split: str) -> np.ndarray:
    """The rows, by number, that are forecast and scored: [count, scored]."""
    rows = []
    for xs, targets, weights in windows(task, split):
        np.testing.assert_array_equal(xs[1:], targets[:-1])
        first = np.flatnonzero((xs[0] == ROWS).all(axis=1))
        np.testing.assert_array_equal(targets, ROWS[first[0] + 1 : first[0] + 1 + task.steps])
        assert weights.sum() == pytest.approx(1) and len(set(weights[weights > 0])) == 1
        rows.append(first[0] + 1 + np.flatnonzero(weights))
    return np.array(rows)


@pytest.mark.parametrize("split", BORDERS)
def test_one_step(split, file):
    """All steps are scored; every row of the split is forecast, and no other, but the very first of all."""
    task = Series(5, file=file)
    assert task.steps == 5 and task.continuous
    low, high = BORDERS[split]
    first = max(low, 1)  # before the first row there is nothing to forecast it from
    np.testing.assert_array_equal(
        scored(task, split), np.lib.stride_tricks.sliding_window_view(np.arange(first, high), 5)
    )


@pytest.mark.parametrize("split", BORDERS)
def test_multi_step(split, file):
    """The `horizon` rows after `length` of context, at the last steps; step length - 1 forecasts the first of them."""
    task = Series(7, "multi_step", file, horizon=4)
    assert task.steps == 10 and not task.continuous
    low, high = BORDERS[split]
    first = max(low, 7)
    np.testing.assert_array_equal(
        scored(task, split), np.lib.stride_tricks.sliding_window_view(np.arange(first, high), 4)
    )
    for _, _, weights in windows(task, split):
        np.testing.assert_allclose(weights, [0] * 6 + [1 / 4] * 4)


def test_one_step_ahead_is_both(file):
    """A horizon of 1 is one_step scored at its last step alone."""
    near, far = Series(6, file=file), Series(6, "multi_step", file)
    one, other = near.example(near.load(), jnp.asarray(3)), far.example(far.load(), jnp.asarray(3))
    np.testing.assert_array_equal(one.xs, other.xs)
    np.testing.assert_array_equal(one.targets, other.targets)
    assert other.weights.tolist() == [0, 0, 0, 0, 0, 1]


def test_the_loss_is_in_training_variances(file):
    """Mean over columns; the scale is that of the training rows, whatever the split."""
    task, train = Series(5, file=file), ROWS[:42]
    mean, std = task.statistics()
    np.testing.assert_allclose(mean, train.mean(axis=0), rtol=1e-12)
    np.testing.assert_allclose(std, train.std(axis=0), rtol=1e-12)
    assert all(type(value) is float for value in mean + std)
    y, target = np.array([1.0, 60, 3]), np.array([2.0, 50, 3.5])
    expected = np.mean((y - target) ** 2 / train.var(axis=0))
    assert float(task.loss(jnp.asarray(y), jnp.asarray(target))) == pytest.approx(expected, rel=1e-12)
    for factor, right in ((0.999, True), (1.001, False)):
        assert bool(task.correct(jnp.asarray(target + factor * np.array(std)), jnp.asarray(target))) is right
    one = Series(5, file=file, columns="b")
    assert float(one.loss(jnp.array([60.0]), jnp.asarray(50.0))) == pytest.approx(100 / train.var(axis=0)[1])
    assert one.example(one.load(), jnp.asarray(0)).targets.shape == (5,)


def judged(task: Series, split: str, forecast) -> float:
    """The mean loss over all windows of `forecast(rows before the scored ones) -> their forecast [scored, D]`."""
    losses = []
    var = ROWS[:42].var(axis=0)
    for rows in scored(task, split):
        told = forecast(rows)
        errors = [np.mean((f - ROWS[r]) ** 2 / var) for f, r in zip(told, rows, strict=True) if f is not None]
        losses.append(errors)
    return float(np.mean(np.concatenate(losses)))


@pytest.mark.parametrize("season", [1, 3, 5])
@pytest.mark.parametrize("split", BORDERS)
def test_naive_one_step(split, season, file):
    """Window by window in plain loops: the row `season` before each target, where there is one."""
    task = Series(4, file=file, season=season)
    expected = judged(task, split, lambda rows: [ROWS[r - season] if r >= season else None for r in rows])
    assert task.naive(split) == pytest.approx(expected, rel=1e-12)


@pytest.mark.parametrize(("season", "length"), [(1, 6), (3, 6), (6, 6), (9, 4)])
@pytest.mark.parametrize("split", ["valid", "test"])
def test_naive_multi_step(split, season, length, file):
    """The last season before the first forecast, again and again; it may be longer than the window, or the horizon."""
    task = Series(length, "multi_step", file, season=season, horizon=5)

    def forecast(rows):
        last = list(range(rows[0] - season, rows[0]))
        return [ROWS[last[h % season]] for h in range(len(rows))]

    assert task.naive(split) == pytest.approx(judged(task, split, forecast), rel=1e-12)
    assert task.criterion.bound == task.naive("test")


@pytest.mark.parametrize("variant", ["one_step", "multi_step"])
def test_chance_is_the_training_mean_on_test(variant, file):
    task = Series(4, variant, file, horizon=1 if variant == "one_step" else 3)
    expected = judged(task, "test", lambda rows: [ROWS[:42].mean(axis=0)] * len(rows))
    assert task.chance == pytest.approx(expected, rel=1e-12)


def test_the_right_season_beats_another(tmp_path):
    """The control: on waves of period 12 repeating 12 is good, repeating 6 is worse than the mean."""
    path = written(tmp_path, waves())
    good, bad = (Series(24, "multi_step", path, season, 12) for season in (12, 6))
    assert good.naive("test") < 0.1 < 0.9 < good.chance < 1.1 < bad.naive("test")
    assert solved(good, 0.9 * good.naive("test"), 0) and not solved(good, good.naive("test"), 1)


def test_too_few_rows_and_a_constant_column(tmp_path):
    path = written(tmp_path, ROWS[:9], "short.csv")
    with pytest.raises(BadFile) as error:
        Series(1, file=path)
    assert told(error, path) == " has 9 rows, too few to split; give at least 10"
    path = written(tmp_path, np.where(np.arange(3) == 1, 7.5, ROWS), "flat.csv")
    with pytest.raises(BadFile) as error:
        Series(5, file=path)
    assert told(error, path) == " has 7.5 in column 'b' all through training; choose other columns"
    assert Series(5, file=path, columns="a,c").outputs == 2
