"""Affine cells in blocks and chunks of every size: the numbers of the loop, whatever is left over."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import rnnx
from rnnx.cells import CELLS
from rnnx.scans import Associative, Sequential

QUICK = {"xla_backend_optimization_level": 0}
D, N, B = 3, 4, 3
# In blocks of a CPU; in chunks of chunks with something over; in blocks of chunks.
WAYS = [Associative(), Associative(chunk=0, block=0), Associative(chunk=4, block=0), Associative(chunk=4, block=30)]


@pytest.mark.parametrize("name, steps, reverse", [("lru", 103, False), ("deltanet", 50, True)])
def test_blocks_and_chunks(name, steps, reverse):
    cell, draws = CELLS[name](D, N), np.random.default_rng(0)
    xs, resets = draws.normal(size=(B, steps, D)), draws.random((B, steps)) < 0.05
    length = np.array([steps, 20, 0])

    def gradient(params, xs, method, resets=resets):
        def loss(params, xs):
            def one(x, starts, n):
                return rnnx.scan(cell, params, x, resets=starts, length=n, reverse=reverse, method=method)

            final, ys = jax.vmap(one)(xs, resets, length)
            return jnp.sum(jnp.sin(ys)) + sum(jnp.sum(a) for a in jax.tree.leaves(final))

        return jax.value_and_grad(loss, (0, 1))(params, xs)

    def all_of(params, xs):
        return [gradient(params, xs, m) for m in (Sequential(), *WAYS)], gradient(params, xs, WAYS[0], resets[:, ::-1])

    params = jax.jit(cell.init)(jax.random.key(0))
    (want, *others), control = jax.jit(all_of, compiler_options=QUICK)(params, xs)
    scales = [max(1.0, np.max(np.abs(a))) for a in jax.tree.leaves(want)]
    for got in others:
        for a, b, scale in zip(jax.tree.leaves(got), jax.tree.leaves(want), scales, strict=True):
            assert np.max(np.abs(a - b)) <= 1e-11 * scale
    assert not np.allclose(control[0], want[0])


@pytest.mark.parametrize(
    "given, says",
    [({"chunk": -1}, "at least 0"), ({"unroll": 0}, "at least 1"), ({"block": -1}, "at least 0")],
    ids=str,
)
def test_refused(given, says):
    with pytest.raises(ValueError, match=says) as error:
        Associative(**given)
    assert "\n" not in str(error.value)
