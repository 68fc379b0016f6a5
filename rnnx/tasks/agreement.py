"""Subject-verb agreement: was it, or were they, with other nouns in between?"""

import math
from typing import Any

import jax
import jax.numpy as jnp
from jax import Array

from rnnx.tasks.task import Criterion, below, cross_entropy, is_likeliest, spelled
from rnnx.types import Example, one_of, static

PREPOSITIONS = ("on", "near", "behind", "under", "beside")
ADJECTIVES = ("old", "small", "red", "plain", "heavy", "quiet")
ADVERBS = ("often", "always", "still", "usually", "once", "rarely")
SINGULAR = ("book", "key", "shelf", "window", "table", "picture", "friend", "box")
PLURAL = ("books", "keys", "shelves", "windows", "tables", "pictures", "friends", "boxes")
VARIANTS = ("random", "opposite")


@static
class Agreement:
    """A subject, nouns that distract from it, an adverb; then the verb's number: 0 for was, 1 for were.

    "the old book on the shelves near the window often": was. Each of `attractors` phrases (a preposition, the, a
    noun) puts one noun between the subject and the verb. The sentence has `length` words: 3 + 3 attractors, and
    the rest adjectives before any of the nouns or more adverbs at the end, as it falls.

    | variant | number of an attractor | the last noun misleads |
    |---|---|---|
    | random | random | in half of the sentences |
    | opposite | never the subject's | in all |

    Ours, after the question of Linzen, Dupoux & Goldberg 2016. Train on random and test on opposite: a network trained
    on opposite may answer from any noun. Loss: cross-entropy in nats, at the last step; chance, that of the adverb
    there, is ln 2.
    """

    length: int
    variant: str = "random"
    attractors: int = 1

    words = ("the", *PREPOSITIONS, *ADJECTIVES, *ADVERBS, *SINGULAR, *PLURAL)
    inputs = len(words)
    outputs = 2
    answers = "end"
    symbols = True
    splits = ("train", "test")
    chance = math.log(2)
    criterion = Criterion("accuracy", 0.99, 10_000, "ours")

    def __post_init__(self):
        one_of("agreement: variant", self.variant, VARIANTS)
        if self.attractors < 0:
            raise ValueError(f"agreement: attractors is {self.attractors}; write 0 or more")
        if self.length < self.shortest:
            raise ValueError(
                f"agreement: length is {self.length}; with attractors={self.attractors} "
                f"a sentence has at least {self.shortest} words"
            )

    @property
    def steps(self) -> int:
        return self.length

    @property
    def shortest(self) -> int:
        """Words of a sentence without adjectives, and with one adverb."""
        return 3 + 3 * self.attractors

    def text(self, example: Example) -> str:
        """One example as people read it."""
        return spelled(self.words, example)

    def load(self, split: str = "train") -> tuple[()]:
        del split  # every draw is fresh
        return ()

    def sample(self, data: Any, key: Array) -> Example:
        del data
        many = self.attractors + 1  # nouns
        spare = self.length - self.shortest
        draws = jax.random.bits(key, (self.length + many + spare,), jnp.uint32)
        kinds, numbers, places = (
            draws[: self.length],
            below(draws[self.length :][:many], 2),
            draws[self.length + many :],
        )
        if self.variant == "opposite":
            numbers = jnp.where(jnp.arange(many) == 0, numbers[0], 1 - numbers[0])
        # Each spare word goes before one of the nouns, or to the end.
        before = jnp.sum(below(places, many + 1)[:, None] <= jnp.arange(many)[None], axis=0)
        nouns = 1 + 3 * jnp.arange(many) + before
        time = jnp.arange(self.length)

        def at(steps: Array) -> Array:
            return jnp.any(time[:, None] == steps[None], axis=1)

        def one(first: str, words: tuple[str, ...]) -> Array:
            return self.words.index(first) + below(kinds, len(words))

        number = numbers[jnp.minimum(jnp.sum(time[:, None] > nouns[None], axis=1), many - 1)]
        tokens = jnp.where(time > nouns[-1], one("often", ADVERBS), one("old", ADJECTIVES))
        tokens = jnp.where(at(nouns), one("book", SINGULAR) + len(SINGULAR) * number, tokens)
        tokens = jnp.where(at(nouns[:-1] + 1), one("on", PREPOSITIONS), tokens)
        tokens = jnp.where((time == 0) | at(nouns[:-1] + 2), self.words.index("the"), tokens)
        xs = jax.nn.one_hot(tokens, self.inputs)
        return Example(xs, jnp.full(self.length, numbers[0]), (time == self.length - 1).astype(xs.dtype))

    def loss(self, y: Array, target: Array) -> Array:
        return cross_entropy(y, target)

    def correct(self, y: Array, target: Array) -> Array:
        return is_likeliest(y, target)
