"""The linear readout, worn by any cell."""

from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
from jax import Array

from rnnx.cells.initialisers import glorot_uniform
from rnnx.types import cell, powers


class Params(NamedTuple):
    cell: Any  # the inner cell's parameters (after `prepare`: its weights)
    w: Array  # [N, O]
    c: Array  # [O]


@cell
class Readout:
    """A cell whose output is a linear function of the inner cell's output.

        y_t = W h_t + c    [O], h_t the inner cell's output [N]

    W is Glorot uniform, c zero. It is a cell again, with the powers of the inner one except that its
    state, and so everything that happens in the loop, is untouched. Cost: 2 N O flops a step.
    """

    cell: Any
    outputs: int

    @property
    def inputs(self) -> int:
        return self.cell.inputs

    @property
    def powers(self) -> tuple[str, ...]:
        return powers(self.cell)

    def init(self, key: Array) -> Params:
        key_cell, key_w = jax.random.split(key)
        params = self.cell.init(key_cell)
        dtype = jax.tree.leaves(params)[0].dtype
        w = glorot_uniform(key_w, (self.cell.outputs, 1, self.outputs), dtype)[:, 0]
        return Params(params, w, jnp.zeros(self.outputs, dtype))

    def prepare(self, params: Params) -> Params:
        return params._replace(cell=self.cell.prepare(params.cell))

    def initial_state(self, weights: Params) -> Any:
        return self.cell.initial_state(weights.cell)

    def readout(self, weights: Params, state: Any, x: Any) -> Array:
        return self.cell.readout(weights.cell, state, x) @ weights.w + weights.c

    def step(self, weights: Params, state: Any, x: Any) -> tuple[Any, Array]:
        state, _ = self.cell.step(weights.cell, state, x)
        return state, self.readout(weights, state, x)

    # The inner cell's parts, for the powers it has.

    def drive(self, weights: Params, x: Any) -> Any:
        return self.cell.drive(weights.cell, x)

    def recur(self, weights: Params, state: Any) -> Any:
        return self.cell.recur(weights.cell, state)

    def update(self, weights: Params, state: Any, u: Any, v: Any) -> Any:
        return self.cell.update(weights.cell, state, u, v)

    def recurrent(self, weights: Params) -> Any:
        return self.cell.recurrent(weights.cell)

    @property
    def kind(self) -> str:
        return self.cell.kind

    def coefficients(self, weights: Params, x: Any) -> tuple[Any, Any]:
        return self.cell.coefficients(weights.cell, x)
