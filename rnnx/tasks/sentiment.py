"""Sentiment with negation: is what the sentence says good or bad?"""

import math
from typing import Any

import jax
import jax.numpy as jnp
from jax import Array

from rnnx.tasks.task import Criterion, below, cross_entropy, is_likeliest, spelled
from rnnx.types import Example, one_of, static

FILLERS = ("the", "film", "story", "was", "is", "so", "very", "really", "quite", "that", "this", "we", "all", "and")
NEGATIONS = ("not", "never")
GOOD = ("good", "great", "lovely", "superb")
BAD = ("bad", "awful", "dull", "poor")
VARIANTS = {"negation": (-1,), "double": (-2, -1), "decoy": (-1, 1)}  # where a negation may stand; 0: the verdict


@static
class Sentiment:
    """A sentence of `length` words with one verdict (good, awful, ...) that words before it may negate.

    | variant | each of these is a negation in half of the sentences | classes |
    |---|---|---|
    | negation | a word before the verdict | good; bad; not good; not bad |
    | double | two words before it, which cancel | the same, and not never good |
    | decoy | a word before it, and one after it that negates nothing | the same, and good not |

    Ours. `distance` other words stand between a negation and what it negates (the other negation, or the verdict);
    where all of this stands in the sentence is random, and so are the other words, which say nothing. The
    verdict alone says nothing about the class, 1 for good, asked at the last step; in decoy the words without
    their order leave half of the sentences open. Loss: cross-entropy in nats; chance is ln 2.
    """

    length: int
    variant: str = "negation"
    distance: int = 2

    words = FILLERS + NEGATIONS + BAD + GOOD
    inputs = len(words)
    outputs = 2
    answers = "end"
    symbols = True
    splits = ("train", "test")
    chance = math.log(2)
    criterion = Criterion("accuracy", 0.99, 10_000, "ours")

    def __post_init__(self):
        one_of("sentiment: variant", self.variant, VARIANTS)
        if self.distance < 0:
            raise ValueError(f"sentiment: distance is {self.distance}; write 0 or more")
        if self.length < self.span:
            raise ValueError(
                f"sentiment: length is {self.length}; variant {self.variant} with distance {self.distance} "
                f"needs at least {self.span}"
            )

    @property
    def steps(self) -> int:
        return self.length

    @property
    def span(self) -> int:
        """Words from the first to the last that may matter."""
        return 1 + len(VARIANTS[self.variant]) * (1 + self.distance)

    def text(self, example: Example) -> str:
        """One example as people read it."""
        return spelled(self.words, example)

    def load(self, split: str = "train") -> tuple[()]:
        del split  # every draw is fresh
        return ()

    def sample(self, data: Any, key: Array) -> Example:
        del data
        slots = VARIANTS[self.variant]
        words = jax.random.bits(key, (2 + 2 * len(slots) + self.length,), jnp.uint32)
        where, what, draws, fillers = words[0], words[1], words[2 : 2 + 2 * len(slots)], words[2 + 2 * len(slots) :]
        time = jnp.arange(self.length)
        stride = 1 + self.distance
        place = stride * sum(slot < 0 for slot in slots) + below(where, self.length + 1 - self.span)
        verdict = below(what, len(BAD + GOOD))
        good = verdict // len(BAD)
        first = len(FILLERS + NEGATIONS)
        tokens = jnp.where(time == place, first + verdict, below(fillers, len(FILLERS)))
        for i, slot in enumerate(slots):
            negated = below(draws[2 * i], 2)
            negation = len(FILLERS) + below(draws[2 * i + 1], len(NEGATIONS))
            tokens = jnp.where((time == place + slot * stride) & (negated == 1), negation, tokens)
            good = (good + negated) % 2 if slot < 0 else good
        xs = jax.nn.one_hot(tokens, self.inputs)
        return Example(xs, jnp.full(self.length, good), (time == self.length - 1).astype(xs.dtype))

    def loss(self, y: Array, target: Array) -> Array:
        return cross_entropy(y, target)

    def correct(self, y: Array, target: Array) -> Array:
        return is_likeliest(y, target)
