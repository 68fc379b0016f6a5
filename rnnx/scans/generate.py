"""A cell that feeds itself."""

from collections.abc import Callable
from functools import partial
from typing import Any

import jax
from jax import Array

from rnnx.scans import checks


def generate(
    cell: Any,
    params: Any,
    feed: Callable[[Array, Any], Any],
    x0: Any,
    steps: int,
    state: Any = None,
    *,
    key: Array | None = None,
) -> tuple[Any, Array]:
    """Let `cell` run on its own outputs: (final state, ys [steps, O]).

        s_t, y_t = step(w, s_{t-1}, x_t),    x_{t+1} = feed(y_t, key_t),    t = 0 .. steps-1

    x0: the first input, one step of one sequence [D] or a pytree; `feed` must return its like. key_t is `key`
    folded with t, and None without a key. A prompt is read by `rnnx.scan`, whose final state goes in here. `feed` is
    static, like `keep` of `scan`: a function of its own, not a new lambda per call. Always step after step.

    >>> import jax.numpy as jnp, rnnx
    >>> from rnnx.cells import Elman, elman
    >>> params = elman.Params(w_x=jnp.ones((1, 1, 1)), w_h=jnp.zeros((1, 1, 1)), b=jnp.ones((1, 1)))
    >>> def echo(y, key):
    ...     return y
    >>> rnnx.generate(Elman(1, 1, nonlinearity="identity"), params, echo, jnp.zeros(1), 4)[1][:, 0].tolist()
    [1.0, 2.0, 3.0, 4.0]
    """
    if not isinstance(steps, int) or steps < 0:
        raise ValueError(f"generate: steps is {steps!r}; write a whole number of at least 0")
    if not callable(feed):
        raise TypeError(f"generate: feed is {feed!r}; give a function of (y, key) that returns the next x")
    checks.values(cell, x0, None)
    return _generate(cell, params, feed, x0, steps, state, key)


@partial(jax.jit, static_argnames=("cell", "feed", "steps"))
def _generate(cell, params, feed, x0, steps, state, key):
    checks.inputs(cell, jax.tree.map(lambda a: a[None], x0), None, None)
    checks.parameters(cell, params)
    weights = cell.prepare(params)
    initial = jax.eval_shape(cell.initial_state, weights)
    if state is None:
        state = cell.initial_state(weights)
    else:
        checks.match("generate: state", state, initial, f"start from cell.initial_state(weights) of {cell}")
    shape = jax.eval_shape(cell.step, weights, state, x0)[1]
    fed = jax.eval_shape(feed, shape, key)
    checks.match("generate: what feed returns", fed, jax.eval_shape(lambda: x0), "return an x like x0", "x0")

    def visit(carry: Any, t: Array) -> tuple[Any, Array]:
        state, x = carry
        state, y = cell.step(weights, state, x)
        return (state, feed(y, None if key is None else jax.random.fold_in(key, t))), y

    (state, _), ys = jax.lax.scan(visit, (state, x0), jax.numpy.arange(steps))
    return state, ys
