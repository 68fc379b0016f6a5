"""Labelled recordings of one or more channels, of any lengths: the classification archives of time series."""

import functools
import math

import jax.numpy as jnp
import numpy as np
from jax import Array

from rnnx.tasks.readers import BadFile, ts
from rnnx.tasks.task import Criterion, any_example, cross_entropy, is_likeliest
from rnnx.types import Example, one_of, static

ENDINGS = ("_TRAIN.ts", "_TEST.ts")
Padded = tuple[np.ndarray, np.ndarray, np.ndarray]  # frames float32 [M, L, C], lengths int32 [M], classes int32 [M]


@static
class Recordings:
    """A recording of C channels, one frame a step; its class is asked at its last step.

    `file` is the path of `NAME_TRAIN.ts`, with `NAME_TEST.ts` beside it. `length` 0 takes recordings whole, anything
    else their first `length` steps; what is shorter is padded with zeros. `variant` "standardised" gives each
    channel mean 0 and variance 1 over all frames of the training split (a channel that never changes there is only
    centred), "raw" the numbers of the file. Loss: cross-entropy in nats; chance is the entropy of the training classes.

    Source: the UEA and UCR archives, A. Bagnall et al. 2018, The UEA multivariate time series classification archive.
    """

    length: int = 0
    variant: str = "standardised"
    file: str = ""

    answers = "end"
    symbols = False
    splits = ("train", "test")
    continuous = False

    def __post_init__(self):
        one_of("recordings: variant", self.variant, ("standardised", "raw"))
        if not self.file:
            raise ValueError("recordings: file is not given; write the path of NAME_TRAIN.ts")
        longest = self._longest
        if not 0 <= self.length <= longest:
            raise ValueError(
                f"recordings: length is {self.length}, but the longest recording has {longest} steps; "
                f"write at most {longest}, or 0 for all"
            )

    @property
    def _longest(self) -> int:
        return self.load()[0].shape[1]

    @property
    def inputs(self) -> int:
        return self.load()[0].shape[2]

    @property
    def outputs(self) -> int:
        return len(self.alphabet)

    @property
    def alphabet(self) -> tuple[str, ...]:
        """What the classes 0, 1, ... stand for."""
        return _read(self.file)[0].classes

    @property
    def steps(self) -> int:
        return self.length or self._longest

    @property
    def chance(self) -> float:
        counts = np.bincount(self.load()[2])
        return float(sum(-n / sum(counts) * math.log(n / sum(counts)) for n in counts if n))

    @property
    def criterion(self) -> Criterion:
        return Criterion("accuracy", 0.95, self.count(self.load("test")), "ours, on the test split")

    def load(self, split: str = "train") -> Padded:
        """(frames float32 [M, L, C], lengths int32 [M], classes int32 [M]); L is the longest of both splits."""
        one_of("recordings: split", split, self.splits)
        return _padded(self.file, self.variant == "standardised")[self.splits.index(split)]

    def count(self, data: tuple[Array, Array, Array] | Padded) -> int:
        return len(data[2])

    def lengths(self, data: tuple[Array, Array, Array] | Padded) -> np.ndarray:
        return np.minimum(np.asarray(data[1]), self.steps)

    def sample(self, data: tuple[Array, Array, Array], key: Array) -> Example:
        return any_example(self, data, key)

    def example(self, data: tuple[Array, Array, Array], index: Array) -> Example:
        frames, lengths, classes = (jnp.asarray(a) for a in data)
        time = jnp.arange(self.steps)
        length = jnp.minimum(lengths[index].astype(time.dtype), self.steps)
        xs = frames[index, : self.steps].astype(jnp.zeros(()).dtype)
        weights = (time == length - 1).astype(xs.dtype)
        return Example(xs, jnp.full(self.steps, classes[index]), weights, length if self._varies else None)

    def loss(self, y: Array, target: Array) -> Array:
        return cross_entropy(y, target)

    def correct(self, y: Array, target: Array) -> Array:
        return is_likeliest(y, target)

    @property
    def _varies(self) -> bool:
        """Whether some recording of either split ends before the last step."""
        return any(self.load(split)[1].min() < self.steps for split in self.splits)


@functools.cache
def _read(file: str) -> tuple[ts.Cases, ts.Cases]:
    """The training and the test cases."""
    train, test = ENDINGS
    if not file.endswith(train):
        raise BadFile(f"file {file} does not end in {train}; write the path of NAME{train}, with NAME{test} beside it")
    cases = ts.read(file)
    return cases, ts.read(file.removesuffix(train) + test, like=cases)


@functools.cache
def _padded(file: str, standardised: bool) -> tuple[Padded, Padded]:
    train, test = _read(file)
    mean, scale = np.zeros(()), np.ones(())
    if standardised:
        frames = np.concatenate(train.series)
        mean, scale = frames.mean(axis=0), frames.std(axis=0)
        scale = np.where(scale > 0, scale, 1)
    longest = max(map(len, train.series + test.series))

    def pad(cases: ts.Cases) -> Padded:
        frames = np.zeros((len(cases.series), longest, cases.series[0].shape[1]), np.float32)
        for i, case in enumerate(cases.series):
            frames[i, : len(case)] = (case - mean) / scale
        return frames, np.array([len(case) for case in cases.series], np.int32), cases.labels

    return pad(train), pad(test)
