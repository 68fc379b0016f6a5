"""The copy problem: repeat ten symbols after a delay."""

import math
from typing import Any

import jax
import jax.numpy as jnp
from jax import Array

from rnnx.tasks.task import Criterion, below, cross_entropy, is_likeliest
from rnnx.types import Example, one_of, static

SYMBOLS, KINDS = 10, 8  # ten symbols to copy, of eight kinds
BLANK, MARKER = 8, 9
VARIANTS = ("urnn", "tcn", "exprnn", "s4", "variable")


@static
class Copy:
    """Ten symbols of eight kinds, a delay of T = `length`, a marker that asks for them, ten steps to answer.

    | variant | sequence | scored |
    |---|---|---|
    | urnn (Arjovsky, Shah & Bengio 2016) | 10 symbols, T-1 blanks, marker, 10 blanks | all T+20 steps |
    | tcn (Bai, Kolter & Koltun 2018) | 10 symbols, T-1 blanks, 11 markers | all T+20 steps |
    | exprnn (Lezcano-Casado & Martinez-Rubio 2019) | 10 symbols, T blanks, marker, 9 blanks | all T+20 steps |
    | s4 (Gu et al., state-spaces repository) | 10 symbols, T blanks, 10 markers | the 10 answers |
    | variable (Henaff et al. 2016; Tallec & Ollivier 2018) | as urnn, the delay drawn from 1..T | all its steps |

    Inputs are one-hot over ten (eight kinds, blank, marker), outputs scores of nine (eight kinds, blank). The loss is
    the mean cross-entropy, in nats, of the scored steps. Chance is what a network reaches that knows the
    time but remembers nothing: 10 ln 8 / (T + 20) where all steps are scored, ln 8 where the answers are.
    """

    length: int
    variant: str = "urnn"

    inputs = 10
    outputs = 9
    answers = "steps"
    symbols = True
    splits = ("train", "test")
    criterion = Criterion("accuracy", 0.999, 1000, "ours; counted over scored steps")

    def __post_init__(self):
        one_of("copy: variant", self.variant, VARIANTS)
        if self.length < 1:
            raise ValueError(f"copy: length is {self.length}; write a delay of at least 1")

    @property
    def steps(self) -> int:
        return self.length + 2 * SYMBOLS

    @property
    def chance(self) -> float:
        if self.variant == "s4":
            return math.log(KINDS)
        delays = range(1, self.length + 1) if self.variant == "variable" else [self.length]
        shares = [SYMBOLS / (delay + 2 * SYMBOLS) for delay in delays]
        return math.log(KINDS) * sum(shares) / len(shares)

    @property
    def chance_last(self) -> float:
        """Of the last answer alone."""
        return math.log(KINDS)

    def load(self, split: str = "train") -> tuple[()]:
        del split  # every draw is fresh
        return ()

    def sample(self, data: Any, key: Array) -> Example:
        del data
        words = jax.random.bits(key, (SYMBOLS + 1,), jnp.uint32)
        symbols = below(words[:SYMBOLS], KINDS)
        varies = self.variant == "variable"
        delay = 1 + below(words[SYMBOLS], self.length) if varies else jnp.asarray(self.length)
        length = delay + 2 * SYMBOLS
        answer = length - SYMBOLS  # the step of the first answer
        time = jnp.arange(self.steps)
        ask = answer if self.variant in ("exprnn", "s4") else answer - 1
        asked = time >= ask if self.variant in ("tcn", "s4") else time == ask
        tokens = jnp.where(time < SYMBOLS, symbols[jnp.minimum(time, SYMBOLS - 1)], jnp.where(asked, MARKER, BLANK))
        answers = (time >= answer) & (time < length)
        targets = jnp.where(answers, symbols[jnp.clip(time - answer, 0, SYMBOLS - 1)], BLANK)
        scored = answers if self.variant == "s4" else time < length
        weights = scored.astype(jnp.zeros(()).dtype)
        weights = weights / jnp.sum(weights)
        return Example(jax.nn.one_hot(tokens, 10), targets, weights, length if varies else None)

    def loss(self, y: Array, target: Array) -> Array:
        return cross_entropy(y, target)

    def correct(self, y: Array, target: Array) -> Array:
        return is_likeliest(y, target)
