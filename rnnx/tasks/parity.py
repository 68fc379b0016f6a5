"""Parity: is the number of ones so far odd?"""

import math
from typing import Any

import jax
import jax.numpy as jnp
from jax import Array

from rnnx.tasks.task import Criterion, below, cross_entropy, is_likeliest
from rnnx.types import Example, one_of, static

VARIANTS = ("end", "steps", "variable")


@static
class Parity:
    """`length` random bits, one-hot; the answer is 1 where the number of ones so far is odd, else 0.

    | variant | length | asked |
    |---|---|---|
    | end (Bengio, Simard & Frasconi 1994) | T | at the last step |
    | steps (ours) | T | at every step, of the bits up to it |
    | variable (Deletang et al. 2022) | drawn from 1..T | at its last step |

    A change of any one bit changes the answer, so that no part of the sequence helps without the rest. Loss:
    cross-entropy in nats. Chance is that of a network which knows the time and the present bit: ln 2 after the
    first step, where the bit is the answer.
    """

    length: int
    variant: str = "end"

    inputs = 2
    outputs = 2
    symbols = True
    splits = ("train", "test")
    criterion = Criterion("accuracy", 0.99, 10_000, "ours")

    def __post_init__(self):
        one_of("parity: variant", self.variant, VARIANTS)
        if self.length < 2:
            raise ValueError(f"parity: length is {self.length}; write at least 2")

    @property
    def answers(self) -> str:
        return "steps" if self.variant == "steps" else "end"

    @property
    def steps(self) -> int:
        return self.length

    @property
    def chance(self) -> float:
        return math.log(2) * (1 if self.variant == "end" else 1 - 1 / self.length)

    @property
    def chance_last(self) -> float:
        """Of the last answer alone."""
        return self.chance if self.variant == "variable" else math.log(2)

    def load(self, split: str = "train") -> tuple[()]:
        del split  # every draw is fresh
        return ()

    def sample(self, data: Any, key: Array) -> Example:
        del data
        words = jax.random.bits(key, (self.length + 1,), jnp.uint32)
        bits = below(words[1:], 2)
        odd = jnp.cumsum(bits) % 2
        xs = jax.nn.one_hot(bits, 2)
        if self.variant == "steps":
            return Example(xs, odd, jnp.full(self.length, 1 / self.length, xs.dtype))
        varies = self.variant == "variable"
        length = 1 + below(words[0], self.length) if varies else jnp.asarray(self.length)
        weights = (jnp.arange(self.length) == length - 1).astype(xs.dtype)
        return Example(xs, jnp.full(self.length, odd[length - 1]), weights, length if varies else None)

    def loss(self, y: Array, target: Array) -> Array:
        return cross_entropy(y, target)

    def correct(self, y: Array, target: Array) -> Array:
        return is_likeliest(y, target)
