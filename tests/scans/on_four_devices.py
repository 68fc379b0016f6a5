"""Run by test_sharded.py in a process of its own, which has four devices: time divided among them."""

import jax
import jax.numpy as jnp
import numpy as np

import rnnx
from rnnx.cells import CELLS
from rnnx.scans import Associative, sharded

T, D, N, B = 24, 3, 4, 2


def mesh():
    return jax.make_mesh((4,), ("time",), axis_types=(jax.sharding.AxisType.Auto,))


def number(out):
    leaves = jax.tree.leaves(out)
    return sum(jnp.sum(jnp.sin(a) * jnp.cos(jnp.arange(a.size, dtype=a.dtype)).reshape(a.shape)) for a in leaves)


def worst(got, want):
    pairs = zip(jax.tree.leaves(got), jax.tree.leaves(want), strict=True)
    return max(
        float(np.max(np.abs(np.asarray(a) - np.asarray(b)), initial=0) / max(1, np.max(np.abs(b)))) for a, b in pairs
    )


def case(name, dtype, reverse):
    """The largest difference of outputs and gradients from one device, and of a control that is one reset off."""
    cell, draws = CELLS[name](D, N), np.random.default_rng(0)
    params = jax.tree.map(lambda a: np.asarray(a, dtype), jax.jit(cell.init)(jax.random.key(0)))
    xs = draws.normal(size=(B, T, D)).astype(dtype)
    resets, length = np.arange(T) == 9, np.array([24, 14])
    fresh = jax.eval_shape(lambda: cell.initial_state(cell.prepare(params)))
    states = jax.tree.map(lambda a: draws.normal(size=(B, *a.shape)).astype(dtype), fresh)
    how = {"mesh": mesh(), "axis": "time", "method": Associative(chunk=2)}

    def loss(scan, resets):
        def run(params, xs, states):
            def one(x, state, n):
                return scan(cell, params, x, state, resets=resets, length=n, reverse=reverse)

            out = jax.vmap(one)(xs, states, length)
            return number(out), out

        return jax.jit(jax.value_and_grad(run, (0, 1, 2), has_aux=True))(params, xs, states)

    def divided(*args, **given):
        return sharded(*args, **given, **how)

    got, want, other = loss(divided, resets), loss(rnnx.scan, resets), loss(rnnx.scan, np.roll(resets, 1))
    return worst(got, want), worst(got, other)


def main():
    jax.config.update("jax_enable_x64", True)
    jax.config.update("jax_numpy_dtype_promotion", "strict")
    for name, dtype, bound, reverse in [
        ("mingru", "float64", 1e-12, False),
        ("lru", "float64", 1e-12, True),
        ("lru", "float32", 1e-6, False),
    ]:
        error, control = case(name, dtype, reverse)
        assert error <= bound < control, (name, dtype, reverse, error, control)
    cell = CELLS["mingru"](D, N)
    params, spoiled = jax.jit(cell.init)(jax.random.key(0)), np.ones((T, D))
    first = np.full(N, np.inf)
    _, ys = sharded(cell, params, spoiled, first, mesh=mesh(), axis="time", resets=np.arange(T) == 0)
    assert np.isfinite(ys).all(), "an infinity survived a reset on the way through devices"
    for given, says in [((CELLS["lstm"](D, N), spoiled), "not affine"), ((cell, spoiled[:-1]), "pad to a multiple")]:
        try:
            sharded(given[0], jax.jit(given[0].init)(jax.random.key(0)), given[1], mesh=mesh(), axis="time")
        except (NotImplementedError, ValueError) as error:
            assert says in str(error) and "\n" not in str(error), error
        else:
            raise AssertionError(f"not refused: {says}")
    print("all equal on", len(jax.devices()), "devices")


if __name__ == "__main__":
    main()
