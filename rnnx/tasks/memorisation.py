"""Noiseless memorisation: repeat a short message after a long silence."""

import math
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
from jax import Array

from rnnx.tasks.task import Criterion, below, cross_entropy, is_likeliest
from rnnx.types import Example, one_of, static


class Variant(NamedTuple):
    symbols: int  # in the message
    kinds: int


VARIANTS = {"mem5": Variant(5, 2), "mem20": Variant(10, 5)}


@static
class Memorisation:
    """A message of n symbols, T = `length` blanks, and a cue: from the cue on, n steps repeat the message.

    | variant | message | sequences |
    |---|---|---|
    | mem5, "5 bits" (Martens & Sutskever 2011; Pascanu, Mikolov & Bengio 2013) | 5 symbols of 2 kinds | 32 |
    | mem20, "20 bits" (the same) | 10 symbols of 5 kinds | 9,765,625 |

    As in Pascanu's code: n symbols, T blanks, the cue, n - 1 blanks; the target is blank before the cue. Inputs are
    one-hot over the kinds, blank and cue, outputs scores of the kinds and blank. Loss: mean cross-entropy, in
    nats, of all T + 2n steps. Chance is what a network reaches that knows the time but remembers nothing:
    n ln(kinds) / (T + 2n). Solved: at most 1 % of the symbols that follow the cue are wrong.
    """

    length: int
    variant: str = "mem5"

    answers = "steps"
    symbols = True
    splits = ("train", "test")

    def __post_init__(self):
        one_of("memorisation: variant", self.variant, VARIANTS)
        if self.length < 1:
            raise ValueError(f"memorisation: length is {self.length}; write a delay of at least 1")

    @property
    def inputs(self) -> int:
        return VARIANTS[self.variant].kinds + 2

    @property
    def outputs(self) -> int:
        return VARIANTS[self.variant].kinds + 1

    @property
    def steps(self) -> int:
        return self.length + 2 * VARIANTS[self.variant].symbols

    @property
    def chance(self) -> float:
        return self.chance_last * self._share

    @property
    def chance_last(self) -> float:
        """Of the last answer alone."""
        return math.log(VARIANTS[self.variant].kinds)

    @property
    def criterion(self) -> Criterion:
        source = "1 % wrong, Martens & Sutskever 2011; counted over symbols, ours"
        return Criterion("accuracy", 1 - self._share / 100, 10_000, source)

    @property
    def _share(self) -> float:
        """Of the steps that follow the cue, in all steps."""
        return VARIANTS[self.variant].symbols / self.steps

    def load(self, split: str = "train") -> tuple[()]:
        del split  # every draw is fresh
        return ()

    def sample(self, data: Any, key: Array) -> Example:
        del data
        n, kinds = VARIANTS[self.variant]
        blank, cue = kinds, kinds + 1
        message = below(jax.random.bits(key, (n,), jnp.uint32), kinds)
        silence = jnp.full(self.length, blank, message.dtype)
        pause = jnp.full(n, blank, message.dtype)
        tokens = jnp.concatenate([message, silence, pause.at[0].set(cue)])
        targets = jnp.concatenate([pause, silence, message])
        xs = jax.nn.one_hot(tokens, self.inputs)
        return Example(xs, targets, jnp.full(self.steps, 1 / self.steps, xs.dtype))

    def loss(self, y: Array, target: Array) -> Array:
        return cross_entropy(y, target)

    def correct(self, y: Array, target: Array) -> Array:
        return is_likeliest(y, target)
