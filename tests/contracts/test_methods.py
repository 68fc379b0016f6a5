"""Every way through time against the reference: values, every derivative, padding, discarded states, odd sizes."""

import contextlib
import functools

import jax
import jax.numpy as jnp
import numpy as np
import options
import pytest
from test_laws import DEFAULTS, QUICK

import rnnx
from rnnx.cells import CELLS, LSTM, Elman, spell
from rnnx.scans import METHODS, Associative, Checkpointed, Deferred, Native, Newton, Sequential
from rnnx.types import cell as register

STEPS, CASES = 7, 6
LENGTHS = np.array([7, 0, 3, 7, 5, 1])
RESETS = np.random.default_rng(5).random((CASES, STEPS)) < 0.3
RESETS[3, 0] = True  # the state of this case is discarded
TOLERANCE = {"deferred": 1e-12, "checkpointed": 1e-12, "associative": 1e-10, "newton": 1e-10}
TOLERANCE |= {"native": 1e-12, "native, gates computed again": 1e-12}
# By every day: chunks that do not divide T, so that what is left over is met.
WAYS = {
    "deferred": Deferred(chunk=3),
    "checkpointed": Checkpointed(),
    "associative": Associative(),
    "newton": Newton(limit=60),
    "native": Native(),
    "native, gates computed again": Native(store=False),
}
# Of these the loop itself keeps few digits of float32 in 64 steps: states grow to 1e8, a last digit 1e4 times.
SENSITIVE = ("lstm_layer_norm", "rplrnn", "nnrnn")
ROOMS = {CELLS[case.id](3, 4) for case in options.one_of_each_room() if not case.marks}


def pairs(common):
    """(cell, name of a method it takes); by every day those that `common` picks."""
    for cell in DEFAULTS:
        for name, method in WAYS.items():
            if not method.refuses(cell):
                marks = [] if common(cell, name) else [pytest.mark.full]
                yield pytest.param(cell, name, id=f"{spell(cell)}-{name}", marks=marks)


@functools.lru_cache(maxsize=2)
def data(cell, steps=STEPS, cases=CASES, scale=1.0):
    """(params with nothing zero, all times `scale`, xs, states that are reached) as NumPy arrays."""
    draws = np.random.default_rng(len(spell(cell)))
    params = jax.jit(cell.init)(jax.random.key(3))
    params = jax.tree.map(lambda a: a + 0.1 * draws.normal(size=a.shape).astype(a.dtype), params)
    params = jax.tree.map(lambda a: np.asarray(a * a.dtype.type(scale)), params)
    dtype = jax.tree.leaves(params)[0].dtype
    xs = draws.normal(size=(cases, steps, cell.inputs)).astype(dtype)

    def reached(params, xs):
        return jax.vmap(lambda xs: rnnx.scan(cell, params, xs, method="sequential")[0])(xs)

    return params, xs, jax.device_get(jax.jit(reached, compiler_options=dict(QUICK))(params, xs[:, ::-1]))


def number(out):
    """One number made of everything."""
    leaves = jax.tree.leaves(out)
    rulers = [jnp.cos(1.3 * jnp.arange(a.size, dtype=a.dtype)).reshape(a.shape) for a in leaves]
    return sum(jnp.sum(jnp.sin(a) * r) for a, r in zip(leaves, rulers, strict=True))


def batched(cell, method, reverse=False):
    def one(params, xs, state, resets, length):
        return rnnx.scan(cell, params, xs, state, resets=resets, length=length, reverse=reverse, method=method)

    return jax.vmap(one, (None, 0, 0, 0, 0))


@functools.lru_cache(maxsize=12)
def compiled(cell, method, reverse=False):
    """(outputs, gradients of params, xs and states) of a batch."""

    def run(params, xs, states, resets, length):
        def loss(*given):
            out = batched(cell, method, reverse)(*given, resets, length)
            return number(out), out

        gradients, out = jax.grad(loss, (0, 1, 2), has_aux=True)(params, xs, states)
        return out, gradients

    return jax.jit(run, compiler_options=dict(QUICK))


def close(got, want, tolerance):
    assert jax.tree.structure(got) == jax.tree.structure(want)
    for a, b in zip(jax.tree.leaves(got), jax.tree.leaves(want), strict=True):
        a, b = np.asarray(a, np.float64), np.asarray(b, np.float64)
        error = np.max(np.abs(a - b), initial=0) / max(1.0, np.max(np.abs(b), initial=0))
        assert error <= tolerance, f"differs by {error:.1e}"


def same(got, want):
    for a, b in zip(jax.tree.leaves(got), jax.tree.leaves(want), strict=True):
        np.testing.assert_array_equal(a, b)


def common(cell, name):
    """Newton and Checkpointed see a cell as one function: one of each room is enough for every day."""
    return name not in ("newton", "checkpointed") or cell in ROOMS


@pytest.mark.parametrize("cell, name", list(pairs(common)))
def test_values_gradients_and_what_must_not_matter(cell, name):
    """One compiled program: against the reference, and again with the padding and a discarded state spoiled."""
    params, xs, states = data(cell)
    run = compiled(cell, WAYS[name])
    got = run(params, xs, states, RESETS, LENGTHS)
    close(got, compiled(cell, Sequential())(params, xs, states, RESETS, LENGTHS), TOLERANCE[name])
    padded = (np.arange(STEPS) >= LENGTHS[:, None])[..., None]
    for bad in (np.nan, np.inf, 1e30):
        discarded = jax.tree.map(lambda a, bad=bad: np.where(np.arange(CASES).reshape(-1, *[1] * (a.ndim - 1)) == 3,
                                                             a.dtype.type(bad), a), states)  # fmt: skip
        same(run(params, np.where(padded, xs.dtype.type(bad), xs), discarded, RESETS, LENGTHS), got)
    later = np.where(np.arange(STEPS)[:, None] >= 4, xs + 1, xs)  # control: what must matter
    assert not np.array_equal(run(params, later, states, RESETS, LENGTHS)[0][1], got[0][1])


@pytest.mark.parametrize("cell, name", list(pairs(lambda cell, name: cell in ROOMS)))
def test_reversed(cell, name):
    params, xs, states = data(cell)
    got, want = (compiled(cell, m, True)(params, xs, states, RESETS, LENGTHS) for m in (WAYS[name], Sequential()))
    close(got, want, TOLERANCE[name])


def everything(cell, method, params, xs, states, directions):
    """Forward mode, second derivatives, gradients per example, many seeds."""

    def loss(params, xs, states):
        return number(batched(cell, method)(params, xs, states, RESETS[: len(xs)], LENGTHS[: len(xs)]))

    def single(params, x, state, resets, length):
        return number(batched(cell, method)(params, x[None], jax.tree.map(lambda a: a[None], state), resets[None],
                                            length[None]))  # fmt: skip

    def dot(a, b):
        return sum(jax.tree.leaves(jax.tree.map(lambda x, y: jnp.sum(x * y), a, b)))

    point, gradient = (params, xs, states), jax.grad(loss, (0, 1, 2))
    seeds = jax.tree.map(lambda a: jnp.stack([a, 1.1 * a]), params)
    each = jax.vmap(jax.grad(single, (0, 1)), (None, 0, 0, 0, 0))
    return {
        "jvp": jax.jvp(loss, point, directions),
        "jvp(grad)": jax.jvp(gradient, point, directions)[1],
        "grad(grad)": jax.grad(lambda *p: dot(gradient(*p), directions), (0, 1, 2))(*point),
        "vmap(grad)": each(*point, RESETS[: len(xs)], LENGTHS[: len(xs)]),
        "seeds": jax.vmap(jax.grad(loss), (0, None, None))(seeds, xs, states),
    }


def few(cell, name):
    return cell == CELLS["s5" if name == "associative" else "elman"](3, 4)


@pytest.mark.parametrize("cell, name", list(pairs(few)))
def test_every_derivative(cell, name):
    """Equal to the reference, never silently different."""
    params, xs, states = data(cell)
    xs, states = xs[2:4], jax.tree.map(lambda a: a[2:4], states)
    draws = np.random.default_rng(1)
    directions = jax.tree.map(lambda a: draws.normal(size=a.shape).astype(a.dtype), (params, xs, states))
    run = jax.jit(everything, static_argnums=(0, 1), compiler_options=dict(QUICK))
    got, want = (run(cell, m, params, xs, states, directions) for m in (WAYS[name], Sequential()))
    for kind in want:
        close(got[kind], want[kind], 100 * TOLERANCE[name])


@pytest.mark.parametrize("name", WAYS)
@pytest.mark.parametrize("steps, units, cases", [(0, 4, 2), (1, 1, 1), (13, 1, 1)])
def test_odd_sizes(name, steps, units, cases):
    cell = CELLS["mingru" if name == "associative" else "lstm"](1, units)
    params, xs, states = data(cell, max(steps, 1), cases)
    given = params, xs[:, :steps], states, np.zeros((cases, steps), bool), np.full(cases, steps)
    got, want = (compiled(cell, method)(*given) for method in (WAYS[name], Sequential()))
    close(got, want, TOLERANCE[name])


@pytest.mark.parametrize("name", WAYS)
@pytest.mark.parametrize("of", options.one_of_each_room())
def test_float32(name, of):
    """5e-6 of the largest entry at 64 steps.

    The rounding of Newton and of the native kernel is another one than the loop's. Where the dynamics keep all of it
    (norms kept, sums through time), it may be half of what the loop itself is off the numbers in float64.
    """
    with jax.enable_x64(False):
        cell = CELLS[of](3, 8)
        if WAYS[name].refuses(cell):
            pytest.skip(WAYS[name].refuses(cell))
        params, xs, states = data(cell, 64, 2, 0.5 if of in SENSITIVE else 1.0)
        plain = METHODS[name]() if name in METHODS else WAYS[name]
        marks = np.zeros((2, 64), bool), np.array([64, 50])
        got, want = (compiled(cell, method)(params, xs, states, *marks) for method in (plain, Sequential()))
        assert jax.tree.leaves(got)[0].dtype == "float32"
    truth = want
    if name == "newton" or name.startswith("native"):
        compiled.cache_clear()
        wide = jax.tree.map(lambda a: a.astype(np.float64), (params, xs, states))
        truth = compiled(cell, Sequential())(*wide, *marks)
    for a, b, c in zip(*map(jax.tree.leaves, jax.device_get((got, want, truth))), strict=True):
        allowed = max(5e-6 * np.max(np.abs(b)), np.max(np.abs(b - c)) / 2)
        assert np.max(np.abs(a - b)) <= allowed


@register
class Shifted(Elman):
    """A cell whose update is another one when it is differentiated: what no comparison may miss."""

    def update(self, weights, h, u, v):
        return super().update(weights, h, u, jax.tree.map(lambda a: a + 1e-9, v))


def test_the_comparison_can_fail():
    params, xs, states = data(Elman(3, 4))
    got, want = (compiled(c, Deferred())(params, xs, states, RESETS, LENGTHS) for c in (Shifted(3, 4), Elman(3, 4)))
    with pytest.raises(AssertionError, match="differs"):
        close(got, want, 1e-10)


def test_a_refusal_names_the_way_that_works():
    for name, method in METHODS.items():
        for cell in DEFAULTS:
            reason = method().refuses(cell)
            if reason:
                with pytest.raises(NotImplementedError, match="method=|take Newton") as error:
                    rnnx.scan(cell, None, np.ones((3, cell.inputs)), method=name)
                assert "\n" not in str(error.value)
    with contextlib.suppress(NotImplementedError):
        rnnx.scan(LSTM(3, 4), None, np.ones((3, 3)), method="associative")
        raise AssertionError("an LSTM is not affine")
