"""Forecasting a series of numbers from a CSV file."""

import functools
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax import Array

from rnnx.tasks.readers import BadFile
from rnnx.tasks.readers import series as reader
from rnnx.tasks.task import Criterion, any_example
from rnnx.types import Example, one_of, static

Parts = tuple[np.ndarray, np.ndarray]  # what comes before the split, and the split: float64 [B, D], [N, D]


@static
class Series:
    """Windows on a series of D columns; the target of step t is the value of step t + 1, and the output its forecast.

    `file` is a CSV file, a row a point in time (`readers.series`), `columns` the names of those to take, "HUFL,OT", ""
    for all. Values are handed out as they are; `statistics` tells how to scale them. The first 70 % of the rows
    train, the next 10 % validate, the last 20 % test.

    | variant | steps | scored |
    |---|---|---|
    | one_step | `length` | each step, at weight 1 / length |
    | multi_step | `length` + `horizon` - 1 | the last `horizon` steps, at weight 1 / horizon |

    In multi_step the first `length` steps are the context: step length - 1 forecasts the first value after them, and
    the steps after it one more each. xs hold the true values there too, which is forecasting one step ahead
    ("teacher forcing"); a network that runs freely must not look at xs from step `length` on.

    Every value of a split is forecast and scored, and none outside it: windows of the validation and test splits take
    what they need before the first forecast, one value or `length`, from the end of the split before.

    Loss: squared error over the column's variance in the training split, meaned over columns. Chance is the loss, on
    the test split, of the training mean; the criterion that of repeating the value `season` steps before (in
    multi_step, the last `season` values again and again), see `naive`. A step is correct if its loss is below 1:
    nearer than one standard deviation. Targets are [T, D], or [T] if D is 1.
    """

    length: int
    variant: str = "one_step"
    file: str = ""
    season: int = 1
    horizon: int = 1
    columns: str = ""

    answers = "steps"
    symbols = False
    splits = ("train", "valid", "test")

    def __post_init__(self):
        one_of("series: variant", self.variant, ("one_step", "multi_step"))
        for name in ("length", "season", "horizon"):
            if getattr(self, name) < 1:
                raise ValueError(f"series: {name} is {getattr(self, name)}; write at least 1")
        if self.variant == "one_step" and self.horizon != 1:
            raise ValueError(f"series: horizon is {self.horizon}, but one_step looks 1 ahead; write multi_step")
        if not self.file:
            raise ValueError("series: file is not given; write the path of a CSV file")
        train, valid, test = (len(self.load(split)[1]) for split in self.splits)
        multi = self.variant == "multi_step"
        if self.horizon > min(valid, test):
            raise ValueError(
                f"series: horizon is {self.horizon}; write at most {min(valid, test)}, or give a longer file"
            )
        most = train - self.horizon if multi else min(train - 1, valid, test)
        if self.length > most:
            raise ValueError(f"series: length is {self.length}; write at most {most}, or give a longer file")
        if self.season > train - self.horizon:
            raise ValueError(f"series: season is {self.season}; write at most {train - self.horizon}")
        self.statistics()

    @property
    def continuous(self) -> bool:
        return self.variant == "one_step"

    @property
    def inputs(self) -> int:
        return _read(self.file, self.columns)[1].shape[1]

    @property
    def outputs(self) -> int:
        return self.inputs

    @property
    def steps(self) -> int:
        return self.length + self.horizon - 1

    @property
    def scored(self) -> int:
        """How many steps are: the last so many of a window."""
        return self.horizon if self.variant == "multi_step" else self.length

    @property
    def chance(self) -> float:
        return _chance(self)

    @property
    def criterion(self) -> Criterion:
        return Criterion("loss", self.naive("test"), 1000, "beats seasonal-naive; ours")

    def statistics(self) -> tuple[tuple[float, ...], tuple[float, ...]]:
        """Mean and standard deviation of each column over the training split."""
        return _statistics(self.file, self.columns)

    def naive(self, split: str = "test") -> float:
        """The loss of repeating the last season, over all windows of a split.

        It looks back beyond the window if the season is longer; targets within the first season of the whole series,
        which have nothing to repeat, are left out.
        """
        return _naive(self, split)

    def load(self, split: str = "train") -> Parts:
        """(the rows before a split, the split's own), float64 [B, D] and [N, D]."""
        one_of("series: split", split, self.splits)
        values = _read(self.file, self.columns)[1]
        borders = [0, len(values) * 7 // 10, len(values) * 8 // 10, len(values)]
        i = self.splits.index(split)
        return values[: borders[i]], values[borders[i] : borders[i + 1]]

    def count(self, data: tuple[Array, Array] | Parts) -> int:
        before, own = data
        return self._borrowed(before) + len(own) - self.steps

    def lengths(self, data: tuple[Array, Array] | Parts) -> np.ndarray:
        return np.full(self.count(data), self.steps)

    def sample(self, data: tuple[Array, Array], key: Array) -> Example:
        return any_example(self, data, key)

    def example(self, data: tuple[Array, Array], index: Array) -> Example:
        before, own = (jnp.asarray(a).astype(jnp.zeros(()).dtype) for a in data)
        whole = jnp.concatenate([before[len(before) - self._borrowed(before) :], own])
        window = jax.lax.dynamic_slice_in_dim(whole, index, self.steps + 1)
        targets = window[1:, 0] if self.outputs == 1 else window[1:]
        weights = (jnp.arange(self.steps) >= self.steps - self.scored).astype(window.dtype) / self.scored
        return Example(window[:-1], targets, weights)

    def loss(self, y: Array, target: Array) -> Array:
        variance = jnp.square(jnp.asarray(self.statistics()[1], y.dtype))
        return jnp.mean(jnp.square(y - target.reshape(y.shape)) / variance)

    def correct(self, y: Array, target: Array) -> Array:
        return self.loss(y, target) < 1

    def _borrowed(self, before: Any) -> int:
        """How many values windows take from before the split."""
        return min(len(before), self.steps + 1 - self.scored)


@functools.cache
def _read(file: str, columns: str) -> tuple[tuple[str, ...], np.ndarray]:
    names, values = reader.read(file, columns)
    if len(values) < 10:
        raise BadFile(f"file {file} has {len(values)} rows, too few to split; give at least 10")
    return names, values


@functools.cache
def _statistics(file: str, columns: str) -> tuple[tuple[float, ...], tuple[float, ...]]:
    names, values = _read(file, columns)
    train = values[: len(values) * 7 // 10]
    for name, low, high in zip(names, train.min(axis=0), train.max(axis=0), strict=True):
        if low == high:
            raise BadFile(f"file {file} has {low:g} in column {name!r} all through training; choose other columns")
    return tuple(train.mean(axis=0).tolist()), tuple(train.std(axis=0).tolist())


@functools.cache
def _chance(task: Series) -> float:
    mean, std = map(np.array, task.statistics())
    errors = np.mean(np.square((task.load("test")[1] - mean) / std), axis=1)
    return float(np.lib.stride_tricks.sliding_window_view(errors, task.scored).mean())


@functools.cache
def _naive(task: Series, split: str) -> float:
    before, own = task.load(split)
    values = np.concatenate([before, own]) / np.array(task.statistics()[1])
    first = len(before) - task._borrowed(before) + task.steps + 1 - task.scored  # the first value that is forecast
    starts = np.arange(first, first + task.count((before, own)))  # of the scored part of each window
    total, counted = 0.0, 0
    for ahead in range(task.scored):
        back = ahead % task.season - task.season - ahead if task.variant == "multi_step" else -task.season
        asked = starts[starts + ahead + back >= 0] + ahead
        total += np.sum(np.mean(np.square(values[asked] - values[asked + back]), axis=1))
        counted += len(asked)
    return float(total / counted)
