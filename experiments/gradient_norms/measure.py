"""One unit of the grid: a cell at a length, all its seeds at once."""

import hashlib
from collections.abc import Callable
from functools import partial
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jax import Array

from experiments.exits import NonFinite
from experiments.record import SCHEMA
from rnnx.cells import spell
from rnnx.diagnostics import Flow, flow, half_life, share_below_float32, slope
from rnnx.gradients import BPTT
from rnnx.tasks import TASKS, batch, last_scored
from rnnx.training import Learner, OfCell, Rule
from rnnx.types import Example

CHUNK = 20  # steps of training between two looks at the world


class Unit(NamedTuple):
    """What is measured together: the network (a Readout), the task at one length, and how it trains."""

    network: Any
    task: Any
    seeds: tuple[int, ...]
    batch_size: int
    last: bool  # the loss of the last scored step alone
    train_steps: int
    optimizer: str
    learning_rate: float
    method: Any
    padded: Any = None  # the task whose steps its measured examples are padded to: units of one such share a program

    @property
    def cell(self) -> str:
        return spell(self.network.cell)

    @property
    def work(self) -> int:
        """Steps of progress: one for each measurement, one for each step of training."""
        return 1 + (self.train_steps + 1 if self.train_steps else 0)

    def learner(self) -> Learner:
        model = OfCell(self.network, self.task.loss, BPTT(self.method))
        return Learner(model, Rule(self.optimizer, self.learning_rate))


class Summary(NamedTuple):
    """What a row says, by seed."""

    loss: Array
    log10_norm_first: Array  # at the longest lag that every example reaches
    log10_norm_last: Array  # at lag 0
    slope_log10_per_step: Array
    half_life_steps: Array
    share_below_float32: Array
    log10_input_norm_first: Array
    log10_parameter_norm: Array
    blocks: Any  # log10 norm of the parameters' gradient, block by block


def measure(
    unit: Unit, data: Any, advance: Callable[[int], None], check: Callable[[], None]
) -> tuple[list[dict[str, Any]], dict[str, np.ndarray]]:
    """(rows of results.jsonl, arrays of flow.npz) of one unit. `advance(n)` hears of work done; `check()` may raise.


    Seeds are vmapped; each has its own parameters, its own measured batch and its own training data, which
    depend on the seed alone.
    """
    keys = jax.vmap(lambda seed: jax.random.split(jax.random.key(seed), 3))(np.array(unit.seeds, np.uint32))
    params, examples = _init(unit.network, keys[:, 0]), _draw(unit, data, keys[:, 1], 0)
    rows, arrays = [], {}
    for trained_steps in dict.fromkeys((0, unit.train_steps)):
        if trained_steps:
            check()
            params = _train(unit, params, data, keys[:, 2], advance, check)
        curves, summary = _measured(unit, params, examples)
        where = f"{unit.cell}/{unit.task.length}/{trained_steps}"
        arrays |= {
            f"{where}/state_mean": curves.state.mean,
            f"{where}/state_of_mean": curves.state.of_mean,
            f"{where}/input_mean": curves.inputs.mean,
        }
        host = jax.device_get(params)
        rows += [_row(unit, trained_steps, i, summary, host) for i in range(len(unit.seeds))]
        advance(1)
    return rows, arrays


@partial(jax.jit, static_argnames="network")
def _init(network: Any, keys: Array) -> Any:
    """Parameters of every seed; compiled once for all lengths."""
    return jax.vmap(network.init)(keys)


def _draw(unit: Unit, data: Any, keys: Array, step: int) -> Example:
    """The batch of one step for every seed."""
    return _batches(unit.task, unit.batch_size, unit.last, data, keys, np.uint32(step))


@partial(jax.jit, static_argnames=("task", "size", "last"))
def _batches(task: Any, size: int, last: bool, data: Any, keys: Array, step: Array) -> Example:
    """Compiled once for all cells, measurements and training."""

    def one(key: Array) -> Example:
        drawn = batch(task, data, jax.random.fold_in(key, step), size)
        return jax.vmap(last_scored)(drawn) if last else drawn

    return jax.vmap(one)(keys)


def _measured(unit: Unit, params: Any, examples: Example) -> tuple[Flow, Summary]:
    """The flow of every seed, and the numbers that sum it up, on the host."""
    if unit.padded:
        examples = _padded(examples, unit.padded.steps)
    seen, summary = jax.device_get(_look(unit.network, unit.padded or unit.task, params, examples))
    return seen._replace(**{
        name: jax.tree.map(lambda curve: curve[:, : unit.task.steps], getattr(seen, name))
        for name in ("state", "leaves", "inputs")
    }), summary  # fmt: skip


def _padded(examples: Example, steps: int) -> Example:
    """Examples [K, B, T, ...] with padding up to `steps`, and so with lengths."""
    more = steps - examples.weights.shape[2]

    def longer(leaf: Array) -> np.ndarray:
        return np.pad(leaf, [(0, more) if axis == 2 else (0, 0) for axis in range(leaf.ndim)])

    length = examples.length
    if length is None:
        length = jnp.full(examples.weights.shape[:2], examples.weights.shape[2], jnp.int32)
    xs, targets, weights = jax.tree.map(longer, examples[:3])
    return Example(xs, targets, weights, length)


@partial(jax.jit, static_argnames=("network", "task"))
def _look(network: Any, task: Any, params: Any, examples: Example) -> tuple[Flow, Summary]:
    """`task` tells the loss, and the number of steps where examples have no lengths."""

    def one(params: Any, examples: Example) -> tuple[Flow, Summary]:
        seen = flow(network, params, examples, task.loss)
        reach = jnp.asarray(task.steps) if examples.length is None else jnp.min(examples.length)
        fall = slope(seen.state.mean, reach)
        blocks = jax.tree_util.tree_leaves_with_path(seen.params)
        return seen, Summary(
            loss=seen.loss,
            log10_norm_first=seen.state.mean[reach - 1],
            log10_norm_last=seen.state.mean[0],
            slope_log10_per_step=fall,
            half_life_steps=half_life(fall),
            share_below_float32=share_below_float32(seen.state.mean, reach),
            log10_input_norm_first=seen.inputs.mean[reach - 1],
            log10_parameter_norm=seen.params_total,
            blocks={jax.tree_util.keystr(path)[1:]: norm for path, norm in blocks},
        )

    return jax.vmap(one)(params, examples)


def _train(
    unit: Unit, params: Any, data: Any, keys: Array, advance: Callable[[int], None], check: Callable[[], None]
) -> Any:
    """All seeds through `train_steps` updates; raises if a loss is not finite."""
    learner = unit.learner()
    states = jax.vmap(learner.begin)(params, keys)
    update = jax.jit(jax.vmap(learner.update))
    pending = []
    for step in range(unit.train_steps):
        states, metrics = update(states, _draw(unit, data, keys, step))
        # A gradient of exactly zero, whose logarithm is -inf, is none of our business.
        pending.append(metrics.loss + jnp.maximum(metrics.gradient.log10_norm, 0))
        if len(pending) == CHUNK or step + 1 == unit.train_steps:
            _check_finite(unit, np.stack(jax.device_get(pending)), step + 1 - len(pending))
            advance(len(pending))
            check()
            pending = []
    return states.params


def _check_finite(unit: Unit, numbers: np.ndarray, first: int) -> None:
    """numbers [steps, K], from step `first` on"""
    for step, seed in np.argwhere(~np.isfinite(numbers)).tolist():
        raise NonFinite(
            f"the loss or its gradient is not finite: cell {unit.cell}, length {unit.task.length}, "
            f"seed {unit.seeds[seed]}, step {first + step}; write a smaller --learning_rate than {unit.learning_rate:g}"
        )


def _row(unit: Unit, trained_steps: int, i: int, summary: Summary, params: Any) -> dict[str, Any]:
    numbers = {name: _digits(value[i]) for name, value in summary._asdict().items() if name != "blocks"}
    return {
        "schema": SCHEMA,
        "cell": unit.cell,
        "task": next(name for name, task in TASKS.items() if type(unit.task) is task),
        "variant": unit.task.variant,
        "length": unit.task.length,
        "steps": unit.task.steps,
        "seed": unit.seeds[i],
        "trained_steps": trained_steps,
        **numbers,
        "log10_parameter_norms": {name: _digits(value[i]) for name, value in summary.blocks.items()},
        # Where the last answer is harder than the mean of all, the task says so.
        "chance_loss": _digits(getattr(unit.task, "chance_last", unit.task.chance) if unit.last else unit.task.chance),
        "parameters_sha256": _digest([leaf[i] for leaf in jax.tree.leaves(params)]),
    }


def _digits(number: Any) -> float:
    """The seven digits that a float32 holds."""
    return float(f"{float(number):.7g}")


def _digest(leaves: list[np.ndarray]) -> str:
    sha = hashlib.sha256()
    for leaf in leaves:
        sha.update(f"{leaf.dtype}{leaf.shape}".encode())
        sha.update(np.ascontiguousarray(leaf).tobytes())
    return sha.hexdigest()
