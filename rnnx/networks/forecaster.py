"""Forecasts of a series, one step ahead or many."""

from collections.abc import Sequence
from typing import Any

import jax
import jax.numpy as jnp
from flax import nnx
from jax import Array

from rnnx.networks.layers import without_padding
from rnnx.networks.watch import Watch


class Forecaster(nnx.Module):
    """The next value of a series, from the values so far.

        z_t = (x_t - mean) / scale;    y_t = x_t + scale (W body(z_0 .. z_t) + b)    [D], the forecast of x_{t+1}

    `mean` and `scale` are the statistics of the training data, a number for each of D columns; they are fixed. What is
    learned is the change, so that an untrained network says what was last seen.

    `free` is how many of the last steps of a sequence it forecasts without looking: up to step T - free it reads the
    series (teacher forcing), then its own forecasts (free running). free=0 is teacher forcing throughout. A `watch`
    sees the layers while they read, not what they do freely.
    """

    def __init__(self, body: Any, mean: Sequence[float], scale: Sequence[float], *, free: int = 0, rngs: nnx.Rngs):
        self.mean, self.scale = tuple(map(float, mean)), tuple(map(float, scale))
        if not len(self.mean) == len(self.scale) == body.inputs:
            raise ValueError(
                f"Forecaster: {len(self.mean)} means and {len(self.scale)} scales for a body of {body.inputs} inputs; "
                "give one of each for every column"
            )
        if not all(scale > 0 for scale in self.scale):
            raise ValueError(f"Forecaster: scale is {self.scale}; leave out columns that are constant")
        if not body.causal:
            raise ValueError("Forecaster: the body runs backwards too and would read the future; "
                             "give one of forward layers")  # fmt: skip
        self.body, self.free = body, free
        self.head = nnx.Linear(body.outputs, body.inputs, param_dtype=jnp.result_type(float), rngs=rngs)

    def __call__(
        self,
        xs: Array,
        state: Any = None,
        *,
        length: Any = None,
        key: Array | None = None,
        watch: Watch | None = None,
    ) -> tuple[Any, Array]:
        """(final states, ys [T, D]): y_t is the forecast of x_{t+1}.

        With `free`, `length` must be None: what is forecast freely lies at the end.
        """
        if not self.free:
            return self._read(xs, state, length, key, watch)
        if length is not None:
            raise ValueError("Forecaster: free running of sequences of several lengths; give length=None")
        seen = xs.shape[0] - self.free
        if seen < 1:
            raise ValueError(f"Forecaster: free is {self.free} for {xs.shape[0]} steps; leave at least one to read")
        state, ys = self._read(xs[:seen], state, None, key, watch)
        state, rest = self._run(ys[-1], state, self.free)
        return state, jnp.concatenate([ys, rest])

    def forecast(self, xs: Array, steps: int, state: Any = None) -> tuple[Any, Array]:
        """(state, [steps, D]): the values that follow xs [T, D], T >= 1, each from those before."""
        state, ys = self._read(xs, state, None, None, None)
        state, rest = self._run(ys[-1], state, max(0, steps - 1))
        return state, jnp.concatenate([ys[-1:], rest])[:steps]

    def _read(self, xs: Array, state: Any, length: Any, key: Any, watch: Any) -> tuple[Any, Array]:
        xs = without_padding(xs, length)
        mean, scale = (jnp.asarray(a, xs.dtype) for a in (self.mean, self.scale))
        state, ys = self.body((xs - mean[None]) / scale[None], state, length=length, key=key, watch=watch)
        return state, xs + scale[None] * self.head(ys)

    def _run(self, x: Array, state: Any, steps: int) -> tuple[Any, Array]:
        """`steps` forecasts that follow the forecast x [D]."""

        def visit(carry: Any, _: None) -> tuple[Any, Array]:
            x, state = carry
            state, ys = self._read(x[None], state, None, None, None)
            return (ys[-1], state), ys[-1]

        (_, state), ys = jax.lax.scan(visit, (x, state), None, length=steps)
        return state, ys
