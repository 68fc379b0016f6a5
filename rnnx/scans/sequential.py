"""The reference: one step after the other."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import jax
import jax.numpy as jnp
from jax import Array


@dataclass(frozen=True)
class Sequential:
    """s_t = step(w, s_{t-1}, x_t), by `lax.scan`. Takes any cell; every derivative works through it.

    Time O(T) steps in a row; memory of the gradient O(T) states. `unroll` steps share one trip of the loop
    (on XLA:CPU more than 2 makes training slower: measure).
    """

    unroll: int = 1

    def __post_init__(self):
        if self.unroll < 1:
            raise ValueError(f"Sequential.unroll got {self.unroll}; write a whole number of at least 1")

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
        """(final state, what `keep` kept), as the door hands it over.

        `starts[t]`: the state before step t is the initial state. `valid[t]`: step t happens; where it is
        False the state passes and zeros are kept. Either is None where it would say nothing.
        """
        visit = visitor(cell, weights, keep, resets=starts is not None)
        return jax.lax.scan(visit, state, (xs, starts, valid), reverse=reverse, unroll=self.unroll)


def visitor(cell: Any, weights: Any, keep: Callable[[Any, Array], Any], resets: bool) -> Callable[..., Any]:
    """The body of the loop: (state, (x_t, starts_t, valid_t)) -> (new state, what is kept)."""
    fresh = cell.initial_state(weights) if resets else None

    def visit(state: Any, inputs: Any) -> tuple[Any, Any]:
        x, start, real = inputs
        if start is not None:
            state = select(start, fresh, state)
        new, y = cell.step(weights, state, x)
        kept = keep(new, y)
        if real is not None:
            new = select(real, new, state)
            kept = select(real, kept, jax.tree.map(jnp.zeros_like, kept))
        return new, kept

    return visit


def select(condition: Array, yes: Any, no: Any) -> Any:
    """Select, never multiply: an infinity or NaN on the side not taken leaves no trace."""
    return jax.tree.map(lambda a, b: jnp.where(condition, a, b), yes, no)
