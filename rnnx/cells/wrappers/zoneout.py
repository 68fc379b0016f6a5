"""Zoneout: units that keep their old state at random."""

from typing import Any

import jax
import jax.numpy as jnp
from jax import Array

from rnnx.cells.wrappers import inner
from rnnx.types import Masked, cell, powers, state_of


@cell
class Zoneout:
    """A cell whose units keep their old state at random while it learns.

        s_t = m_t * s_{t-1} + (1 - m_t) * s'_t    each leaf of the state, s'_t the inner cell's new one
        m_t ~ Bernoulli(rate), a number for each unit and step; without masks (evaluation) m_t = rate

    `rates` holds a rate in [0, 1] for each leaf of the state, in their order: (h, c) of an LSTM. A leaf of rate 0 is
    left alone and takes no mask. Masks come through x: `Masked(xs, cell.masks(key, T))`. The inner cell computes s'_t
    from the whole old state, as the paper does: the new h of an LSTM sees the c that was not zoned out.

    It has the powers of the inner cell; it stays affine where that is diagonal or dense.

    Source: Krueger et al. 2017 (arXiv:1606.01305), section 3.3.
    """

    cell: Any
    rates: tuple[float, ...]

    def __post_init__(self):
        leaves = jax.tree.leaves(state_of(self.cell))
        if not isinstance(self.rates, tuple) or len(self.rates) != len(leaves):
            raise ValueError(
                f"Zoneout.rates got {self.rates}; write a tuple of {len(leaves)}, one for each leaf of the state"
            )
        for rate in self.rates:
            if not isinstance(rate, (int, float)) or not 0 <= rate <= 1:
                raise ValueError(f"Zoneout.rates got {rate!r}; write numbers from 0 to 1")

    inputs = property(inner.inputs)
    outputs = property(inner.outputs)

    @property
    def powers(self) -> tuple[str, ...]:
        plain = "affine" in powers(self.cell) and self.cell.kind in ("diagonal", "dense")
        return powers(self.cell) if plain else inner.claims_but_affine(self)

    def masks(self, key: Array, steps: int) -> Any:
        """(own masks by leaf [T, ...] as 0 and 1, those of the inner cell)."""
        leaves = jax.tree.leaves(state_of(self.cell))
        own = tuple(
            jax.random.bernoulli(jax.random.fold_in(key, i), rate, (steps, *leaf.shape)).astype(leaf.dtype)
            for i, (rate, leaf) in enumerate(zip(self.rates, leaves, strict=True))
            if rate
        )
        return own, inner.masks(self, jax.random.fold_in(key, len(leaves)), steps)

    def _enter(self, x: Any) -> tuple[tuple[Any, ...], Any]:
        """(how much each zoned leaf keeps, the inner cell's x)."""
        if isinstance(x, Masked):
            own, other = x.mask
            return own, inner.entering(x.x, other)
        leaves = jax.tree.leaves(state_of(self.cell))
        pairs = zip(self.rates, leaves, strict=True)
        return tuple(jnp.full(leaf.shape, rate, leaf.dtype) for rate, leaf in pairs if rate), x

    def _mix(self, keeps: tuple[Any, ...], old: Any, new: Any) -> Any:
        waiting = iter(keeps)
        leaves, structure = jax.tree.flatten(new)
        triples = zip(self.rates, jax.tree.leaves(old), leaves, strict=True)
        return structure.unflatten([_keep(next(waiting), a, b) if rate else b for rate, a, b in triples])

    def drive(self, weights: inner.Params, x: Any) -> Any:
        keeps, x = self._enter(x)
        return self.cell.drive(weights.cell, x), tuple(m[None] for m in keeps)  # [1, N], rows like every gate's

    def update(self, weights: inner.Params, state: Any, u: Any, v: Any) -> Any:
        u, keeps = u
        return self._mix(tuple(m for (m,) in keeps), state, self.cell.update(weights.cell, state, u, v))

    def step(self, weights: inner.Params, state: Any, x: Any) -> tuple[Any, Array]:
        keeps, seen = self._enter(x)
        new, _ = self.cell.step(weights.cell, state, seen)
        new = self._mix(keeps, state, new)
        return new, self.readout(weights, new, x)

    def readout(self, weights: inner.Params, state: Any, x: Any) -> Array:
        return self.cell.readout(weights.cell, state, self._enter(x)[1])

    def coefficients(self, weights: inner.Params, x: Any) -> tuple[Any, Any]:
        keeps, x = self._enter(x)
        a, b = self.cell.coefficients(weights.cell, x)
        if not keeps:
            return a, b
        m = keeps[0].astype(b.dtype)
        if self.cell.kind == "diagonal":
            return m + (1 - m) * a, (1 - m) * b
        return jnp.diag(m) + (1 - m)[:, None] * a, (1 - m) * b

    init = inner.init
    prepare = inner.prepare
    initial_state = inner.initial_state
    recur = inner.recur
    recurrent = inner.recurrent
    kind = property(inner.kind)
    drop = inner.drop


def _keep(m: Array, old: Array, new: Array) -> Array:
    m = m.astype(new.dtype)
    return m * old + (1 - m) * new
