"""Tasks so plain that what a batch holds can be read off it."""

from dataclasses import dataclass
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from rnnx.types import Example

LENGTHS = np.random.default_rng(0).integers(1, 13, size=103)


@dataclass(frozen=True)
class Numbered:
    """Example i is the number i, `lengths[i]` steps long."""

    steps: int = 12

    def count(self, data: Any) -> int:
        return len(data)

    def lengths(self, data: Any) -> Any:
        return data

    def example(self, data: Any, index: Any) -> Example:
        xs = jnp.full((self.steps, 1), index, float)
        return Example(xs, jnp.zeros(self.steps), jnp.ones(self.steps), jnp.asarray(data)[index])


@dataclass(frozen=True)
class Tape:
    """Windows on 0, 1, 2, ...; the target is the number that follows."""

    length: int = 5

    @property
    def steps(self) -> int:
        return self.length

    def count(self, data: Any) -> int:
        return len(data) - self.length

    def example(self, data: Any, index: Any) -> Example:
        window = jax.lax.dynamic_slice(jnp.asarray(data), (index,), (self.length + 1,))
        return Example(window[:-1], window[1:], jnp.ones(self.length))
