"""One unit: a cell at a length, every seed at every learning rate at once."""

from collections.abc import Callable
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from experiments.record import SCHEMA
from experiments.train.build import Work
from experiments.train.held_out import HeldOut
from rnnx.diagnostics import slope
from rnnx.tasks import solved
from rnnx.training import TrainState, layer_flow, steps_of

WATCHED = 32  # sequences that the gradient's flow is measured on


class Unit(NamedTuple):
    """What is measured together."""

    work: Work  # at a learning rate of 1
    seeds: tuple[int, ...]
    rates: tuple[float, ...]

    @property
    def name(self) -> tuple[str, int]:
        return self.work.cell, self.work.task.length


def measure(unit: Unit, advance: Callable[[int], None], check: Callable[[], None]) -> list[dict[str, Any]]:
    """A row for each learning rate and seed. `advance(n)` hears of updates done; `check()` may raise.

    A run has solved the task at the first look at which held-out examples meet the task's criterion. It ends there for
    the count; computing goes on until all seeds at one rate are there, or the updates are used up.
    """
    work, seeds, rates = unit
    members = [(rate, seed) for rate in rates for seed in seeds]
    held_out = HeldOut(work.task, work.model, "valid", len(members))
    keys = jax.vmap(jax.random.key)(np.array(seeds, np.uint32))
    first: TrainState = jax.jit(jax.vmap(work.learner.init))(keys)
    slopes, norms = _fade(work, first.params, held_out)
    states = jax.tree.map(lambda a: jnp.concatenate([a] * len(rates)), first)
    states = states._replace(rate=jnp.array([rate for rate, _ in members], states.rate.dtype))
    run = steps_of(work.learner, work.stages[0].plan)
    done: dict[tuple[float, int], int] = {}
    best = np.full(len(members), np.inf)
    step = 0
    while step < work.steps and not any(all((rate, seed) in done for seed in seeds) for rate in rates):
        check()
        count = min(work.eval_every, work.steps - step)
        states, _ = run(states, (), tuple(seed for _, seed in members), step, count)
        step += count
        means = held_out.look(states.params).means()
        best = np.fmin(best, means["loss"])
        for i, member in enumerate(members):
            if member not in done and solved(work.task, means["loss"][i], means["accuracy"][i]):
                done[member] = step
        advance(count)
    advance(work.steps - step)
    return [
        {
            "schema": SCHEMA,
            "cell": work.cell,
            "length": work.task.length,
            "learning_rate": rate,
            "seed": seed,
            "solved_step": done.get((rate, seed)),
            "steps": step,
            "best_loss": float(f"{best[i]:.6g}"),
            "slope_log10_per_step": float(f"{slopes[seeds.index(seed)]:.6g}"),
            "log10_norm_first": float(f"{norms[seeds.index(seed)]:.6g}"),
        }
        for i, (rate, seed) in enumerate(members)
    ]


def _fade(work: Work, params: Any, held_out: HeldOut) -> tuple[np.ndarray, np.ndarray]:
    """(slope of log10 norm per step, log10 norm at the first step), [K], at initialisation."""
    watched = held_out.some(WATCHED)
    reach = jnp.asarray(work.task.steps) if watched.length is None else jnp.min(watched.length)

    def one(params: Any) -> Any:
        curve = next(iter(layer_flow(work.model, params, watched).values())).state.mean
        return slope(curve, reach), curve[reach - 1]

    slopes, norms = jax.device_get(jax.jit(jax.vmap(one))(params))
    return slopes, norms
