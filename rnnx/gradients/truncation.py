"""Truncated backpropagation through time."""

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from typing import Any

import jax
import jax.numpy as jnp
from jax import Array

from rnnx.gradients.bptt import Estimate
from rnnx.scans import scan
from rnnx.types import Example, step_loss


@dataclass(frozen=True)
class Truncated:
    """Every k1 steps, back through the last k2 of them: BPTT(h; h') with h = k2 and h' = k1.

    With g[t, s] the gradient of the loss of step t through the use of the parameters at step s,

        BPTT         sum_t sum_{0 <= s <= t}       g[t, s]
        Truncated    sum_t sum_{a(t) <= s <= t}    g[t, s],    a(t) = k1 (floor(t / k1) + 1) - k2

    and the mean of that over the batch. The parameters' use in the state at the start counts as one at step 0. So k1
    losses share a window: the last one reaches back over k2 steps, the first one over k2 - k1 + 1. k1 = k2 cuts the
    sequence into pieces, k1 = 1 gives every loss k2 steps, and k2 >= k1 ceil(T / k1) is the full gradient. The windows
    stand where they do whatever T and the lengths are. Loss and final states are those of the whole run; gradients
    also end where the batch begins, so that `states` carry a longer sequence from batch to batch.

    `method` is how `rnnx.scan` goes through time (None chooses). `together`: so many windows run side by side, as
    a larger batch does; it pays where a step is too little work for the machine, and costs memory.

    Cost: the forward pass of BPTT, and then k2 / k1 times its forward and backward passes, as T / (k1 together) loops
    of k2 steps. Memory: the O(B T) states of the forward pass, and what `method` keeps of k2 steps times `together`.

    Source: Williams & Peng 1990 (Neural Computation 2, 490-501; read in its abstract only), where parameters change
    after every window; here they wait for the end of the batch.

    >>> Truncated(5, 20)
    Truncated(k1=5, k2=20, method=None, together=1)
    """

    k1: int
    k2: int
    method: Any = None
    together: int = 1

    def __post_init__(self):
        for name in ("k1", "k2", "together"):
            got = getattr(self, name)
            if type(got) is not int or got < 1:
                raise ValueError(f"Truncated.{name} got {got!r}; write a whole number of at least 1")
        if self.k2 < self.k1:
            raise ValueError(
                f"Truncated.k2 got {self.k2} with k1={self.k1}, so that no step would learn from some losses; "
                f"write a k2 of at least {self.k1}, or a smaller k1"
            )

    def __call__(
        self,
        cell: Any,
        loss: Callable[[Array, Any], Array],
        params: Any,
        batch: Example,
        states: Any = None,
    ) -> Estimate:
        """As `BPTT`: `loss(y, target) -> []` scores one step; `batch` leaves lead with B, as do `states` if given."""
        examples, steps = batch.weights.shape
        k1 = max(1, min(self.k1, steps))
        count = -(-steps // k1)
        width = min(self.k2, count * k1)

        def score(ys: Array, targets: Any, weights: Array) -> Array:
            return jnp.sum(jax.vmap(partial(step_loss, loss))(ys, targets, weights))

        def forward(example: Example, state: Any) -> tuple[Array, Any, Any]:
            how = {"length": example.length, "keep": both, "method": self.method}
            final, (visited, ys) = scan(cell, params, example.xs, state, **how)
            return score(ys, example.targets, example.scored()), final, visited

        def window(params: Any, end: Array, data: Any, length: Array, state: Any, visited: Any) -> Array:
            """The k1 losses before step `end`, as a function of the parameters used in the k2 steps before it."""
            start = jnp.maximum(end - self.k2, 0)
            xs, targets, weights = jax.tree.map(lambda a: jax.lax.dynamic_slice_in_dim(a, start, width), data)
            done = jnp.minimum(start, length)
            fresh = cell.initial_state(cell.prepare(params)) if state is None else state
            state = jax.tree.map(lambda a, b: jnp.where(done == 0, a, b[jnp.maximum(done - 1, 0)]), fresh, visited)
            _, ys = scan(cell, params, xs, state, length=jnp.minimum(end, length) - done, method=self.method)
            time = start + jnp.arange(width)
            mine = (end - k1 <= time) & (time < end)
            return score(ys, targets, jnp.where(mine, weights, jnp.zeros_like(weights)))

        def add(gradients: Any, ends: Array) -> tuple[Any, None]:
            def several(params: Any) -> Array:
                of_batch = jax.vmap(window, (None, None, 0, 0, 0, 0))
                of_ends = jax.vmap(of_batch, (None, 0, None, None, None, None))
                return jnp.sum(of_ends(params, ends, data, lengths, states, visited))

            return jax.tree.map(jnp.add, gradients, jax.grad(several)(params)), None

        losses, finals, visited = jax.vmap(forward)(batch, states)
        gradients = jax.tree.map(jnp.zeros_like, params)
        if steps:
            ends = _rows(k1, count, min(count, self.together))
            data = batch.xs, batch.targets, jax.vmap(Example.scored)(batch)
            data = jax.tree.map(lambda a: _padded(a, count * k1), data)
            lengths = jnp.full(examples, steps) if batch.length is None else jnp.asarray(batch.length, ends.dtype)
            lengths = jnp.clip(lengths, 0, steps)
            gradients, _ = jax.lax.scan(add, gradients, ends)
        return Estimate(jnp.mean(losses), jax.tree.map(lambda a: a / examples, gradients), finals)


def both(state: Any, y: Array) -> tuple[Any, Array]:
    """What the forward pass keeps."""
    return state, y


def _rows(k1: int, count: int, row: int) -> Array:
    """The step after each of `count` windows, [rounds, row]; zeros, before which there is no loss, fill up."""
    ends = k1 * jnp.arange(1, -(-count // row) * row + 1)
    return jnp.where(ends <= k1 * count, ends, jnp.zeros_like(ends)).reshape(-1, row)


def _padded(a: Array, steps: int) -> Array:
    """[B, T, ...] with zeros up to so many steps."""
    more = jnp.zeros((a.shape[0], steps - a.shape[1], *a.shape[2:]), a.dtype)
    return jnp.concatenate([a, more], axis=1) if more.size else a
