"""The temporal order problem: in which order did two or three marked symbols come?"""

import math
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
from jax import Array

from rnnx.tasks.task import Criterion, below, cross_entropy, is_likeliest
from rnnx.types import Example, one_of, static


class Variant(NamedTuple):
    starts: tuple[int, ...]  # of the windows of the marked symbols, in hundredths of the length
    sentinels: bool
    shortest: int  # the shortest length at which the windows are apart
    criterion: Criterion


def _hs97(name: str) -> Criterion:
    return Criterion("accuracy", 1.0, 2000, f"Hochreiter & Schmidhuber 1997, exp. {name}, but for its mean error")


PASCANU = Criterion("accuracy", 0.99, 10_000, "Pascanu, Mikolov & Bengio 2013")
VARIANTS = {
    "pascanu": Variant((10, 50), False, 2, PASCANU),
    "pascanu_three": Variant((10, 30, 60), False, 4, PASCANU),
    "hs97": Variant((10, 50), True, 4, _hs97("6a")),
    "hs97_three": Variant((10, 33, 66), True, 5, _hs97("6b")),
}
KINDS, FILLERS = 2, 4


@static
class TemporalOrder:
    """Symbols one by one, all of four kinds that say nothing but two (or three) marked ones, each X or Y.

    | variant | marked symbols in | length | symbols |
    |---|---|---|---|
    | pascanu (Pascanu, Mikolov & Bengio 2013, their code) | [.1T, .2T), [.5T, .6T) | T | XYabcd |
    | pascanu_three (the same) | [.1T, .2T), [.3T, .4T), [.6T, .7T) | T | XYabcd |
    | hs97 (Hochreiter & Schmidhuber 1997, exp. 6a) | [.1T, .2T], [.5T, .6T] | L in [T, 1.1 T] | XYabcdEB |
    | hs97_three (exp. 6b) | [.1T, .2T], [.33T, .43T], [.66T, .76T] | L in [T, 1.1 T] | XYabcdEB |

    The class, asked at the last step, is the sum of v_i 2^i, v_i = 0 for X and 1 for Y at place i = 0, 1, 2. In
    hs97 the first symbol is E and the last one B; their published lengths are those of T = 100. Loss: cross-entropy
    in nats. Chance is ln 4, with three marked symbols ln 8. An answer of hs97 is correct where every
    class's probability is less than 0.3 from the truth.
    """

    length: int
    variant: str = "pascanu"

    answers = "end"
    symbols = True
    splits = ("train", "test")

    def __post_init__(self):
        one_of("temporal_order: variant", self.variant, VARIANTS)
        shortest = VARIANTS[self.variant].shortest
        if self.length < shortest:
            raise ValueError(
                f"temporal_order: length is {self.length}; variant {self.variant} needs at least {shortest}"
            )

    @property
    def alphabet(self) -> tuple[str, ...]:
        """What the positions 0, 1, ... stand for."""
        return tuple("XYabcdEB" if VARIANTS[self.variant].sentinels else "XYabcd")

    @property
    def inputs(self) -> int:
        return len(self.alphabet)

    @property
    def outputs(self) -> int:
        return KINDS ** len(VARIANTS[self.variant].starts)

    @property
    def steps(self) -> int:
        return self.length * 11 // 10 if VARIANTS[self.variant].sentinels else self.length

    @property
    def chance(self) -> float:
        return math.log(self.outputs)

    @property
    def criterion(self) -> Criterion:
        return VARIANTS[self.variant].criterion

    def windows(self) -> list[tuple[int, int]]:
        """(first step, number of steps) where each marked symbol may stand; at small T they shrink to what fits."""
        starts, sentinels, *_ = VARIANTS[self.variant]
        width = max(1, self.length // 10 + sentinels)
        return [(max(i + sentinels, self.length * start // 100), width) for i, start in enumerate(starts)]

    def load(self, split: str = "train") -> tuple[()]:
        del split  # every draw is fresh
        return ()

    def sample(self, data: Any, key: Array) -> Example:
        del data
        windows = self.windows()
        words = jax.random.bits(key, (1 + 2 * len(windows) + self.steps,), jnp.uint32)
        length = self.length + below(words[0], self.steps + 1 - self.length)
        time = jnp.arange(self.steps)
        tokens = KINDS + below(words[1 + 2 * len(windows) :], FILLERS)
        target = jnp.zeros_like(length)
        for i, (start, width) in enumerate(windows):
            place, kind = start + below(words[1 + 2 * i], width), below(words[2 + 2 * i], KINDS)
            tokens = jnp.where(time == place, kind, tokens)
            target = target + kind * KINDS**i
        if VARIANTS[self.variant].sentinels:
            tokens = jnp.where(time == 0, 6, jnp.where(time == length - 1, 7, tokens))
        xs = jax.nn.one_hot(tokens, self.inputs)
        weights = (time == length - 1).astype(xs.dtype)
        return Example(xs, jnp.full(self.steps, target), weights, None if self.steps == self.length else length)

    def loss(self, y: Array, target: Array) -> Array:
        return cross_entropy(y, target)

    def correct(self, y: Array, target: Array) -> Array:
        if VARIANTS[self.variant].sentinels:  # then the other probabilities are below 0.3 too
            return cross_entropy(y, target) < -math.log(0.7)
        return is_likeliest(y, target)
