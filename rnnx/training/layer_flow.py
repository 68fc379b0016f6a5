"""The gradient flow of every recurrent layer of a model, while it trains."""

from typing import Any

import jax

from rnnx.diagnostics import Flow, flow
from rnnx.networks.alone import dot, layers_alone
from rnnx.training.objectives import OfCell, OfNetwork
from rnnx.types import Example


def layer_flow(model: OfCell | OfNetwork, params: Any, batch: Example, states: Any = None) -> dict[str, Flow]:
    """{path of a layer: its `rnnx.diagnostics.flow`}, what was not dropped out; of a cell, under the name "cell".

    Lags of a layer that runs backwards count from the first step on. Cost: for a network one gradient more, and then
    that of `flow`, about five forward passes step by step, for each layer.
    """
    if isinstance(model, OfCell):
        return {"cell": flow(model.cell, params, batch, model.loss, states)}
    alone = layers_alone(model.network, params, batch, model.loss, states)
    return {path: flow(layer.cell, layer.params, jax.lax.stop_gradient(layer.batch), dot, layer.states)
            for path, layer in alone.items()}  # fmt: skip
