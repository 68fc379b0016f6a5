"""Many to many: an answer at every step."""

from typing import Any

import jax.numpy as jnp
from flax import nnx
from jax import Array

from rnnx.networks.watch import Watch


class Tagger(nnx.Module):
    """A linear function of the body's output at every step: y_t = W h_t + b, [T, O].

    What it says at and after `length` means nothing. `bias` is where every b starts: log odds far from 0 where
    almost all answers are no.
    """

    def __init__(self, body: Any, outputs: int, *, bias: float = 0.0, rngs: nnx.Rngs):
        self.body = body
        start = nnx.initializers.constant(bias)
        self.head = nnx.Linear(body.outputs, outputs, bias_init=start, param_dtype=jnp.result_type(float), rngs=rngs)

    def __call__(
        self,
        xs: Array,
        state: Any = None,
        *,
        length: Any = None,
        key: Array | None = None,
        watch: Watch | None = None,
    ) -> tuple[Any, Array]:
        """(final states, ys [T, O])"""
        state, ys = self.body(xs, state, length=length, key=key, watch=watch)
        return state, self.head(ys)
