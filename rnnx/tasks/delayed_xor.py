"""Delayed exclusive or: do the bits of two moments of the past differ?"""

import math
from typing import Any

import jax
import jax.numpy as jnp
from jax import Array

from rnnx.tasks.task import Criterion, below, cross_entropy, is_likeliest
from rnnx.types import Example, one_of, static

VARIANTS = ("steps", "end")


@static
class DelayedXor:
    """One channel of random bits s_t, 0 or 1; the answer at step t is |s_{t-d} - s_{t-2d}|, d the delay.

    | variant | asked |
    |---|---|
    | steps (Engelken 2023, gradient flossing) | at steps 2d, 2d + 1, ..., T - 1 |
    | end | at the last step |

    `delay` is d; 0 takes a fifth of the length. A network that answers at every step must hold 2d bits at once. Loss:
    mean cross-entropy, in nats, of the scored steps; chance is ln 2.
    """

    length: int
    variant: str = "steps"
    delay: int = 0

    inputs = 1
    outputs = 2
    symbols = False
    splits = ("train", "test")
    chance = math.log(2)
    criterion = Criterion("accuracy", 0.99, 10_000, "ours; counted over scored steps")

    def __post_init__(self):
        one_of("delayed_xor: variant", self.variant, VARIANTS)
        if self.length < 3:
            raise ValueError(f"delayed_xor: length is {self.length}; write at least 3")
        if not 0 <= self.delay <= (self.length - 1) // 2:
            raise ValueError(
                f"delayed_xor: delay is {self.delay}; at length {self.length} write 1 to {(self.length - 1) // 2}, "
                "or 0 for a fifth of the length"
            )

    @property
    def answers(self) -> str:
        return self.variant

    @property
    def steps(self) -> int:
        return self.length

    @property
    def lag(self) -> int:
        """The delay itself."""
        return self.delay or max(1, self.length // 5)

    def load(self, split: str = "train") -> tuple[()]:
        del split  # every draw is fresh
        return ()

    def sample(self, data: Any, key: Array) -> Example:
        del data
        bits = below(jax.random.bits(key, (self.length,), jnp.uint32), 2)
        near, far = jnp.roll(bits, self.lag), jnp.roll(bits, 2 * self.lag)
        targets = jnp.abs(near - far)
        xs = bits[:, None].astype(jnp.zeros(()).dtype)
        time = jnp.arange(self.length)
        if self.variant == "end":
            return Example(xs, jnp.full(self.length, targets[-1]), (time == self.length - 1).astype(xs.dtype))
        scored = time >= 2 * self.lag
        weights = scored.astype(xs.dtype) / (self.length - 2 * self.lag)
        return Example(xs, jnp.where(scored, targets, 0), weights)

    def loss(self, y: Array, target: Array) -> Array:
        return cross_entropy(y, target)

    def correct(self, y: Array, target: Array) -> Array:
        return is_likeliest(y, target)
