"""Polyphonic music, the next frame of a piano roll: JSB Chorales, Nottingham, MuseData, Piano-midi.de."""

import functools

import jax
import jax.numpy as jnp
import numpy as np
from jax import Array

from rnnx.tasks.readers import mat
from rnnx.tasks.task import Criterion, any_example
from rnnx.types import Example, one_of, static

Rolls = tuple[np.ndarray, np.ndarray]  # frames uint8 [M, L, 88], lengths int32 [M]


@static
class Music:
    """A piece as frames of 88 keys, 1 where a key sounds; the target of each step is the next frame.

    `file` is a MATLAB file of piano rolls (`readers.mat`). A piece of L frames is L - 1 steps; `length` 0 takes pieces
    whole, anything else their first `length` steps; what is shorter is padded with silence, which is not scored. The
    outputs are 88 logits. Loss: binary cross-entropy summed over keys, in nats a frame, as the literature reports
    it, and meaned over the steps of a piece (tables that pool the frames of all pieces weigh long pieces more). Chance
    is the loss, on the test split, of each key's share in the training targets; the criterion that of a chain which
    knows of each key its share given whether it sounds now, which only hearing other keys or earlier frames beats. A
    step is correct if all 88 keys are, at logit 0.

    Source: N. Boulanger-Lewandowski, Y. Bengio & P. Vincent 2012, Modeling temporal dependencies in high-dimensional
    sequences; splits and files of S. Bai, J. Z. Kolter & V. Koltun 2018.
    """

    length: int = 0
    variant: str = "next"
    file: str = ""

    inputs = mat.KEYS
    outputs = mat.KEYS
    answers = "steps"
    symbols = False
    splits = ("train", "valid", "test")
    continuous = False
    bias = -3.0  # where outputs may well start: log odds of a key that is seldom down

    def __post_init__(self):
        one_of("music: variant", self.variant, ("next",))
        if not self.file:
            raise ValueError("music: file is not given; write the path of a MATLAB file of piano rolls")
        longest = self._longest
        if not 0 <= self.length <= longest:
            raise ValueError(
                f"music: length is {self.length}, but the longest piece has {longest} steps; "
                f"write at most {longest}, or 0 for all"
            )

    @property
    def _longest(self) -> int:
        return self.load()[0].shape[1] - 1

    @property
    def steps(self) -> int:
        return self.length or self._longest

    @property
    def chance(self) -> float:
        return _references(self)[0]

    @property
    def criterion(self) -> Criterion:
        return Criterion("loss", _references(self)[1], self.count(self.load("test")), "beats a chain per key; ours")

    def load(self, split: str = "train") -> Rolls:
        """(frames uint8 [M, L, 88], lengths in frames int32 [M]) of a split; L is the longest of all splits."""
        one_of("music: split", split, self.splits)
        return _read(self.file)[split]

    def count(self, data: tuple[Array, Array] | Rolls) -> int:
        return len(data[1])

    def lengths(self, data: tuple[Array, Array] | Rolls) -> np.ndarray:
        return np.minimum(np.asarray(data[1]) - 1, self.steps)

    def sample(self, data: tuple[Array, Array], key: Array) -> Example:
        return any_example(self, data, key)

    def example(self, data: tuple[Array, Array], index: Array) -> Example:
        rolls, frames = (jnp.asarray(a) for a in data)
        time = jnp.arange(self.steps)
        length = jnp.minimum(frames[index].astype(time.dtype) - 1, self.steps)
        roll = rolls[index, : self.steps + 1].astype(jnp.zeros(()).dtype)
        weights = jnp.where(time < length, 1 / length.astype(roll.dtype), 0)
        return Example(roll[:-1], roll[1:], weights, length if self._varies else None)

    def loss(self, y: Array, target: Array) -> Array:
        """-log of the frame's probability, each key on its own.    y [88], target [88]"""
        return jnp.sum(jax.nn.softplus(y) - y * target)

    def correct(self, y: Array, target: Array) -> Array:
        return jnp.all((y > 0) == (target > 0))

    @property
    def _varies(self) -> bool:
        """Whether some piece of any split ends before the last step."""
        return any(self.load(split)[1].min() <= self.steps for split in self.splits)


@functools.cache
def _read(file: str) -> dict[str, Rolls]:
    pieces = mat.read(file)
    longest = max(len(piece) for split in pieces.values() for piece in split)

    def pad(split: tuple[np.ndarray, ...]) -> Rolls:
        rolls = np.zeros((len(split), longest, mat.KEYS), np.uint8)
        for i, piece in enumerate(split):
            rolls[i, : len(piece)] = piece
        return rolls, np.array([len(piece) for piece in split], np.int32)

    return {name: pad(split) for name, split in pieces.items()}


@functools.cache
def _references(task: Music) -> tuple[float, float]:
    """Loss on the test split of a constant forecast, and of a chain for each key.

    Shares of the training frames, with half a count more of either kind, so that no key is impossible.
    """

    def steps(split: str) -> list[tuple[np.ndarray, np.ndarray]]:
        rolls, frames = task.load(split)
        ends = np.minimum(frames, task.steps + 1)
        return [(roll[: n - 1] > 0, roll[1:n] > 0) for roll, n in zip(rolls, ends, strict=True)]

    now, after = (np.concatenate(frames) for frames in zip(*steps("train"), strict=True))

    def share(given: np.ndarray) -> np.ndarray:
        return (np.sum(after & given, axis=0) + 0.5) / (np.sum(given, axis=0) + 1)

    always, sounding, silent = share(np.ones_like(now)), share(now), share(~now)

    def loss(p: np.ndarray, target: np.ndarray) -> float:
        return float(np.mean(np.sum(-np.log(np.where(target, p, 1 - p)), axis=1)))

    test = steps("test")
    constant = [loss(always, target) for _, target in test]
    chain = [loss(np.where(roll, sounding, silent), target) for roll, target in test]
    return float(np.mean(constant)), float(np.mean(chain))
