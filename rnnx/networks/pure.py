"""A network as pure functions of its parameters."""

from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
from flax import nnx
from jax import Array

from rnnx.types import Example


class Pure:
    """`init(key) -> params` and `apply(params, xs, ...)` of the module that `build(rngs)` makes.

    `params` are an `nnx.State` of all `nnx.Param`s, a pytree for any optimizer; everything else in the module must be
    static. `build` is called once without computing anything, and in `init`.

    >>> import jax, jax.numpy as jnp
    >>> from rnnx.cells import LSTM
    >>> from rnnx.networks import Tagger, stacked
    >>> pure = Pure(lambda rngs: Tagger(stacked(LSTM, 3, 8, layers=2, rngs=rngs), 5, rngs=rngs))
    >>> params = jax.vmap(pure.init)(jax.random.split(jax.random.key(0), 4))                   # 4 seeds
    >>> state, ys = jax.vmap(pure.apply, (0, None))(params, jnp.ones((6, 3)))
    >>> ys.shape
    (4, 6, 5)
    """

    def __init__(self, build: Callable[[nnx.Rngs], nnx.Module]):
        self._build = build
        self.graph, params, rest = nnx.split(nnx.eval_shape(lambda: build(nnx.Rngs(0))), nnx.Param, ...)
        if jax.tree.leaves(rest):
            names = ", ".join(sorted({".".join(map(str, path)) for path, _ in nnx.to_flat_state(rest)}))
            raise ValueError(
                f"Pure: the module keeps variables that are not parameters: {names}; give them as static values, or "
                "leave them to nnx.split"
            )
        self.shapes = params

    def init(self, key: Array) -> Any:
        return nnx.split(self._build(nnx.Rngs(params=key)), nnx.Param, ...)[1]

    def merge(self, params: Any) -> Any:
        """The module with these parameters."""
        return nnx.merge(self.graph, params)

    def apply(self, params: Any, *args: Any, **how: Any) -> tuple[Any, Array]:
        """What the module returns, of ONE sequence."""
        return self.merge(params)(*args, **how)

    def outputs(self, params: Any, example: Example, state: Any = None, **how: Any) -> tuple[Any, Array]:
        """(final states, ys [T, O]) of one example; a single answer stands at every step."""
        return outputs(self.merge(params), example, state, **how)


def outputs(module: nnx.Module, example: Example, state: Any = None, **how: Any) -> tuple[Any, Array]:
    """(final states, ys [T, O]) of a module on one example; a single answer stands at every step."""
    state, ys = module(example.xs, state, length=example.length, **how)  # type: ignore[operator]
    return state, jnp.broadcast_to(ys, (example.weights.shape[0], *ys.shape)) if ys.ndim == 1 else ys
