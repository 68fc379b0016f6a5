"""Many to one: one answer for a whole sequence."""

from typing import Any

import jax.numpy as jnp
from flax import nnx
from jax import Array

from rnnx.networks.watch import Watch
from rnnx.types import one_of

POOLS = ("last", "mean", "max")


class Classifier(nnx.Module):
    """A linear function of a summary of the sequence: scores of classes, or numbers to regress.

        y = W pool(ys) + b    [O]

    `pool` "last" is what each direction says where it ends: forward layers at the last valid step, backward ones at the
    first; "mean" and "max" go over the valid steps. A sequence of length 0 has the summary 0.
    """

    def __init__(self, body: Any, outputs: int, *, pool: str = "last", rngs: nnx.Rngs):
        one_of("Classifier.pool", pool, POOLS)
        self.body, self.pool = body, pool
        self.head = nnx.Linear(body.outputs, outputs, param_dtype=jnp.result_type(float), rngs=rngs)

    def __call__(
        self,
        xs: Array,
        state: Any = None,
        *,
        length: Any = None,
        key: Array | None = None,
        watch: Watch | None = None,
    ) -> tuple[Any, Array]:
        """(final states, y [O])"""
        state, ys = self.body(xs, state, length=length, key=key, watch=watch)
        return state, self.head(self._summary(ys, length))

    def _summary(self, ys: Array, length: Any) -> Array:
        steps = ys.shape[0]
        if not steps:
            return jnp.zeros(ys.shape[1:], ys.dtype)
        length = jnp.clip(jnp.asarray(steps if length is None else length), 0, steps)
        valid = (jnp.arange(steps, dtype=length.dtype) < length)[:, None]
        empty = length == 0
        if self.pool == "mean":
            count = jnp.maximum(length, jnp.ones_like(length)).astype(ys.dtype)
            return jnp.sum(jnp.where(valid, ys, jnp.zeros_like(ys)), axis=0) / count
        if self.pool == "max":
            top = jnp.max(jnp.where(valid, ys, jnp.full_like(ys, -jnp.inf)), axis=0)
            return jnp.where(empty, jnp.zeros_like(top), top)
        last, parts, start = jnp.maximum(length - 1, 0), [], 0
        for width, reverse in self.body.directions:
            part = ys[:, start : start + width]
            parts.append(part[0] if reverse else part[last])
            start += width
        return jnp.where(empty, jnp.zeros_like(ys[0]), jnp.concatenate(parts))
