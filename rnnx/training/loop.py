"""S steps of K seeds as one compiled function, between two looks at the world."""

from collections.abc import Callable
from functools import partial
from typing import Any

import jax
import numpy as np
from jax import Array

from rnnx.training.batches import cut
from rnnx.training.learner import Learner, Metrics, TrainState


def steps_of(
    learner: Learner, plan: Any, mesh: jax.sharding.Mesh | None = None
) -> Callable[..., tuple[TrainState, Metrics]]:
    """run(states, data, seeds, first, count) -> (states, metrics [count, K]).

    `states` is a TrainState of K seeds, leaves [K, ...], and is used up. Batches are those of `plan` from step `first`
    on; all must be of one width. Compiled once for each count and width.

    With a `mesh` of one axis every batch is divided among its devices: each draws its own part, losses and gradients
    are averaged, and all make the same steps, those of one device but for rounding. What is dropped out and what
    seeds draw does not depend on the number of devices. `specs` says which leaves of the states are divided.
    """
    axis = None if mesh is None else _axis(mesh)
    if mesh is not None and plan.size % mesh.size:
        raise ValueError(
            f"steps_of: batches of {plan.size} examples for {mesh.size} devices; write a multiple of {mesh.size}"
        )

    def steps(width: int, states: TrainState, data: Any, drawn: Array, begins: Array) -> tuple[TrainState, Metrics]:
        def one(state: TrainState, numbers: Array, begins: Array) -> Any:
            if axis is None:
                return learner.update(state, cut(plan.fetch(data, numbers), width), begins)
            return learner.update(state, cut(plan.fetch(data, numbers, axis), width), begins, axis)

        def step(states: TrainState, now: Any) -> Any:
            numbers, begins = now
            return jax.vmap(one, (0, 0, None))(states, numbers, begins)

        return jax.lax.scan(step, states, (drawn, begins))

    @partial(jax.jit, static_argnames="width", donate_argnames="states")
    def compiled(states: TrainState, data: Any, drawn: Array, begins: Array, width: int) -> Any:
        run = partial(steps, width)
        if mesh is not None:
            everywhere, divided = jax.P(), specs(mesh)
            into, out = (divided, everywhere, everywhere, everywhere), (divided, everywhere)
            run = jax.shard_map(run, mesh=mesh, in_specs=into, out_specs=out, check_vma=False)
        return run(states, data, drawn, begins)

    def run(states: TrainState, data: Any, seeds: tuple[int, ...], first: int, count: int) -> Any:
        steps = range(first, first + count)
        widths = {plan.width(step) for step in steps}
        if len(widths) != 1:
            raise ValueError(f"steps {first} to {first + count - 1} are of widths {sorted(widths)}; run them apart")
        drawn = np.stack([np.stack([plan.draw(seed, step) for seed in seeds]) for step in steps])
        return compiled(states, data, drawn, np.array([plan.begins(step) for step in steps]), widths.pop())

    return run


def specs(mesh: jax.sharding.Mesh) -> Any:
    """How the states of K seeds lie on a mesh: those carried from batch to batch are divided, the rest is everywhere.

    A prefix of such a TrainState, of `jax.P`.
    """
    divided = {"states": jax.P(None, _axis(mesh))}
    return TrainState._make(divided.get(name, jax.P()) for name in TrainState._fields)


def _axis(mesh: jax.sharding.Mesh) -> str:
    if len(mesh.axis_names) != 1:
        raise ValueError(f"steps_of: a mesh with axes {mesh.axis_names}; make one with a single axis")
    return mesh.axis_names[0]
