"""Ways past a cell for its input: residual and highway connections."""

from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
from jax import Array
from jax.nn import sigmoid

from rnnx.cells.initialisers import draw, parse
from rnnx.cells.wrappers import inner
from rnnx.types import bare, cell


def same_width(wrapper: Any) -> None:
    """A `__post_init__`: what goes past the cell must have the width of what comes out of it."""
    inside = wrapper.cell
    if inside.inputs != inside.outputs:
        raise ValueError(
            f"{type(wrapper).__name__}.cell got a cell of {inside.inputs} inputs and {inside.outputs} outputs; "
            "give one with as many outputs as inputs, such as a Readout of that width"
        )


@cell
class Residual:
    """A cell with its input added to its output.

        y_t = x_t + h_t    [N], h_t the inner cell's output; D = N

    Source: He et al. 2016 (arXiv:1512.03385), eq. 1, between recurrent layers. It has the powers of the inner cell.
    """

    cell: Any

    __post_init__ = same_width
    inputs = property(inner.inputs)
    outputs = property(inner.outputs)
    powers = property(inner.claims)

    def readout(self, weights: inner.Params, state: Any, x: Any) -> Array:
        h = self.cell.readout(weights.cell, state, x)
        return bare(x).astype(h.dtype) + h

    init = inner.init
    prepare = inner.prepare
    initial_state = inner.initial_state
    drive = inner.drive
    recur = inner.recur
    update = inner.update
    step = inner.step
    recurrent = inner.recurrent
    kind = property(inner.kind)
    coefficients = inner.coefficients
    masks = inner.masks
    drop = inner.drop


class HighwayParams(NamedTuple):
    cell: Any
    w: Array  # [N, N]
    b: Array  # [N]


@cell
class Highway:
    """A cell past which its input goes as far as a gate lets it.

        t   = sigmoid(W x_t + b)              [N], D = N
        y_t = t * h_t + (1 - t) * x_t         [N], h_t the inner cell's output

    Initial values: W by `input_init`; b = `bias`, negative so that at first the input passes.

    Source: Srivastava, Greff & Schmidhuber 2015 (arXiv:1505.00387), eq. 3. It has the powers of the inner cell.
    """

    cell: Any
    bias: float = -1.0
    input_init: str = "glorot_uniform"

    def __post_init__(self):
        same_width(self)
        parse("Highway.input_init", self.input_init)

    inputs = property(inner.inputs)
    outputs = property(inner.outputs)
    powers = property(inner.claims)

    def init(self, key: Array) -> HighwayParams:
        key_cell, key_w = jax.random.split(key)
        params = self.cell.init(key_cell)
        dtype = jax.tree.leaves(params)[0].dtype
        w = draw(self.input_init, key_w, (self.inputs, 1, self.outputs), dtype)[:, 0]
        return HighwayParams(params, w, jnp.full(self.outputs, self.bias, dtype))

    def readout(self, weights: HighwayParams, state: Any, x: Any) -> Array:
        h = self.cell.readout(weights.cell, state, x)
        x = bare(x).astype(h.dtype)
        t = sigmoid(x @ weights.w.astype(h.dtype) + weights.b.astype(h.dtype))
        return t * h + (1 - t) * x

    prepare = inner.prepare
    initial_state = inner.initial_state
    drive = inner.drive
    recur = inner.recur
    update = inner.update
    step = inner.step
    recurrent = inner.recurrent
    kind = property(inner.kind)
    coefficients = inner.coefficients
    masks = inner.masks
    drop = inner.drop
