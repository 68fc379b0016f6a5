"""Orders in which the pixels of an image are read: `image[order]` is the sequence."""

import functools
import pathlib

import numpy as np

from rnnx.tasks.readers import utf8
from rnnx.tasks.readers.bad_file import BadFile

SEED = 92916  # the seed that permuted-MNIST studies use, with NumPy's old generator


@functools.cache
def seeded(size: int) -> np.ndarray:
    """The random order of those studies, int32 [size]; at 784 it is theirs, number by number."""
    return np.random.RandomState(SEED).permutation(size).astype(np.int32)


@functools.cache
def bit_reversal(size: int) -> np.ndarray:
    """The order of the indices whose binary digits, reversed, count up, int32 [size].

    Digits are those of the next power of two; indices outside `size` are dropped. Neighbours end up far apart, at
    every scale: the permuted MNIST of A. Gu, K. Goel & C. Re 2022 (their code, state-spaces).
    """
    digits = (size - 1).bit_length()
    reversed_ = [int(f"{i:0{digits}b}"[::-1], 2) for i in range(2**digits)]
    return np.array([i for i in reversed_ if i < size], np.int32)


@functools.cache
def read(path: str, size: int) -> np.ndarray:
    """An order of 0 .. `size` - 1, int32 [size], from a NumPy file (.npy) or a text of numbers with spaces or commas.

    Raises BadFile unless each number stands there once.
    """
    order = _numpy(path) if path.endswith(".npy") else _text(path)
    remedy = f"write each of 0 to {size - 1} once"
    if order.shape != (size,):
        raise BadFile(f"file {path} holds an array of shape {order.shape}, not [{size}]; {remedy}")
    for position, number in enumerate(order.tolist()):
        if not 0 <= number < size:
            raise BadFile(f"file {path} has {number} at position {position}; {remedy}")
    counts = np.bincount(order, minlength=size)
    if counts.max() > 1:
        raise BadFile(f"file {path} has {np.argmax(counts)} {counts.max()} times; {remedy}")
    return order.astype(np.int32)


def _numpy(path: str) -> np.ndarray:
    with pathlib.Path(path).open("rb") as file:
        try:
            order = np.load(file, allow_pickle=False)
        except (ValueError, EOFError, OSError) as error:
            raise BadFile(f"file {path} is no array of NumPy's ({error}); write one with numpy.save") from None
    if not isinstance(order, np.ndarray) or order.dtype.kind not in "iu":
        raise BadFile(
            f"file {path} holds {getattr(order, 'dtype', 'several')} values, not whole numbers; save an array of int"
        )
    return order


def _text(path: str) -> np.ndarray:
    numbers = []
    for line, text in enumerate(utf8.read(path).split("\n"), 1):
        for word in text.replace(",", " ").split():
            if not word.isdecimal() or len(word) > 18:  # what int64 holds
                raise BadFile(f"file {path}:{line} has {word!r:.60}, which is no position; write one of 0, 1, ...")
            numbers.append(int(word))
    return np.array(numbers, np.int64)
