"""What is learned: the loss of a cell or of a network on a batch, and its gradient."""

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from typing import Any

import jax
import jax.numpy as jnp
from jax import Array

from rnnx.gradients import BPTT, Estimate, norm_penalty
from rnnx.networks import Pure
from rnnx.networks.alone import dot, layers_alone, recurrent_layers
from rnnx.scans import scan
from rnnx.training.sharing import devices, own
from rnnx.types import Example, step_loss


@dataclass(frozen=True)
class OfCell:
    """A cell with a readout, by any estimator of its gradient."""

    cell: Any
    loss: Callable[[Array, Any], Array]
    estimator: Any = BPTT()

    def init(self, key: Array) -> Any:
        return self.cell.init(key)

    def outputs(self, params: Any, example: Example, state: Any = None, key: Array | None = None) -> tuple[Any, Array]:
        """(final state, ys [T, O]) of one sequence."""
        del key
        return scan(self.cell, params, example.xs, state, length=example.length)

    def estimate(
        self, params: Any, batch: Example, states: Any = None, key: Array | None = None, axis: str | None = None
    ) -> Estimate:
        del key, axis  # the mean over devices is its caller's to take
        return self.estimator(self.cell, self.loss, params, batch, states)

    def penalty(self, params: Any, batch: Example, states: Any, squared: bool, axis: str | None = None) -> Array:
        return norm_penalty(self.cell, params, batch, self.loss, states, squared=squared, axis=axis)


@dataclass(frozen=True)
class OfNetwork:
    """A network of `rnnx.networks`, by backpropagation through all of it."""

    network: Pure
    loss: Callable[[Array, Any], Array]

    def init(self, key: Array) -> Any:
        return self.network.init(key)

    def outputs(self, params: Any, example: Example, state: Any = None, key: Array | None = None) -> tuple[Any, Array]:
        """(final states, ys [T, O]) of one sequence; a single answer stands at every step."""
        return self.network.outputs(params, example, state, key=key)

    def estimate(
        self, params: Any, batch: Example, states: Any = None, key: Array | None = None, axis: str | None = None
    ) -> Estimate:
        """`key` draws what is dropped; None is evaluation. With `axis`, `batch` is a device's part of a batch."""
        examples = batch.weights.shape[0]
        keys = None if key is None else own(jax.random.split(key, devices(axis) * examples), axis)

        def run(params: Any, example: Example, state: Any, key: Array | None) -> tuple[Array, Any]:
            final, ys = self.outputs(params, example, state, key)
            losses = jax.vmap(partial(step_loss, self.loss))(ys, example.targets, example.scored())
            return jnp.sum(losses), final

        def mean(params: Any) -> tuple[Array, Any]:
            axes = (None, 0, None if states is None else 0, None if keys is None else 0)
            losses, finals = jax.vmap(run, axes)(params, batch, states, keys)
            return jnp.mean(losses), finals

        (value, finals), gradients = jax.value_and_grad(mean, has_aux=True)(params)
        return Estimate(value, gradients, finals)

    def penalty(self, params: Any, batch: Example, states: Any, squared: bool, axis: str | None = None) -> Array:
        """The sum over recurrent layers, each with its own states and its own part of the gradient."""
        alone = layers_alone(self.network, jax.lax.stop_gradient(params), batch, self.loss, states)
        live = recurrent_layers(self.network, params)
        parts = [
            norm_penalty(
                layer.cell, live[path].params.get_value(), layer.batch, dot, layer.states, squared=squared, axis=axis
            )
            for path, layer in alone.items()
        ]
        return sum(parts[1:], parts[0])
