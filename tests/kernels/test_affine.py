"""The affine recurrence against a loop written out: every kind, both ways of running it, every derivative."""

from functools import partial

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from rnnx.kernels import affine
from rnnx.kernels.affine_tree import levels, tree

QUICK = {"xla_backend_optimization_level": 0}
KINDS = ("diagonal", "pair", "block", "dense")
WAYS = {"loop": affine.loop, "tree": partial(tree, chunk=3), "levels": levels}
T, N = 29, 6  # 9 chunks of 3, 3 chunks of those, and something over at each level
STARTS = np.random.default_rng(1).random(T) < 0.15
VALID = np.arange(T) < 25


def drawn(kind, steps=T):
    """(a, b, first, fresh)"""
    draws = np.random.default_rng(len(kind))
    shape = {"block": (3, 2, 2), "dense": (N, N)}.get(kind, (N,))
    a = 0.6 * draws.normal(size=(steps, *shape)), 0.6 * draws.normal(size=(steps, *shape))
    b, first, fresh = ((draws.normal(size=s), draws.normal(size=s)) for s in ((steps, N), N, N))
    pair = kind == "pair"
    return (a, b, first, fresh) if pair else (a[0], b[0], first[0], fresh[0])


def matrix(kind, a, t):
    """A_t as a matrix of the real numbers that the state is made of."""
    if kind == "diagonal":
        return np.diag(a[t])
    if kind == "pair":
        re, im = np.diag(a[0][t]), np.diag(a[1][t])
        return np.block([[re, -im], [im, re]])
    if kind == "block":
        whole = np.zeros((N, N))
        for h in range(3):
            whole[2 * h : 2 * h + 2, 2 * h : 2 * h + 2] = a[t, h]
        return whole
    return a[t]


def written(kind, a, b, first, fresh, starts, valid, reverse):
    """hs by hand; leaves of a pair side by side."""

    def wide(x):
        return np.concatenate(x, -1) if isinstance(x, tuple) else x

    b, h, fresh = wide(b), wide(first), wide(fresh)
    hs = np.zeros_like(b)
    order = range(len(b))[::-1] if reverse else range(len(b))
    for t in order:
        h = fresh if starts[t] else h
        h = (matrix(kind, a, t) @ h if valid[t] else h) + b[t]
        hs[t] = h
    return hs


def run(kind, way, reverse, a, b, first, fresh, starts, valid):
    return affine.recurrence(kind, a, b, first, fresh=fresh, starts=starts, valid=valid, reverse=reverse, way=WAYS[way])


@pytest.mark.parametrize("reverse", [False, True])
@pytest.mark.parametrize("way", WAYS)
@pytest.mark.parametrize("kind", KINDS)
def test_equals_the_loop_written_out(kind, way, reverse):
    a, b, first, fresh = drawn(kind)
    b = jax.tree.map(lambda x: np.where(VALID[:, None], x, 0), b)
    compiled = jax.jit(partial(run, kind, way, reverse), compiler_options=QUICK)
    for starts in (np.zeros(T, bool), STARTS, np.ones(T, bool)):
        got = compiled(a, b, first, fresh, starts, VALID)
        got = np.concatenate(got, -1) if kind == "pair" else got
        want = written(kind, a, b, first, fresh, starts, VALID, reverse)
        np.testing.assert_allclose(got, want, rtol=0, atol=1e-11 * np.max(np.abs(want)))


@pytest.mark.parametrize("steps", [0, 1, 2, 8, 9, 10])
def test_any_number_of_steps(steps):
    a, b, first, fresh = drawn("diagonal", steps)
    got = run("diagonal", "tree", False, a, b, first, None, None, None)
    want = written("diagonal", a, b, first, fresh, np.zeros(steps, bool), np.ones(steps, bool), False)
    assert got.shape == (steps, N)
    np.testing.assert_allclose(got, want, rtol=0, atol=1e-12)


def number(kind, way, *given):
    a, b, first, fresh = given
    hs = jax.tree.leaves(run(kind, way, False, a, b, first, fresh, STARTS, VALID))
    return sum(jnp.sum(jnp.sin(h) * jnp.cos(jnp.arange(h.size, dtype=h.dtype)).reshape(h.shape)) for h in hs)


@pytest.mark.parametrize("kind", KINDS)
def test_every_derivative(kind):
    """The tree's beside those of a plain scan that JAX differentiates by itself."""
    point = jax.tree.map(jnp.asarray, drawn(kind))
    directions = jax.tree.map(jnp.cos, point)

    def plain(a, b, first, fresh):
        def visit(h, inputs):
            a, b, start, valid = inputs
            h = affine.where(start, fresh, h)
            h = affine.add(affine.moved(kind, a, h, valid), b)
            return h, h

        hs = jax.tree.leaves(jax.lax.scan(visit, first, (a, b, STARTS, VALID))[1])
        return sum(jnp.sum(jnp.sin(h) * jnp.cos(jnp.arange(h.size, dtype=h.dtype)).reshape(h.shape)) for h in hs)

    def all_of(loss):
        gradient = jax.grad(loss, (0, 1, 2, 3))
        many = jax.tree.map(lambda x: jnp.stack([x, 0.5 * x]), point)
        return (
            jax.jvp(loss, point, directions),
            gradient(*point),
            jax.jvp(gradient, point, directions)[1],
            jax.vmap(gradient)(*many),
            jax.grad(lambda *many: jnp.sum(jax.vmap(loss)(*many)), (0, 1, 2, 3))(*many),
        )

    both = jax.jit(lambda: (all_of(partial(number, kind, "tree")), all_of(plain)), compiler_options=QUICK)
    got, want = both()
    for x, y in zip(jax.tree.leaves(got), jax.tree.leaves(want), strict=True):
        np.testing.assert_allclose(x, y, rtol=0, atol=1e-10 * max(1, np.max(np.abs(y))))
    control = jax.tree.leaves(jax.grad(partial(number, kind, "tree"))(*drawn(kind)[:1], *directions[1:]))
    assert not np.allclose(control[0], jax.tree.leaves(want[1])[0])


@pytest.mark.parametrize("way", WAYS)
@pytest.mark.parametrize("bad", [np.nan, np.inf])
def test_what_a_start_discards_leaves_no_trace(way, bad):
    """In the state given, and in a state on the way: later values and their gradients keep every bit."""
    a, b, first, fresh = drawn("diagonal")
    starts = np.arange(T) == 12

    def late(a, b, first, fresh):
        hs = affine.recurrence("diagonal", a, b, first, fresh=fresh, starts=starts, way=WAYS[way])
        return jnp.sum(jnp.sin(hs[12:])), hs[12:]

    run = jax.jit(jax.value_and_grad(late, (0, 1, 2, 3), has_aux=True), compiler_options=QUICK)
    spoiled = b.copy()
    spoiled[5] = bad
    (_, want), gradients = run(a, b, first, fresh)
    (_, got), bads = run(a, spoiled, np.full(N, bad), fresh)
    np.testing.assert_array_equal(got, want)
    np.testing.assert_array_equal(bads[1][12:], gradients[1][12:])
    np.testing.assert_array_equal(bads[3], gradients[3])
    assert not np.any(bads[2])


def test_memory_does_not_grow_by_the_log_factor():
    """Temporaries of the tree beside `jax.lax.associative_scan`; the numbers agree first."""
    steps, units = 4096, 64
    keys = jax.random.split(jax.random.key(0), 2)
    a = jax.nn.sigmoid(jax.random.normal(keys[0], (steps, units), "float32"))
    b = jax.random.normal(keys[1], (steps, units), "float32")

    def ours(a, b, way=tree):
        return affine.recurrence("diagonal", a, b, jnp.zeros(units, a.dtype), way=way)

    def theirs(a, b):
        return jax.lax.associative_scan(lambda one, two: (two[0] * one[0], two[0] * one[1] + two[1]), (a, b))[1]

    programs = [jax.jit(f).lower(a, b).compile() for f in (ours, theirs)]
    got, want = (program(a, b) for program in programs)
    np.testing.assert_allclose(got, want, rtol=0, atol=1e-5 * np.max(np.abs(want)))
    mine, other = (program.memory_analysis().temp_size_in_bytes for program in programs)
    assert mine <= 0.4 * other, f"{mine} of {other} bytes"
