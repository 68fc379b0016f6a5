"""The recurrent layers of a network, each alone with the part of the backward pass that is its own."""

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from typing import Any

import jax
import jax.numpy as jnp
from flax import nnx
from jax import Array

from rnnx.networks.layers import Recurrent
from rnnx.networks.pure import Pure, outputs
from rnnx.networks.watch import Watch
from rnnx.types import Example, step_loss


@dataclass(frozen=True)
class Alone:
    """A layer's cell on a batch, with a loss that sends back the gradient it got in the network."""

    cell: Any
    params: Any
    batch: Example  # xs: what it read; targets: dL/dys; the loss of a step is `dot`
    states: Any  # where it started from, leaves [B, ...]; None: afresh


def dot(y: Array, target: Array) -> Array:
    """The loss whose gradient with respect to y is the target."""
    return jnp.sum(y * target)


def recurrent_layers(network: Pure, params: Any) -> dict[str, Recurrent]:
    """{path in the network: layer}"""
    found = nnx.iter_graph(network.merge(params))
    return {".".join(map(str, path)): node for path, node in found if isinstance(node, Recurrent)}


def layers_alone(
    network: Pure,
    params: Any,
    batch: Example,
    loss: Callable[[Array, Any], Array],
    states: Any = None,
) -> dict[str, Alone]:
    """Each recurrent layer of a network on a batch (leaves lead with B, as do `states` if given), by its path.

    The gradient dL/ds_t within a layer depends on the rest of the network through dL/dys alone, so that whatever is
    asked of a cell and a loss can be asked of a layer; L is the loss of one sequence. A layer that runs backwards comes
    with its sequence turned round. Cost: one forward and one backward pass of the network.
    """
    module = network.merge(params)
    paths = {id(node): ".".join(map(str, path)) for path, node in nnx.iter_graph(module)}
    seen: list[Any] = []

    def run(taps: tuple[Array, ...] | None, example: Example, state: Any) -> tuple[Array, Any]:
        watch = Watch(taps)
        _, ys = outputs(module, example, state, watch=watch)
        seen[:] = watch.seen
        losses = jax.vmap(partial(step_loss, loss))(ys, example.targets, example.scored())
        return jnp.sum(losses), tuple((layer.xs, layer.ys, layer.state) for layer in watch.seen)

    one = jax.tree.map(lambda a: a[0], (batch, states))
    shapes = jax.eval_shape(lambda: run(None, *one))[1]
    taps = tuple(jnp.zeros(ys.shape, ys.dtype) for _, ys, _ in shapes)
    cotangents, met = jax.vmap(jax.grad(run, has_aux=True), (None, 0, 0))(taps, batch, states)
    made = {}
    for noted, g, (xs, _, start) in zip(seen, cotangents, met, strict=True):
        layer: Recurrent = noted.layer
        examples = Example(xs, g, jnp.ones(g.shape[:2], g.dtype), batch.length)
        turned = jax.vmap(_turned)(examples) if layer.reverse else examples
        made[paths[id(layer)]] = Alone(layer.cell, layer.params.get_value(), turned, start)
    return made


def _turned(example: Example) -> Example:
    """The valid steps in the opposite order, padding where it was."""
    time = jnp.arange(example.weights.shape[0])
    length = len(time) if example.length is None else example.length.astype(time.dtype)
    order = jnp.where(time < length, length - 1 - time, time)
    xs, targets = jax.tree.map(lambda a: a[order], (example.xs, example.targets))
    return example._replace(xs=xs, targets=targets)
