"""Gradients kept within bounds, by norms that do not underflow, and how often that was needed."""

import math
from dataclasses import dataclass
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
from jax import Array

from rnnx.diagnostics import log10_norm


class Clipped(NamedTuple):
    """What clipping met. Norms are log10, before anything was clipped; -inf is an exact zero."""

    log10_norm: Array  # []
    log10_blocks: Any  # like the gradients, a norm for each leaf
    by_value: Array  # [], share of entries that were clipped
    by_block: Array  # [], share of blocks
    by_norm: Array  # [], 1 if the whole was, else 0


@dataclass(frozen=True)
class Clip:
    """Three ways to bound a gradient, each off at 0; in this order where several are on.

        value    g_i <- min(max(g_i, -value), value)
        block    g_b <- g_b min(1, block / |g_b|)    for each leaf b of the parameters
        norm     g   <- g min(1, norm / |g|)

    Norms are those of `rnnx.diagnostics.log10_norm`: right where the squares of a float32 gradient underflow or
    overflow. Source: Pascanu, Mikolov & Bengio 2013 (arXiv:1211.5063), algorithm 1, for the norm.
    """

    norm: float = 0.0
    value: float = 0.0
    block: float = 0.0

    def __post_init__(self):
        for name in ("norm", "value", "block"):
            got = getattr(self, name)
            if not (math.isfinite(got) and got >= 0):
                raise ValueError(f"Clip.{name} is {got}; write a number above 0, or 0 for none")

    def __call__(self, gradients: Any) -> tuple[Any, Clipped]:
        """(the gradients within bounds, what was met)"""
        blocks, total = jax.tree.map(log10_norm, gradients), log10_norm(gradients)
        none = jnp.zeros((), total.dtype)
        by_value = by_block = by_norm = none
        if self.value:
            outside = [jnp.sum(jnp.abs(g) > self.value) for g in jax.tree.leaves(gradients)]
            count = sum(g.size for g in jax.tree.leaves(gradients))
            by_value = (sum(outside[1:], outside[0]) / count).astype(total.dtype)
            gradients = jax.tree.map(lambda g: jnp.clip(g, -self.value, self.value), gradients)
        if self.block:
            norms = jax.tree.map(log10_norm, gradients) if self.value else blocks
            over = jnp.stack([norm > math.log10(self.block) for norm in jax.tree.leaves(norms)])
            by_block = jnp.mean(over.astype(total.dtype))
            gradients = jax.tree.map(lambda g, norm: _within(g, norm, self.block), gradients, norms)
        if self.norm:
            norm = log10_norm(gradients) if self.value or self.block else total
            by_norm = (norm > math.log10(self.norm)).astype(total.dtype)
            gradients = jax.tree.map(lambda g: _within(g, norm, self.norm), gradients)
        return gradients, Clipped(total, blocks, by_value, by_block, by_norm)


def _within(g: Array, log10: Array, bound: float) -> Array:
    """g times min(1, bound / its norm); what is within the bound stays as it is, bit for bit."""
    root = 10 ** (jnp.minimum(math.log10(bound) - log10, jnp.zeros_like(log10)) / 2)  # of a factor that may underflow
    root = root.astype(g.dtype)
    return (g * root) * root
