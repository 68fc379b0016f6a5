"""One update of a network on a task: two pure functions, so that K seeds are one `vmap` and S steps one scan."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import optax
from jax import Array

from rnnx.diagnostics import log10_norm
from rnnx.gradients import BPTT
from rnnx.types import Example, one_of

OPTIMIZERS = {
    "adam": optax.adam,
    "adamw": optax.adamw,
    "nadam": optax.nadam,
    "rmsprop": optax.rmsprop,
    "sgd": optax.sgd,
}


class TrainState(NamedTuple):
    params: Any
    optimizer: Any  # optax's state
    step: Array  # int32 []


class Metrics(NamedTuple):
    loss: Array  # [], of the batch, before the update
    log10_gradient_norm: Array  # []


@dataclass(frozen=True)
class Supervised:
    """How a cell learns from examples: a loss for one step, an optimizer of optax by name, an estimator.

    >>> import jax, rnnx
    >>> task = rnnx.tasks.Adding(10)
    >>> learn = Supervised(rnnx.cells.Readout(rnnx.cells.GRU(2, 8), 1), task.loss, "sgd")
    >>> state = learn.init(jax.random.key(0))
    >>> state, metrics = learn.update(state, rnnx.tasks.batch(task, (), jax.random.key(1), 4))
    >>> int(state.step)
    1
    """

    cell: Any
    loss: Callable[[Array, Any], Array]
    optimizer: str = "adam"
    learning_rate: float = 1e-3
    estimator: Any = BPTT()

    def __post_init__(self):
        one_of("Supervised.optimizer", self.optimizer, OPTIMIZERS)

    def init(self, key: Array) -> TrainState:
        return self.begin(self.cell.init(key))

    def begin(self, params: Any) -> TrainState:
        """The state that starts from given parameters."""
        return TrainState(params, self._optax().init(params), jnp.zeros((), jnp.int32))

    def update(self, state: TrainState, batch: Example) -> tuple[TrainState, Metrics]:
        """One step on a batch, leaves leading with B."""
        loss, gradients, _ = self.estimator(self.cell, self.loss, state.params, batch)
        updates, optimizer = self._optax().update(gradients, state.optimizer, state.params)
        params = jax.tree.map(jnp.add, state.params, updates)
        return TrainState(params, optimizer, state.step + 1), Metrics(loss, log10_norm(gradients))

    def _optax(self) -> optax.GradientTransformation:
        return OPTIMIZERS[self.optimizer](self.learning_rate)
