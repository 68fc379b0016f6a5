"""Forecasts of a series, one step ahead or many."""

from collections.abc import Sequence
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
from flax import nnx
from jax import Array

from rnnx.networks.layers import without_padding
from rnnx.networks.watch import Watch


class State(NamedTuple):
    body: Any
    past: Array  # [season, D], the last values read, the latest at the end


class Forecaster(nnx.Module):
    """The next value of a series, as a change of the value one season before it.

        a_t = x_{t+1-season};    y_t = a_t + scale (W body(z_0 .. z_t) + b)    [D], the forecast of x_{t+1}
        z_t = (x_t - mean) / scale, and (a_t - mean) / scale beside it if season > 1

    `mean` and `scale` are the statistics of the training data, a number for each of D columns; they are fixed. With a
    season of 1 what is learned is the step to the next value; with a longer one it is what seasonal-naive forecasts
    miss. Before its first value a series counts as having stood still there.

    `free` is how many of the last steps of a sequence it forecasts without looking: up to step T - free it reads the
    series (teacher forcing), then its own forecasts (free running). free=0 is teacher forcing throughout. A `watch`
    sees the layers while they read, not what they do freely.
    """

    def __init__(
        self,
        body: Any,
        mean: Sequence[float],
        scale: Sequence[float],
        *,
        season: int = 1,
        free: int = 0,
        rngs: nnx.Rngs,
    ):
        self.mean, self.scale = tuple(map(float, mean)), tuple(map(float, scale))
        columns, reads = len(self.mean), self.reads(len(self.mean), season)
        if len(self.scale) != columns or body.inputs != reads:
            raise ValueError(
                f"Forecaster: {columns} means, {len(self.scale)} scales and a body of {body.inputs} inputs; "
                f"give one mean and one scale for each column and a body of {reads} inputs"
            )
        if not all(scale > 0 for scale in self.scale):
            raise ValueError(f"Forecaster: scale is {self.scale}; leave out columns that are constant")
        if not body.causal:
            raise ValueError("Forecaster: the body runs backwards too and would read the future; "
                             "give one of forward layers")  # fmt: skip
        self.body, self.season, self.free = body, season, free
        self.head = nnx.Linear(body.outputs, columns, param_dtype=jnp.result_type(float), rngs=rngs)

    @staticmethod
    def reads(columns: int, season: int) -> int:
        """The inputs that the body needs."""
        return columns * (2 if season > 1 else 1)

    def __call__(
        self,
        xs: Array,
        state: State | None = None,
        *,
        length: Any = None,
        key: Array | None = None,
        watch: Watch | None = None,
    ) -> tuple[State, Array]:
        """(final state, ys [T, D]): y_t is the forecast of x_{t+1}.

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

    def forecast(self, xs: Array, steps: int, state: State | None = None) -> tuple[State, Array]:
        """(state, [steps, D]): the values that follow xs [T, D], T >= 1, each from those before."""
        state, ys = self._read(xs, state)
        state, rest = self._run(ys[-1], state, max(0, steps - 1))
        return state, jnp.concatenate([ys[-1:], rest])[:steps]

    def _read(
        self, xs: Array, state: State | None, length: Any = None, key: Any = None, watch: Any = None
    ) -> tuple[State, Array]:
        xs = without_padding(xs, length)
        mean, scale = (jnp.asarray(a, xs.dtype)[None] for a in (self.mean, self.scale))
        first = jnp.broadcast_to(xs[:1], (self.season, xs.shape[1]))
        whole = jnp.concatenate([first if state is None else state.past, xs])
        steps = xs.shape[0]
        anchors = whole[1 : steps + 1]
        past = jax.lax.dynamic_slice_in_dim(whole, steps if length is None else jnp.clip(length, 0, steps), self.season)
        read = (xs, anchors) if self.season > 1 else (xs,)
        zs = jnp.concatenate([(a - mean) / scale for a in read], axis=1)
        body, ys = self.body(zs, None if state is None else state.body, length=length, key=key, watch=watch)
        return State(body, past), anchors + scale * self.head(ys)

    def _run(self, x: Array, state: State, steps: int) -> tuple[State, Array]:
        """`steps` forecasts that follow the forecast x [D]."""

        def visit(carry: Any, _: None) -> tuple[Any, Array]:
            x, state = carry
            state, ys = self._read(x[None], state)
            return (ys[-1], state), ys[-1]

        (_, state), ys = jax.lax.scan(visit, (x, state), None, length=steps)
        return state, ys
