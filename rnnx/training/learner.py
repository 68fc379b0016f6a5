"""One update: two pure functions, so that K seeds are one `vmap` and S steps one scan."""

from dataclasses import dataclass
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
from jax import Array

from rnnx.training.clipping import Clip, Clipped
from rnnx.training.objectives import OfCell, OfNetwork
from rnnx.training.rule import Rule
from rnnx.training.sharing import devices, mean
from rnnx.types import Example, one_of

NONFINITE = ("stop", "skip")


class TrainState(NamedTuple):
    params: Any
    optimizer: Any  # optax's state
    step: Array  # int32 []
    key: Array  # a typed key; what happens in step n is drawn from it folded with n
    rate: Array  # [], times the learning rate of the rule: what a sweep varies under `vmap`
    states: Any  # states carried from batch to batch, leaves [B, ...]; None where each batch starts afresh
    left_out: Array  # int32 [], updates left out because something in them was not finite


class Metrics(NamedTuple):
    loss: Array  # [], of the batch, before the update
    gradient: Clipped  # its norms, and what was clipped of it
    penalty: Array  # [], Omega, 0 without one
    learning_rate: Array  # []
    parameters: Any  # like the parameters, bool []: whether what the update makes of each is finite
    finite: Array  # bool []: loss, gradient, penalty, and parameters and optimizer after the update all are


@dataclass(frozen=True)
class Learner:
    """How a model learns from batches.

    `model` says what the loss is (`OfCell`, `OfNetwork`), `rule` what is done with a gradient, `clip` bounds it first.
    `penalty` adds penalty * Omega, Pascanu's regulariser, to the loss (`rnnx.gradients.norm_penalty`; `squared` its
    form). `carry` is a number of sequences B whose states go on from batch to batch, through which no gradient flows:
    truncated backpropagation along a long text.

    An update whose loss, gradient, penalty or outcome is not finite is never made. `on_nonfinite` "stop": the state
    stays from there on as it was before that update, whatever comes; "skip": only that update is left out.

    >>> import jax, rnnx
    >>> task = rnnx.tasks.Adding(10)
    >>> cell = rnnx.cells.Readout(rnnx.cells.GRU(2, 8), 1)
    >>> learn = Learner(OfCell(cell, task.loss), Rule("sgd", 0.1), Clip(norm=1.0))
    >>> state = learn.init(jax.random.key(0))
    >>> state, metrics = learn.update(state, rnnx.tasks.batch(task, (), jax.random.key(1), 4))
    >>> int(state.step)
    1
    """

    model: OfCell | OfNetwork
    rule: Rule = Rule()
    clip: Clip = Clip()
    penalty: float = 0.0
    squared: bool = True
    carry: int = 0
    on_nonfinite: str = "stop"
    example: Any = None  # with `carry`: shapes of one example, to know the shapes of states by

    def __post_init__(self):
        one_of("Learner.on_nonfinite", self.on_nonfinite, NONFINITE)

    def init(self, key: Array) -> TrainState:
        key_params, key_steps = jax.random.split(key)
        return self.begin(self.model.init(key_params), key_steps)

    def begin(self, params: Any, key: Array) -> TrainState:
        """The state that starts from given parameters."""
        states = self._fresh(params, self.carry) if self.carry else None
        none, one = jnp.zeros((), jnp.int32), jnp.ones(())
        return TrainState(params, self.rule.init(params), none, key, one, states, none)

    def update(
        self, state: TrainState, batch: Example, begins: Array | None = None, axis: str | None = None
    ) -> tuple[TrainState, Metrics]:
        """One step on a batch, leaves leading with B. `begins`: bool [], carried states start afresh here.

        Inside `jax.shard_map`, `axis` is the mesh axis among whose devices the batch and the carried states are
        divided: each has its part of them, and all make the same step (`steps_of` does all that).
        """
        key_drop, key_noise = jax.random.split(jax.random.fold_in(state.key, state.step))
        states = state.states
        if self.carry and begins is not None:
            fresh = self._fresh(state.params, self.carry // devices(axis))
            states = jax.tree.map(lambda a, b: jnp.where(begins, a, b), fresh, states)
        loss, gradients, finals = self.model.estimate(state.params, batch, states, key_drop, axis)
        loss, gradients = mean((loss, gradients), axis)
        omega = jnp.zeros_like(loss)
        if self.penalty:
            penalised = jax.value_and_grad(self.model.penalty)(state.params, batch, states, self.squared, axis)
            omega, more = mean(penalised, axis)
            gradients = jax.tree.map(lambda g, m: g + self.penalty * m, gradients, more)
        gradients, clipped = self.clip(gradients)
        rate = self.rule.rate(state.step) * state.rate
        params, optimizer = self.rule.apply(gradients, state.optimizer, state.params, rate, key_noise, state.step)
        states = finals if self.carry else None
        after = state._replace(params=params, optimizer=optimizer, step=state.step + 1, states=states)
        finite = jnp.isfinite(loss + omega) & (clipped.log10_norm < jnp.inf)  # -inf is a gradient of zero
        moved, steered = (jax.tree.map(lambda a: jnp.all(jnp.isfinite(a)), tree) for tree in (params, optimizer))
        for outcome in jax.tree.leaves((moved, steered)):
            finite &= outcome
        return self._unless(finite, state, after), Metrics(loss, clipped, omega, rate, moved, finite)

    def _unless(self, finite: Array, before: TrainState, after: TrainState) -> TrainState:
        """The state after an update, or what stands for it if the update must not be made."""
        stop = self.on_nonfinite == "stop"
        made = finite & (before.left_out == 0) if stop else finite
        held = before if stop else before._replace(step=after.step)
        chosen = jax.tree.map(lambda a, b: jnp.where(made, a, b), after._replace(key=None), held._replace(key=None))
        return chosen._replace(key=before.key, left_out=before.left_out + (~made).astype(jnp.int32))

    def _fresh(self, params: Any, count: int) -> Any:
        """The states that `count` sequences start from: those after no step."""
        none = jax.tree.map(lambda a: jnp.zeros((0, *a.shape[1:]), a.dtype), self.example)
        state, _ = self.model.outputs(params, none._replace(length=None))
        return jax.tree.map(lambda a: jnp.broadcast_to(a, (count, *a.shape)), state)
