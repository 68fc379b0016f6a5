"""The linear readout, worn by any cell."""

from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
from jax import Array

from rnnx.cells.initialisers import glorot_uniform
from rnnx.cells.wrappers import inner
from rnnx.types import cell


class Params(NamedTuple):
    cell: Any  # the inner cell's parameters (after `prepare`: its weights)
    w: Array  # [N, O]
    c: Array  # [O]


@cell
class Readout:
    """A cell whose output is a linear function of the inner cell's output.

        y_t = W h_t + c    [O], h_t the inner cell's output [N]

    W is Glorot uniform, c zero. It is a cell again, with the powers of the inner one: its state, and so everything
    that happens in the loop, is untouched. Cost: 2 N O flops a step.
    """

    cell: Any
    outputs: int

    inputs = property(inner.inputs)
    powers = property(inner.claims)

    def init(self, key: Array) -> Params:
        key_cell, key_w = jax.random.split(key)
        params = self.cell.init(key_cell)
        dtype = jax.tree.leaves(params)[0].dtype
        w = glorot_uniform(key_w, (self.cell.outputs, 1, self.outputs), dtype)[:, 0]
        return Params(params, w, jnp.zeros(self.outputs, dtype))

    def readout(self, weights: Params, state: Any, x: Any) -> Array:
        h = self.cell.readout(weights.cell, state, x)
        return h @ weights.w.astype(h.dtype) + weights.c.astype(h.dtype)

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
