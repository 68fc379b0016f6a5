"""Weight gradients taken out of the reverse loop."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import jax
import jax.numpy as jnp
from jax import Array

from rnnx.kernels.seam import recurrence
from rnnx.scans.loop import Loop
from rnnx.scans.sequential import Sequential, select
from rnnx.types import powers


@dataclass(frozen=True)
class Deferred:
    """s_t = step(w, s_{t-1}, x_t), with a reverse loop that carries cotangents and nothing else.

        ds_{t-1}, du_t, dv_t = (d update)^T ds_t,    ds_{t-1} += (d recur)^T dv_t        in the loop
        dW_x = sum_t x_t du_t^T,    dW_h = sum_t h_{t-1} dv_t^T,    dx_t = W_x^T du_t    one product a chunk of steps

    Takes any cell; of one that is not factored, the whole step stands for the update. Stores the states and, of
    pointwise cells, the pre-activations; everything else between is computed again. All examples of a batch are seen
    whole, so that the weight gradient of a batch is one sum. `chunk`: steps whose gradients are taken together; None
    takes as many as make 256 rows with the batch, and at least 8 (32 on accelerators). A single sequence on a CPU is
    left to JAX, as Sequential is: without a batch there is nothing to gain.

    Forward mode and second derivatives are those of the program that runs. Source: Appleyard, Kocisky & Blunsom 2016
    (arXiv:1604.01946), section 3.3, for weight gradients outside the loop. Cost: that of Sequential, with products
    of chunks in the place of products of steps; memory of the gradient O(T) states and pre-activations.
    """

    chunk: int | None = None

    def __post_init__(self):
        if self.chunk is not None and self.chunk < 1:
            raise ValueError(f"Deferred.chunk got {self.chunk}; write a whole number of at least 1, or None")

    def refuses(self, cell: Any) -> str | None:
        """Why this method cannot take `cell`: it takes all."""
        del cell
        return None

    def run(
        self,
        cell: Any,
        weights: Any,
        xs: Any,
        state: Any,
        *,
        starts: Array | None,
        valid: Array | None,
        reverse: bool,
        keep: Callable[[Any, Array], Any],
    ) -> tuple[Any, Any]:
        how = {"starts": starts, "valid": valid, "reverse": reverse}
        if not jax.tree.leaves(xs)[0].shape[0]:
            return Sequential().run(cell, weights, xs, state, keep=keep, **how)
        engine = Loop(whole_if_needed(cell), reverse, self.chunk)
        final, states, _ = recurrence(engine, weights, xs, state, (starts, valid))
        return final, kept(cell, weights, xs, states, valid, keep)


def kept(cell: Any, weights: Any, xs: Any, states: Any, valid: Array | None, keep: Any) -> Any:
    """What `keep` keeps of all steps at once: readouts never feed back."""

    def one(state: Any, x: Any, real: Array | None) -> Any:
        told = keep(state, cell.readout(weights, state, x))
        return told if real is None else select(real, told, jax.tree.map(jnp.zeros_like, told))

    return jax.vmap(one)(states, xs, valid)


@dataclass(frozen=True)
class Whole:
    """A factored view of a cell that is not: all that it does is its update, and x itself drives it."""

    cell: Any
    powers = ("factored",)

    def drive(self, weights: Any, x: Any) -> Any:
        return x

    def recur(self, weights: Any, state: Any) -> tuple[()]:
        return ()

    def update(self, weights: Any, state: Any, u: Any, v: Any) -> Any:
        return self.cell.step(weights, state, u)[0]

    def step(self, weights: Any, state: Any, x: Any) -> tuple[Any, Array]:
        return self.cell.step(weights, state, x)

    def initial_state(self, weights: Any) -> Any:
        return self.cell.initial_state(weights)


def whole_if_needed(cell: Any) -> Any:
    """The cell, or a factored view of it."""
    return cell if "factored" in powers(cell) else Whole(cell)
