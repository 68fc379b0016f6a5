"""A cheap look at the dynamics, to choose a way through time by."""

from functools import partial
from typing import Any

import jax
import jax.numpy as jnp
from jax import Array


@partial(jax.jit, static_argnums=0)
def exponent(cell: Any, params: Any, xs: Any, state: Any = None, key: Array | None = None) -> Array:
    """An estimate of the largest Lyapunov exponent along one sequence: natural log per step, [].

        d_t = J_t d_{t-1} / |d_{t-1}|,    the mean of log |d_t| over the second half of the steps

    One random tangent through one sequential pass (about two forward passes): cheap and rough, a few steps of it mean
    nothing. Below 0 the dynamics forget and `Newton` is fast; above 0 they are chaotic and it will not converge.
    -inf where the tangent vanishes altogether. Source: Benettin et al. 1980 (Meccanica 15, 9-20), for one exponent.
    """
    weights = cell.prepare(params)
    state = cell.initial_state(weights) if state is None else state
    leaves, structure = jax.tree.flatten(state)
    keys = jax.random.split(jax.random.key(0) if key is None else key, len(leaves))
    drawn = [jax.random.normal(k, a.shape, a.dtype) for k, a in zip(keys, leaves, strict=True)]

    def norm(tangent: Any) -> Array:
        top = jnp.max(jnp.stack([jnp.max(jnp.abs(a)) for a in jax.tree.leaves(tangent)]))
        scale = jnp.where(top > 0, top, jnp.ones_like(top))  # squares of small numbers are zero
        return top * jnp.sqrt(sum(jnp.sum(jnp.square(a / scale)) for a in jax.tree.leaves(tangent)))

    def visit(carry: Any, x: Any) -> Any:
        state, tangent = carry
        state, tangent = jax.jvp(lambda state: cell.step(weights, state, x)[0], (state,), (tangent,))
        grown = norm(tangent)
        unit = jnp.where(grown > 0, grown, jnp.ones_like(grown))
        return (state, jax.tree.map(lambda a: a / unit, tangent)), jnp.log(grown)

    tangent = structure.unflatten(drawn)
    first = norm(tangent)
    _, growth = jax.lax.scan(visit, (state, jax.tree.map(lambda a: a / first, tangent)), xs)
    return jnp.mean(growth[growth.shape[0] // 2 :])
