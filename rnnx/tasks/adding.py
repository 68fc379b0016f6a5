"""The adding problem: remember two marked numbers of a long noise, and give their sum."""

from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
from jax import Array

from rnnx.tasks.task import Criterion, below, squared_error
from rnnx.types import Example, one_of, static

TENTH_OF_CHANCE = Criterion("loss", 1 / 60, 1000, "a tenth of chance, 1/6; ours")


class Variant(NamedTuple):
    shortest: int  # the shortest length at which the marks fit
    lowest: float  # values are U[lowest, 1]
    offset: float  # target = offset + scale (a + b)
    scale: float
    tolerance: float  # correct: |error| below it
    criterion: Criterion


VARIANTS = {
    "urnn": Variant(2, 0.0, 0.0, 1.0, 0.04, TENTH_OF_CHANCE),
    "tcn": Variant(2, 0.0, 0.0, 1.0, 0.04, TENTH_OF_CHANCE),
    "hs97": Variant(
        6, -1.0, 0.5, 0.25, 0.04, Criterion("accuracy", 1.0, 2000, "Hochreiter & Schmidhuber 1997, exp. 4")
    ),
    "pascanu": Variant(4, 0.0, 0.0, 0.5, 0.2, Criterion("accuracy", 0.99, 10_000, "Pascanu, Mikolov & Bengio 2013")),
    "plrnn": Variant(
        4, 0.0, 0.0, 1.0, 0.04, Criterion("accuracy", 0.99, 10_000, "Schmidt et al. 2021; the bound is ours")
    ),
}


@static
class Adding:
    """Two channels, a value and a mark; after `length` steps the target is a function of the two marked values.

    | variant | values | first mark in | second mark in | target | length |
    |---|---|---|---|---|---|
    | urnn (Arjovsky, Shah & Bengio 2016; JANET, IndRNN, LEM) | U[0,1] | [0, T/2) | [T/2, T) | a + b | T |
    | tcn (Bai, Kolter & Koltun 2018) | U[0,1] | any | any other | a + b | T |
    | plrnn (Schmidt et al. 2021) | U[0,1] | [0, 10) | [0, T/2), another | a + b | T |
    | pascanu (Pascanu, Mikolov & Bengio 2013) | U[0,1] | [0, L/10) | [L/10, L/2) | (a + b)/2 | L in [T, 1.1 T) |
    | hs97 (Hochreiter & Schmidhuber 1997) | U[-1,1] | [0, 10) | [0, T/2-1), another | (2+a+b)/4 | L in [T, 1.1 T] |

    In hs97 the marks of the first and the last step are -1, and a value drawn at the first step counts as 0.
    Windows shrink to what fits where T is small. Chance is the variance of the target: 1/6, 1/24 for pascanu,
    a little less for hs97. Loss: squared error at the last step.
    """

    length: int
    variant: str = "urnn"

    inputs = 2
    outputs = 1
    answers = "end"
    symbols = False
    splits = ("train", "test")

    def __post_init__(self):
        one_of("adding: variant", self.variant, VARIANTS)
        shortest = VARIANTS[self.variant].shortest
        if self.length < shortest:
            raise ValueError(f"adding: length is {self.length}; variant {self.variant} needs at least {shortest}")

    @property
    def steps(self) -> int:
        if self.variant == "hs97":
            return self.length * 11 // 10
        return max(self.length, -(-self.length * 11 // 10) - 1) if self.variant == "pascanu" else self.length

    @property
    def chance(self) -> float:
        _, lowest, _, scale, *_ = VARIANTS[self.variant]
        variance = (1 - lowest) ** 2 / 12
        return scale**2 * variance * (2 - sum(self._odds_of_first_step()))

    def _odds_of_first_step(self) -> tuple[float, float]:
        """The probabilities that the first and the second mark fall on step 0, where hs97 counts a value as 0."""
        if self.variant != "hs97":
            return 0.0, 0.0
        firsts, window = min(10, self.length - 1), self.length // 2 - 1
        return 1 / firsts, sum(1 / (window - (first < window)) for first in range(1, firsts)) / firsts

    @property
    def criterion(self) -> Criterion:
        return VARIANTS[self.variant].criterion

    def load(self, split: str = "train") -> tuple[()]:
        del split  # every draw is fresh
        return ()

    def sample(self, data: Any, key: Array) -> Example:
        del data
        _, lowest, offset, scale, *_ = VARIANTS[self.variant]
        key_values, key_places = jax.random.split(key)
        values = jax.random.uniform(key_values, (self.steps,), minval=lowest)
        words = jax.random.bits(key_places, (3,), jnp.uint32)
        length = self.length + below(words[0], self.steps + 1 - self.length)
        first, second = self._marks(words[1:], length)
        time = jnp.arange(self.steps)
        one = jnp.ones_like(values)
        marks = jnp.where((time == first) | (time == second), one, 0 * one)
        a, b = values[first], values[second]
        if self.variant == "hs97":
            marks = jnp.where((time == 0) | (time == length - 1), -one, marks)
            a, b = jnp.where(first == 0, 0 * a, a), jnp.where(second == 0, 0 * b, b)
        xs = jnp.stack([values, marks], axis=1)
        targets = jnp.full(self.steps, offset + scale * (a + b))
        weights = (time == length - 1).astype(values.dtype)
        return Example(xs, targets, weights, None if self.steps == self.length else length)

    def _marks(self, words: Array, length: Array) -> tuple[Array, Array]:
        """The two marked steps, from two random words."""
        one, two = words
        half = self.length // 2

        def other(first: Array, high: int) -> Array:
            """Uniform over the steps below `high` other than `first` (which may lie beyond)."""
            within = (first < high).astype(first.dtype)
            drawn = below(two, high - within)
            return drawn + within * (drawn >= first).astype(first.dtype)

        if self.variant == "urnn":
            return below(one, half), half + below(two, self.length - half)
        if self.variant == "pascanu":
            tenth = jnp.maximum(1, length // 10)
            return below(one, tenth), tenth + below(two, length // 2 - tenth)
        if self.variant == "tcn":
            first = below(one, self.length)
            return first, other(first, self.length)
        first = below(one, min(10, self.length - 1))
        return first, other(first, half - 1 if self.variant == "hs97" else half)

    def loss(self, y: Array, target: Array) -> Array:
        return squared_error(y, target)

    def correct(self, y: Array, target: Array) -> Array:
        return jnp.abs(y[0] - target) < VARIANTS[self.variant].tolerance
