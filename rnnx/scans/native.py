"""The native kernel as a way through time: the whole sequence in one call, on CPUs."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import jax
from jax import Array

from rnnx.kernels.seam import recurrence
from rnnx.scans.deferred import kept, whole_if_needed
from rnnx.scans.sequential import Sequential


@dataclass(frozen=True)
class Native:
    """s_t = update(w, s_{t-1}, u_t, v_t), by a compiled kernel that runs the cell's own update.

    Takes pointwise cells (a user's own included: `update` is traced and becomes a table of vector operations) and
    affine cells of the kinds "diagonal" and "pair". Weights are packed once for the sequence; a batch is divided
    among XLA's threads, none of which waits for another within the sequence; weight gradients are summed a chunk of
    steps at a time, so that the cotangents of the gates never leave the cache. float32 and float64; half precision is
    stored as such and computed in float32. CPUs only.

    store: whether a gradient keeps the gates (one array [T, B, N] each), or computes them again by one more product:
    less than half the memory, at about 1.2 times the time. None keeps them unless they are many and the product short:
    fresh memory has its price too.

    Forward mode and second derivatives are those of Deferred. Cost: `rnnx.cells` tells flops a step; memory of a
    gradient O(T) states and, where stored, gates. Source: Appleyard, Kocisky & Blunsom 2016 (arXiv:1604.01946).
    """

    store: bool | None = None

    def refuses(self, cell: Any) -> str | None:
        """Why this method cannot take `cell`, or this machine cannot run it."""
        if jax.default_backend() != "cpu":
            return f"it runs on CPUs, and JAX runs on {jax.default_backend()}; take method=None"
        from rnnx.kernels.cpu import library  # with the engine, what only those need who run it
        from rnnx.scans.native_engine import refusal

        reason = library.missing()
        if reason:
            return f"{reason}, or take method='deferred'"
        if hasattr(cell, "layers"):
            return next(filter(None, map(self.refuses, cell.cells)), None)
        return refusal(cell)

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
        from rnnx.scans.native_engine import Kernel

        engine = Kernel(whole_if_needed(cell), reverse, None, cell, self.store)
        final, states, _ = recurrence(engine, weights, xs, state, (starts, valid))
        return final, kept(cell, weights, xs, states, valid, keep)
