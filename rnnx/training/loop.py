"""S steps of K seeds as one compiled function, between two looks at the world."""

from collections.abc import Callable
from functools import partial
from typing import Any

import jax
import numpy as np
from jax import Array

from rnnx.training.batches import cut
from rnnx.training.learner import Learner, Metrics, TrainState


def steps_of(learner: Learner, plan: Any) -> Callable[..., tuple[TrainState, Metrics]]:
    """run(states, data, seeds, first, count) -> (states, metrics [count, K]).

    `states` is a TrainState of K seeds, leaves [K, ...], and is used up. Batches are those of `plan` from step `first`
    on; all must be of one width. Compiled once for each count and width.
    """

    @partial(jax.jit, static_argnames="width", donate_argnames="states")
    def compiled(states: TrainState, data: Any, drawn: Array, begins: Array, width: int) -> Any:
        def one(state: TrainState, numbers: Array, begins: Array) -> Any:
            return learner.update(state, cut(plan.fetch(data, numbers), width), begins)

        def step(states: TrainState, now: Any) -> Any:
            numbers, begins = now
            return jax.vmap(one, (0, 0, None))(states, numbers, begins)

        return jax.lax.scan(step, states, (drawn, begins))

    def run(states: TrainState, data: Any, seeds: tuple[int, ...], first: int, count: int) -> Any:
        steps = range(first, first + count)
        widths = {plan.width(step) for step in steps}
        if len(widths) != 1:
            raise ValueError(f"steps {first} to {first + count - 1} are of widths {sorted(widths)}; run them apart")
        drawn = np.stack([np.stack([plan.draw(seed, step) for seed in seeds]) for step in steps])
        return compiled(states, data, drawn, np.array([plan.begins(step) for step in steps]), widths.pop())

    return run
