"""The adding problem: remember two marked numbers of a long noise, and give their sum."""

from typing import Any, NamedTuple

import jax.numpy as jnp
from jax import Array

from rnnx.tasks import marked
from rnnx.tasks.task import Criterion, squared_error
from rnnx.types import Example, static

TENTH_OF_CHANCE = Criterion("loss", 1 / 60, 1000, "a tenth of chance, 1/6; ours")


class Variant(NamedTuple):
    lowest: float  # values are U[lowest, 1]
    offset: float  # target = offset + scale (a + b)
    scale: float
    tolerance: float  # correct: |error| below it
    criterion: Criterion


VARIANTS = {
    "urnn": Variant(0.0, 0.0, 1.0, 0.04, TENTH_OF_CHANCE),
    "tcn": Variant(0.0, 0.0, 1.0, 0.04, TENTH_OF_CHANCE),
    "hs97": Variant(-1.0, 0.5, 0.25, 0.04, Criterion("accuracy", 1.0, 2000, "Hochreiter & Schmidhuber 1997, exp. 4")),
    "pascanu": Variant(0.0, 0.0, 0.5, 0.2, Criterion("accuracy", 0.99, 10_000, "Pascanu, Mikolov & Bengio 2013")),
    "plrnn": Variant(
        0.0, 0.0, 1.0, 0.04, Criterion("accuracy", 0.99, 10_000, "Schmidt et al. 2021; the bound is ours")
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
        marked.check("adding", self.length, self.variant, tuple(VARIANTS))

    @property
    def steps(self) -> int:
        return marked.steps(self.variant, self.length)

    @property
    def chance(self) -> float:
        lowest, _, scale, *_ = VARIANTS[self.variant]
        variance = (1 - lowest) ** 2 / 12
        return scale**2 * variance * (2 - sum(marked.odds_of_first_step(self.variant, self.length)))

    @property
    def criterion(self) -> Criterion:
        return VARIANTS[self.variant].criterion

    def load(self, split: str = "train") -> tuple[()]:
        del split  # every draw is fresh
        return ()

    def sample(self, data: Any, key: Array) -> Example:
        del data
        lowest, offset, scale, *_ = VARIANTS[self.variant]
        xs, a, b, weights, length = marked.draw(self.variant, self.length, key, lowest, neutral=0.0)
        return Example(xs, jnp.full(self.steps, offset + scale * (a + b)), weights, length)

    def loss(self, y: Array, target: Array) -> Array:
        return squared_error(y, target)

    def correct(self, y: Array, target: Array) -> Array:
        return jnp.abs(y[0] - target) < VARIANTS[self.variant].tolerance
