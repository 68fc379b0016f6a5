"""Handwritten digits, read as a sequence: the 1,797 images of 8 x 8 pixels that come with scikit-learn."""

import functools
import math

import jax.numpy as jnp
import numpy as np
from jax import Array

from rnnx.tasks.readers import permutation
from rnnx.tasks.task import Criterion, any_example, cross_entropy, is_likeliest
from rnnx.types import Example, one_of, static

PIXELS = 64
LENGTHS = tuple(n for n in range(1, PIXELS + 1) if PIXELS % n == 0)
PERMUTATION_SEED = 92916  # the seed that permuted-MNIST studies use


@static
class Digits:
    """An image is `length` steps of 64 / length pixels, row by row; the class, 0 to 9, is asked at the last step.

    `variant` "plain" reads the pixels in order (length 64: one by one, 8: row by row), "permuted" in one fixed
    random order, "bit_reversal" in the order of `readers.permutation`. Pixels are divided by 16, into [0, 1]. Every
    fifth image is for the test split. Loss: cross-entropy in nats; chance ln 10.

    Source: E. Alpaydin & C. Kaynak 1998, Optical Recognition of Handwritten Digits, UCI; the copy that
    scikit-learn bundles (its 1,797 test images), which is read without any network.
    """

    length: int = 64
    variant: str = "plain"

    outputs = 10
    answers = "end"
    symbols = False
    splits = ("train", "test")
    continuous = False
    chance = math.log(10)
    criterion = Criterion("accuracy", 0.95, 360, "ours, on the test split")

    def __post_init__(self):
        one_of("digits: variant", self.variant, ("plain", "permuted", "bit_reversal"))
        if self.length not in LENGTHS:
            allowed = ", ".join(map(str, LENGTHS))
            raise ValueError(f"digits: length is {self.length}; an image has 64 pixels, write one of {allowed}")

    @property
    def inputs(self) -> int:
        return PIXELS // self.length

    @property
    def steps(self) -> int:
        return self.length

    def load(self, split: str = "train") -> tuple[np.ndarray, np.ndarray]:
        """(images float32 [M, 64] in [0, 1], classes int32 [M]) of a split, "train" or "test"."""
        one_of("digits: split", split, self.splits)
        images, classes = _bundled()
        test = np.arange(len(classes)) % 5 == 0
        chosen = test if split == "test" else ~test
        return images[chosen], classes[chosen]

    def count(self, data: tuple[Array, Array]) -> int:
        return len(data[1])

    def lengths(self, data: tuple[Array, Array]) -> np.ndarray:
        return np.full(self.count(data), self.length)

    def sample(self, data: tuple[Array, Array], key: Array) -> Example:
        return any_example(self, data, key)

    def example(self, data: tuple[Array, Array], index: Array) -> Example:
        images, classes = (jnp.asarray(a) for a in data)
        image = images[index].astype(jnp.zeros(()).dtype)
        if self.variant == "permuted":
            image = image[np.random.default_rng(PERMUTATION_SEED).permutation(PIXELS)]
        elif self.variant == "bit_reversal":
            image = image[permutation.bit_reversal(PIXELS)]
        weights = (jnp.arange(self.length) == self.length - 1).astype(image.dtype)
        return Example(image.reshape(self.length, self.inputs), jnp.full(self.length, classes[index]), weights)

    def loss(self, y: Array, target: Array) -> Array:
        return cross_entropy(y, target)

    def correct(self, y: Array, target: Array) -> Array:
        return is_likeliest(y, target)


@functools.cache
def _bundled() -> tuple[np.ndarray, np.ndarray]:
    try:
        from sklearn.datasets import load_digits
    except ModuleNotFoundError:
        raise ModuleNotFoundError("digits: scikit-learn is not installed; pip install 'rnnx[lab]'") from None
    images, classes = load_digits(return_X_y=True)
    return (images / 16).astype(np.float32), classes.astype(np.int32)
