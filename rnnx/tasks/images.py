"""Images of any size, read as a sequence: MNIST, Fashion-MNIST, and whatever else comes as IDX files."""

import functools
import math
import pathlib
from typing import NamedTuple

import jax.numpy as jnp
import numpy as np
from jax import Array

from rnnx.tasks.readers import BadFile, idx, permutation
from rnnx.tasks.task import Criterion, any_example, cross_entropy, is_likeliest
from rnnx.types import Example, one_of, static

Pixels = tuple[np.ndarray, np.ndarray]  # uint8 [M, P], classes int32 [M]


@static
class Images:
    """An image of P pixels is `length` steps of P / length of them, row by row; its class is asked at the last step.

    `file` is a directory that holds `train-images-idx3-ubyte`, `train-labels-idx1-ubyte` and the same of `t10k`,
    gzipped or not (or with "." for the "-" before "idx"). Pixels are divided by 255, into [0, 1]. The last twelfth of
    the training images, 5,000 of MNIST's 60,000, validates; `t10k` is the test split.

    `length` 0 takes one pixel a step; 28 takes MNIST's rows. `variant` is the order of the pixels: "plain" row by row;
    "permuted" one random order (NumPy's `RandomState(92916)`), or that of the file `permutation`, of numbers in
    a text or a `.npy`; "bit_reversal" (`readers.permutation.bit_reversal`). Loss: cross-entropy in nats; chance is the
    entropy of the training classes, about ln 10.

    Source: Q. V. Le, N. Jaitly & G. E. Hinton 2015, A simple way to initialize recurrent networks of rectified
    linear units (pixel by pixel, plain and permuted); Y. LeCun, C. Cortes & C. Burges, the MNIST database.
    """

    length: int = 0
    variant: str = "plain"
    file: str = ""
    permutation: str = ""

    answers = "end"
    symbols = False
    splits = ("train", "valid", "test")
    continuous = False

    def __post_init__(self):
        one_of("images: variant", self.variant, ("plain", "permuted", "bit_reversal"))
        if self.permutation and self.variant != "permuted":
            raise ValueError(f"images: permutation is given, but variant {self.variant} takes none; write permuted")
        if not self.file:
            raise ValueError("images: file is not given; write the path of a directory of four IDX files")
        pixels = self._pixels
        if self.length < 0 or (self.length and pixels % self.length):
            allowed = ", ".join(str(n) for n in range(1, pixels + 1) if pixels % n == 0)
            raise ValueError(
                f"images: length is {self.length}; an image has {pixels} pixels, write one of {allowed}, or 0 for all"
            )
        self._order()

    @property
    def _pixels(self) -> int:
        return _read(self.file).train[0].shape[1]

    @property
    def inputs(self) -> int:
        return self._pixels // self.steps

    @property
    def outputs(self) -> int:
        return _read(self.file).classes

    @property
    def steps(self) -> int:
        return self.length or self._pixels

    @property
    def chance(self) -> float:
        counts = np.bincount(self.load()[1])
        return float(sum(-n / sum(counts) * math.log(n / sum(counts)) for n in counts if n))

    @property
    def criterion(self) -> Criterion:
        return Criterion("accuracy", 0.9, self.count(self.load("test")), "ours, on the test split")

    def load(self, split: str = "train") -> Pixels:
        """(images uint8 [M, P], row by row, classes int32 [M]) of a split."""
        one_of("images: split", split, self.splits)
        return getattr(_read(self.file), split)

    def count(self, data: tuple[Array, Array] | Pixels) -> int:
        return len(data[1])

    def lengths(self, data: tuple[Array, Array] | Pixels) -> np.ndarray:
        return np.full(self.count(data), self.steps)

    def sample(self, data: tuple[Array, Array], key: Array) -> Example:
        return any_example(self, data, key)

    def example(self, data: tuple[Array, Array], index: Array) -> Example:
        images, classes = (jnp.asarray(a) for a in data)
        image = images[index].astype(jnp.zeros(()).dtype) / 255
        order = self._order()
        if order is not None:
            image = image[order]
        weights = (jnp.arange(self.steps) == self.steps - 1).astype(image.dtype)
        return Example(image.reshape(self.steps, self.inputs), jnp.full(self.steps, classes[index]), weights)

    def loss(self, y: Array, target: Array) -> Array:
        return cross_entropy(y, target)

    def correct(self, y: Array, target: Array) -> Array:
        return is_likeliest(y, target)

    def _order(self) -> np.ndarray | None:
        """Which pixel each place in the sequence shows; None for row by row."""
        if self.variant == "plain":
            return None
        if self.permutation:
            return permutation.read(self.permutation, self._pixels)
        return (
            permutation.seeded(self._pixels) if self.variant == "permuted" else permutation.bit_reversal(self._pixels)
        )


class _Splits(NamedTuple):
    train: Pixels
    valid: Pixels
    test: Pixels
    classes: int


@functools.cache
def _read(folder: str) -> _Splits:
    """All of a directory, once. Raises BadFile where the four files do not go together."""
    names = {path.name for path in pathlib.Path(folder).iterdir()}

    def labelled(stem: str) -> Pixels:
        images, labels = idx.labelled(*(_path(folder, names, stem, kind) for kind in ("images-idx3", "labels-idx1")))
        return images.reshape(len(images), -1), labels.astype(np.int32)

    train, test = labelled("train"), labelled("t10k")
    if train[0].shape[1] != test[0].shape[1]:
        sizes = f"{train[0].shape[1]} pixels in training and {test[0].shape[1]} in testing"
        raise BadFile(f"file {folder} has images of {sizes}; put four files there that belong together")
    classes = int(train[1].max()) + 1
    if test[1].max() >= classes:
        told = f"class {test[1].max()} in testing, and classes up to {classes - 1} in training"
        raise BadFile(f"file {folder} has {told}; put four files there that belong together")
    valid = len(train[1]) // 12
    if not valid:
        raise BadFile(f"file {folder} has {len(train[1])} training images; give at least 12, of which 1 validates")
    kept, held = tuple(a[:-valid] for a in train), tuple(a[-valid:] for a in train)
    return _Splits((kept[0], kept[1]), (held[0], held[1]), test, classes)


def _path(folder: str, names: set[str], stem: str, kind: str) -> str:
    """The one of the usual spellings that is there."""
    usual = f"{stem}-{kind}-ubyte"
    for name in (usual, usual.replace("-idx", ".idx")):
        for ending in ("", ".gz"):
            if name + ending in names:
                return str(pathlib.Path(folder, name + ending))
    raise BadFile(f"file {folder} is a directory without {usual} or {usual}.gz; put it there, or write another path")
