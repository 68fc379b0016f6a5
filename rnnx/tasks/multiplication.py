"""The multiplication problem: remember two marked numbers of a long noise, and give their product."""

from typing import Any

import jax.numpy as jnp
from jax import Array

from rnnx.tasks import marked
from rnnx.tasks.task import Criterion, squared_error
from rnnx.types import Example, static

VARIANTS = {  # (correct: |error| below it, criterion)
    "pascanu": (0.2, Criterion("accuracy", 0.99, 10_000, "Pascanu, Mikolov & Bengio 2013")),
    "hs97": (0.04, Criterion("accuracy", 1988 / 2000, 2000, "Hochreiter & Schmidhuber 1997, exp. 5, n_seq = 13")),
    "plrnn": (0.04, Criterion("accuracy", 0.99, 10_000, "Schmidt et al. 2021; the bound is ours")),
}


@static
class Multiplication:
    """Two channels, a value U[0,1] and a mark; after `length` steps the target is the product of the marked values.

    | variant | first mark in | second mark in | length |
    |---|---|---|---|
    | pascanu (Martens & Sutskever 2011; Pascanu, Mikolov & Bengio 2013) | [0, L/10) | [L/10, L/2) | L in [T, 1.1 T) |
    | hs97 (Hochreiter & Schmidhuber 1997, exp. 5) | [0, 10) | [0, T/2-1), another | L in [T, 1.1 T] |
    | plrnn (Schmidt et al. 2021) | [0, 10) | [0, T/2), another | T |

    The input is that of `Adding`. In hs97 the marks of the first and the last step are -1, and a value drawn at the
    first step counts as 1. Chance is the variance of the target: 7/144, a little more for hs97. Loss: squared
    error at the last step.
    """

    length: int
    variant: str = "pascanu"

    inputs = 2
    outputs = 1
    answers = "end"
    symbols = False
    splits = ("train", "test")

    def __post_init__(self):
        marked.check("multiplication", self.length, self.variant, tuple(VARIANTS))

    @property
    def steps(self) -> int:
        return marked.steps(self.variant, self.length)

    @property
    def chance(self) -> float:
        single = sum(marked.odds_of_first_step(self.variant, self.length))  # one value alone, the other being 1
        mean, square = (single / n + (1 - single) / n**2 for n in (2, 3))
        return square - mean**2

    @property
    def criterion(self) -> Criterion:
        return VARIANTS[self.variant][1]

    def load(self, split: str = "train") -> tuple[()]:
        del split  # every draw is fresh
        return ()

    def sample(self, data: Any, key: Array) -> Example:
        del data
        xs, a, b, weights, length = marked.draw(self.variant, self.length, key, lowest=0.0, neutral=1.0)
        return Example(xs, jnp.full(self.steps, a * b), weights, length)

    def loss(self, y: Array, target: Array) -> Array:
        return squared_error(y, target)

    def correct(self, y: Array, target: Array) -> Array:
        return jnp.abs(y[0] - target) < VARIANTS[self.variant][0]
