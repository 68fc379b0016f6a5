"""Dtypes by policy: what the parameters, the products and the state of a cell are made of."""

from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
from jax import Array

from rnnx.cells.wrappers import inner
from rnnx.types import cell, one_of, powers

DTYPES = ("float16", "bfloat16", "float32", "float64")


class Weights(NamedTuple):
    compute: Any  # the inner cell's weights in the dtype of products
    state: Any  # and in that of the state


@cell
class Precision:
    """A cell with explicit dtypes.

        u, v, y    in `compute`: the products with x and with h, and the readout
        s_t        in `state`: the whole update, so that sums which run through time are not rounded to `compute`
        params     in `params`: what `init` makes and an optimiser moves

    Nothing else happens to the cell: parametrisations (`prepare`) are computed in `params`, then cast. x is cast to
    `compute`, y has that dtype, and the carry keeps its own. The default is mixed precision as accelerators like it.
    Needs a factored cell, which tells its products apart from its update. Not affine: coefficients have one dtype.
    """

    cell: Any
    params: str = "float32"
    compute: str = "bfloat16"
    state: str = "float32"

    def __post_init__(self):
        for field in ("params", "compute", "state"):
            name = getattr(self, field)
            one_of(f"Precision.{field}", name, DTYPES)
            if name == "float64" and not jax.config.read("jax_enable_x64"):
                raise ValueError(
                    f"Precision.{field} got 'float64' with x64 off; set jax_enable_x64, or write 'float32'"
                )
        if "factored" not in powers(self.cell):
            raise ValueError(f"Precision.cell got {self.cell}, which does not tell its products; give a factored cell")

    inputs = property(inner.inputs)
    outputs = property(inner.outputs)
    powers = property(inner.claims_but_affine)

    def init(self, key: Array) -> inner.Params:
        return inner.Params(_cast(self.cell.init(key), self.params))

    def prepare(self, params: inner.Params) -> Weights:
        weights = self.cell.prepare(params.cell)
        return Weights(_cast(weights, self.compute), _cast(weights, self.state))

    def initial_state(self, weights: Weights) -> Any:
        return _cast(self.cell.initial_state(weights.state), self.state)

    def drive(self, weights: Weights, x: Any) -> Any:
        return self.cell.drive(weights.compute, _cast(x, self.compute))

    def recur(self, weights: Weights, state: Any) -> Any:
        return self.cell.recur(weights.compute, _cast(state, self.compute))

    def update(self, weights: Weights, state: Any, u: Any, v: Any) -> Any:
        u, v = _cast((u, v), self.state)
        return _cast(self.cell.update(weights.state, state, u, v), self.state)

    def readout(self, weights: Weights, state: Any, x: Any) -> Array:
        state, x = _cast((state, x), self.compute)
        return _cast(self.cell.readout(weights.compute, state, x), self.compute)

    def step(self, weights: Weights, state: Any, x: Any) -> tuple[Any, Array]:
        state = self.update(weights, state, self.drive(weights, x), self.recur(weights, state))
        return state, self.readout(weights, state, x)

    def recurrent(self, weights: Weights) -> Any:
        return self.cell.recurrent(weights.compute)

    masks = inner.masks
    drop = inner.drop


def _cast(tree: Any, dtype: str) -> Any:
    """Every floating leaf in `dtype`; others as they are."""
    return jax.tree.map(lambda a: a.astype(dtype) if jnp.issubdtype(a.dtype, jnp.floating) else a, tree)
