"""Which examples a batch holds: a pure function of (seed, step), so that there is no iterator to lose.

A plan tells in two halves: `draw(seed, step)` on the host, a few whole numbers; and `fetch(data, drawn)`, pure, inside
what is compiled; `fetch(data, drawn, axis)` is a device's part of the batch (`sharing`). `begins(step)` says whether
carried states start afresh, `width(step)` to how many steps of time the batch is cut: one compilation for each.
"""

import functools
from dataclasses import dataclass
from typing import Any

import jax
import numpy as np
from jax import Array

from rnnx.tasks import batch
from rnnx.training.sharing import own
from rnnx.types import Example


def _order(seed: int, epoch: int, count: int) -> np.ndarray:
    """A permutation of 0 .. count-1 that depends on the seed and the epoch alone."""
    return np.random.Generator(np.random.Philox(key=[seed, epoch])).permutation(count)


@dataclass(frozen=True)
class Fresh:
    """`size` examples drawn anew at every step: for tasks that are generated, or data drawn with replacement."""

    task: Any
    size: int

    per_epoch = 0  # there are none

    def draw(self, seed: int, step: int) -> np.ndarray:
        return np.array([seed, step], np.uint32)

    def fetch(self, data: Any, drawn: Array, axis: str | None = None) -> Example:
        key = jax.random.fold_in(jax.random.key(drawn[0]), drawn[1])
        if axis is None:
            return batch(self.task, data, key, self.size)
        return jax.vmap(self.task.sample, (None, 0))(data, own(jax.random.split(key, self.size), axis))

    def begins(self, step: int) -> bool:
        del step
        return True

    def width(self, step: int) -> int:
        del step
        return self.task.steps


class Epochs:
    """Finite data in a new order every epoch; the few examples that fill no batch wait for another epoch.

    `buckets` groups examples by length, so that little padding is computed: each batch is cut to the longest of its
    bucket. Bounds lie at quantiles of the lengths; what fills no batch of its bucket goes into the next longer one.
    Widths depend on the step alone, not on the seed, and hold whichever examples wait: seeds under `vmap` share shapes.

    >>> import rnnx
    >>> task = rnnx.tasks.Digits(8)
    >>> plan = Epochs(task, task.load(), 100)
    >>> plan.per_epoch, plan.draw(seed=0, step=3).shape
    (14, (100,))
    """

    def __init__(self, task: Any, data: Any, size: int, buckets: int = 1):
        count = task.count(data)
        if size > count:
            raise ValueError(f"batches of {size} examples from data that has {count}; write at most {count}")
        self.task, self.size = task, size
        lengths = np.asarray(task.lengths(data))
        bounds = np.unique(np.quantile(lengths, np.arange(1, buckets + 1) / buckets, method="higher"))
        if buckets == 1:
            bounds = np.array([task.steps])
        self._bucket = np.searchsorted(bounds, lengths)
        self.per_epoch, waiting = divmod(count, size)
        last = np.sort(self._bucket)[size - 1 + waiting :: size]  # of each batch, if all that wait are shorter
        self._widths: list[int] = bounds[last].tolist()  # of each batch of an epoch, before they are mixed
        self._orders = functools.lru_cache(maxsize=64)(self._examples)

    def _examples(self, seed: int, epoch: int) -> np.ndarray:
        """int32 [per_epoch, size]: the batches of an epoch, short buckets first."""
        order = _order(seed, epoch, len(self._bucket))[: self.per_epoch * self.size]
        sorted_in = order[np.argsort(self._bucket[order], kind="stable")]
        return sorted_in.reshape(-1, self.size).astype(np.int32)

    def _place(self, step: int) -> tuple[int, int]:
        """(epoch, which batch of it), batches of different widths mixed alike for all seeds."""
        epoch, index = divmod(step, self.per_epoch)
        if len(set(self._widths)) == 1:
            return epoch, index
        return epoch, int(_order(0, epoch, self.per_epoch)[index])

    def draw(self, seed: int, step: int) -> np.ndarray:
        epoch, index = self._place(step)
        return self._orders(seed, epoch)[index]

    def fetch(self, data: Any, drawn: Array, axis: str | None = None) -> Example:
        return jax.vmap(self.task.example, (None, 0))(data, own(drawn, axis))

    def begins(self, step: int) -> bool:
        del step
        return True

    def width(self, step: int) -> int:
        return self._widths[self._place(step)[1]]


class Streams:
    """One long sequence read by `size` readers side by side, each going on where it stopped.

    Reader b starts at its own place in the data, and each batch is the next `task.length` steps of every reader: states
    are carried, and gradients go back as far as a batch reaches. After an epoch all start again, a few steps later or
    earlier, so that windows are cut elsewhere.
    """

    def __init__(self, task: Any, data: Any, size: int, shifted: bool = True):
        symbols = task.count(data) + task.length - 1  # that have a successor
        self.task, self.size, self._lane, self._shifted = task, size, symbols // size, shifted
        self.per_epoch = self._lane // task.length
        if not self.per_epoch:
            raise ValueError(
                f"{size} readers of windows of {task.length} in data of {symbols} steps; "
                f"write a batch size of at most {symbols // task.length}"
            )

    def draw(self, seed: int, step: int) -> np.ndarray:
        epoch, index = divmod(step, self.per_epoch)
        spare = self._lane - self.per_epoch * self.task.length
        shift = int(_order(seed, epoch, spare + 1)[0]) if self._shifted else 0
        return (np.arange(self.size) * self._lane + shift + index * self.task.length).astype(np.int32)

    def fetch(self, data: Any, drawn: Array, axis: str | None = None) -> Example:
        return jax.vmap(self.task.example, (None, 0))(data, own(drawn, axis))

    def begins(self, step: int) -> bool:
        return step % self.per_epoch == 0

    def width(self, step: int) -> int:
        del step
        return self.task.steps


def cut(example: Example, width: int) -> Example:
    """A batch, leaves [B, T, ...], with its first `width` steps of time."""
    if example.weights.shape[1] == width:
        return example
    xs, targets, weights = jax.tree.map(lambda a: a[:, :width], example[:3])
    return Example(xs, targets, weights, example.length)
