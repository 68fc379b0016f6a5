"""What a task is: examples as a pure function of a key, a loss for one step, a chance level and a criterion."""

from collections.abc import Sequence
from typing import Any, NamedTuple, Protocol

import jax
import jax.numpy as jnp
import numpy as np
from jax import Array

from rnnx.types import Example


class Criterion(NamedTuple):
    """When a task counts as solved: `quantity` of held-out examples is "below" or "at least" `bound`."""

    quantity: str  # "loss" or "accuracy"
    bound: float
    examples: int  # how many held-out examples it takes to say so
    source: str  # who set it


class Task(Protocol):
    """A frozen dataclass: a length, a variant, and for real data a source.

    `load` reads what examples are drawn from (nothing for generated tasks), once, on the host; `sample` is pure.
    `steps` is the number of steps of an example's arrays. `correct` judges one scored step; the accuracy of a
    network is its mean over scored steps, or over examples where only the last step is scored.
    `answers` tells what is asked: "end", one answer after the last valid step, the target being the same at every
    step, so that any summary of the sequence may give it; "steps", an answer at each scored step.
    `symbols` is true where xs are one-hot symbols of a finite alphabet, which an embedding may replace.
    """

    @property
    def variant(self) -> str: ...
    @property
    def answers(self) -> str: ...
    @property
    def symbols(self) -> bool: ...
    @property
    def splits(self) -> tuple[str, ...]: ...  # ("train", "test"), with "valid" between them where the data has one
    @property
    def inputs(self) -> int: ...
    @property
    def outputs(self) -> int: ...
    @property
    def steps(self) -> int: ...
    @property
    def chance(self) -> float: ...  # mean loss of the best predictor that remembers nothing
    @property
    def criterion(self) -> Criterion: ...
    def load(self, split: str = "train") -> Any: ...
    def sample(self, data: Any, key: Array) -> Example: ...
    def loss(self, y: Array, target: Any) -> Array: ...
    def correct(self, y: Array, target: Any) -> Array: ...


class Dataset(Task, Protocol):
    """A task of finite data: example i is a pure function of (data, i), i = 0 .. count - 1.

    `continuous` is true where examples are windows on one long sequence and i is where they start: example
    i + length goes on where example i ends, with the state carried over.
    """

    @property
    def continuous(self) -> bool: ...
    def count(self, data: Any) -> int: ...
    def lengths(self, data: Any) -> np.ndarray: ...  # valid steps of each example, int [count]
    def example(self, data: Any, index: Array) -> Example: ...


def any_example(task: Dataset, data: Any, key: Array) -> Example:
    """The `sample` of a task of finite data: each example is as likely as any other."""
    return task.example(data, below(jax.random.bits(key, (), jnp.uint32), task.count(data)))


def batch(task: Task, data: Any, key: Array, size: int) -> Example:
    """`size` examples, leaves [size, ...]; a pure function of (data, key)."""
    return jax.vmap(task.sample, (None, 0))(data, jax.random.split(key, size))


def last_scored(example: Example) -> Example:
    """The same example with the loss of its last scored step alone, at weight 1."""
    steps = example.weights.shape[0]
    index = jnp.max(jnp.where(example.weights != 0, jnp.arange(steps), -1))
    return example._replace(weights=(jnp.arange(steps) == index).astype(example.weights.dtype))


def solved(task: Task, loss: float, accuracy: float) -> bool:
    """Whether held-out loss and accuracy meet the task's criterion."""
    quantity, bound, *_ = task.criterion
    return loss < bound if quantity == "loss" else accuracy >= bound


def below(word: Array, high: Array | int) -> Array:
    """A random word, uint32, as a whole number of [0, high), uniform to 2**-32 high.

    Many of these from one `jax.random.bits` compile in a fraction of the time of as many `randint`.
    """
    return (word % jnp.asarray(high).astype(jnp.uint32)).astype(jnp.arange(0).dtype)


def spelled(words: Sequence[str], example: Example) -> str:
    """One example whose steps are one-hot words, as a line of text."""
    tokens = np.argmax(example.xs, axis=1)[: example.length]
    return " ".join(words[int(token)] for token in tokens)


# ------------------------------------------------------------------------------ losses that tasks share


def squared_error(y: Array, target: Array) -> Array:
    """(y - target)^2 of a network with one output.    y [1], target []"""
    return jnp.square(y[0] - target)


def cross_entropy(y: Array, target: Array) -> Array:
    """-log softmax(y)[target], in nats.    y [O], target int []"""
    return jax.nn.logsumexp(y) - y[target]


def is_likeliest(y: Array, target: Array) -> Array:
    """Whether the largest output is the target's."""
    return jnp.argmax(y).astype(target.dtype) == target
