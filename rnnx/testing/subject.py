"""A cell, a way to take it through time, and the data on which the laws are tried."""

import functools
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

import rnnx.scans

STEPS = 7  # of every sequence
CASES = STEPS + 1  # the batch: one case for each place a sequence can be cut at


@dataclass(frozen=True)
class Subject:
    """A cell, how it goes through time, and the data the laws are tried on.

    One function is compiled per direction, and one for its gradient; lengths, resets and states are data.
    """

    cell: Any
    method: Any = "sequential"
    scan: Callable[..., Any] = rnnx.scans.scan
    dress: Callable[[Any], Any] = lambda x: x  # what the cell is given for x [D], or for xs [T, D]: x with masks, say
    seed: int = 0
    compiler: tuple[tuple[str, Any], ...] = ()  # options of XLA's: less optimisation compiles twice as fast

    @functools.cached_property
    def _made(self) -> tuple[Any, Any, Any]:
        return _making(self.cell, self.compiler)(jax.random.key(self.seed))

    @property
    def params(self) -> Any:
        return self._made[0]

    @property
    def weights(self) -> Any:
        return self._made[1]

    @functools.cached_property
    def dtype(self) -> Any:
        return jax.tree.leaves(self.params)[0].dtype

    @property
    def iterates(self) -> bool:
        """Whether the method finds the whole trajectory at once, to a tolerance."""
        return getattr(rnnx.scans.METHODS.get(self.method, self.method), "iterates", False)

    @property
    def tolerance(self) -> float:
        """Relative: rounding of a few dozen operations."""
        return 2000 * float(jnp.finfo(self.dtype).eps)

    @functools.cached_property
    def xs(self) -> np.ndarray:  # [CASES, STEPS, D]
        draws = np.random.default_rng(self.seed + 1)
        return draws.normal(size=(CASES, STEPS, self.cell.inputs)).astype(self.dtype)

    @functools.cached_property
    def fresh(self) -> Any:
        """`initial_state`, once for each case."""
        return jax.tree.map(lambda leaf: np.broadcast_to(leaf, (CASES, *leaf.shape)), self._made[2])

    @functools.cached_property
    def states(self) -> Any:
        """States that the cell really reaches, one for each case."""
        return self.run(self.xs[:, ::-1], self.fresh)[0]

    def take(self, params, xs, state=None, **how) -> tuple[Any, Any]:
        """One sequence, dressed, through the scan that is tried."""
        return self.scan(self.cell, params, self.dress(xs), state, method=self.method, **how)

    def jit(self, function: Callable[..., Any]) -> Callable[..., Any]:
        return jax.jit(function, compiler_options=dict(self.compiler) or None)

    def run(self, xs, states, resets=None, length=None, reverse=False) -> tuple[Any, np.ndarray]:
        """(final states, ys) of all cases; `resets` bool [CASES, STEPS], `length` int [CASES]."""
        return self._both(xs, states, resets, length, reverse)[0]

    def gradient(self, xs, states, resets=None, length=None, reverse=False) -> Any:
        """Gradients (params, xs, states) of one number made of everything that `run` returns."""
        return self._both(xs, states, resets, length, reverse)[1]

    def _both(self, xs, states, resets, length, reverse) -> Any:
        resets = np.zeros((CASES, STEPS), bool) if resets is None else resets
        length = np.full(CASES, STEPS) if length is None else length
        return jax.device_get(self._compiled[reverse](self.params, xs, states, resets, length))

    @functools.cached_property
    def _compiled(self) -> dict[bool, Any]:
        def one(reverse, params, xs, state, resets, length):
            return self.take(params, xs, state, resets=resets, length=length, reverse=reverse)

        def batched(reverse):
            return jax.vmap(functools.partial(one, reverse), (None, 0, 0, 0, 0))

        return {reverse: self.jit(_with_gradient(batched(reverse))) for reverse in (False, True)}

    @property
    def written(self) -> Callable[..., Any]:
        """What `run` and `gradient` must return, from the rules alone; the direction is data too."""
        return _writing(self.cell, self.dress, self.compiler)


# Compiled once for all methods of a cell.


@functools.cache
def _making(cell: Any, compiler: tuple[tuple[str, Any], ...]) -> Callable[..., Any]:
    """key -> (params, weights, initial state)"""

    def made(key):
        params = cell.init(key)
        weights = cell.prepare(params)
        return params, weights, cell.initial_state(weights)

    return jax.jit(made, compiler_options=dict(compiler) or None)


@functools.cache
def _writing(cell: Any, dress: Callable[[Any], Any], compiler: tuple[tuple[str, Any], ...]) -> Callable[..., Any]:
    def one(params, xs, state, resets, length, reverse):
        weights = cell.prepare(params)
        fresh = cell.initial_state(weights)

        def visit(carry, i):
            state, ys = carry
            t = jnp.where(reverse, STEPS - 1 - i, i)
            boundary = jnp.where(reverse, t + 1, t)  # the reset that stands before this visit
            starts = (boundary < length) & resets[jnp.minimum(boundary, STEPS - 1)]
            state = jax.tree.map(lambda a, b: jnp.where(starts, a, b), fresh, state)
            real = t < length
            x = dress(jnp.where(real, xs[t], jnp.zeros_like(xs[t])))
            new, y = cell.step(weights, state, x)
            state = jax.tree.map(lambda a, b: jnp.where(real, a, b), new, state)
            return (state, ys.at[t].set(jnp.where(real, y, jnp.zeros_like(y)))), None

        nothing = jnp.zeros((STEPS, cell.outputs), xs.dtype)
        return jax.lax.scan(visit, (state, nothing), jnp.arange(STEPS))[0]

    return jax.jit(_with_gradient(jax.vmap(one, (None, 0, 0, 0, 0, None))), compiler_options=dict(compiler) or None)


def _with_gradient(run: Callable[..., Any]) -> Callable[..., Any]:
    """(what `run` returns, the gradient wrt (params, xs, states) of its sum, each entry times its own number)."""

    def number(params, xs, states, *rest):
        out = run(params, xs, states, *rest)
        leaves = jax.tree.leaves(out)
        rulers = [jnp.cos(jnp.arange(leaf.size, dtype=leaf.dtype)).reshape(leaf.shape) for leaf in leaves]
        return sum(jnp.sum(leaf * ruler) for leaf, ruler in zip(leaves, rulers, strict=True)), out

    def both(*args):
        gradients, out = jax.grad(number, argnums=(0, 1, 2), has_aux=True)(*args)
        return out, gradients

    return both
