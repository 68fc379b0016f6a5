"""Each bound against NumPy, their order, what is counted, and sizes whose squares are no float32."""

import itertools

import jax
import numpy as np
import pytest

from rnnx.training import Clip

DRAWS = np.random.default_rng(0)
G = {"a": DRAWS.normal(size=(3, 4)), "b": 0.01 * DRAWS.normal(size=5), "c": np.zeros(2)}


def norm(*leaves):
    return np.sqrt(sum(np.sum(np.square(np.asarray(leaf, np.float64))) for leaf in leaves))


def by_hand(g, value, block, whole):
    """(clipped, share by value, share of blocks, whether the whole was), in that order."""
    shares = [0.0, 0.0, 0.0]
    if value:
        shares[0] = sum(np.sum(np.abs(a) > value) for a in g.values()) / sum(a.size for a in g.values())
        g = {k: np.clip(a, -value, value) for k, a in g.items()}
    if block:
        shares[1] = np.mean([norm(a) > block for a in g.values()])
        g = {k: a * min(1, block / max(norm(a), 1e-300)) for k, a in g.items()}
    if whole:
        shares[2] = float(norm(*g.values()) > whole)
        g = {k: a * min(1, whole / norm(*g.values())) for k, a in g.items()}
    return g, shares


def close(got, want, rtol=1e-12):
    jax.tree.map(lambda a, b: np.testing.assert_allclose(a, b, rtol=rtol, atol=1e-300), got, want)


@pytest.mark.parametrize("value, block, whole", [*itertools.product((0.0, 0.5), (0.0, 1.0), (0.0, 0.7))])
def test_bounds(value, block, whole):
    """Every combination, with its shares and the norms before anything was clipped."""
    got, met = jax.jit(Clip(norm=whole, value=value, block=block))(G)
    want, shares = by_hand(G, value, block, whole)
    close(got, want)
    np.testing.assert_allclose((met.by_value, met.by_block, met.by_norm), shares, rtol=1e-12)
    np.testing.assert_allclose(met.log10_norm, np.log10(norm(*G.values())), rtol=1e-12)
    np.testing.assert_allclose(met.log10_blocks["b"], np.log10(norm(G["b"])), rtol=1e-12)
    assert met.log10_blocks["c"] == -np.inf
    if value or block or whole:
        assert np.abs(got["a"] - G["a"]).max() > 1e-3


def test_the_order_matters():
    """The control of the order: the same bounds the other way round give something else."""
    got, _ = Clip(norm=0.7, value=0.5)(G)
    other = {k: np.clip(a, -0.5, 0.5) for k, a in by_hand(G, 0, 0, 0.7)[0].items()}
    assert np.abs(got["a"] - other["a"]).max() > 1e-3


def test_within_the_bounds_nothing_moves():
    """Bit for bit, in both precisions; a bound just below the norm moves something."""
    for dtype in (np.float32, np.float64):
        g = {k: a.astype(dtype) for k, a in G.items()}
        size, top = norm(*g.values()), max(np.abs(a).max() for a in g.values())
        got, met = Clip(norm=1.001 * size, value=1.001 * top, block=1.001 * size)(g)
        jax.tree.map(np.testing.assert_array_equal, got, g)
        assert (met.by_value, met.by_block, met.by_norm) == (0, 0, 0)
        assert not np.array_equal(Clip(norm=0.999 * size)(g)[0]["a"], g["a"])


@pytest.mark.parametrize("size", [1e-25, 1e30, 1e-38, 3e37])
def test_sizes_whose_squares_are_no_float32(size):
    """Measured right, and clipped right where they are above the bound; the plain norm is 0 or infinite."""
    g = {"a": np.array([3, -4], np.float32) * np.float32(size), "b": np.zeros(3, np.float32)}
    with np.errstate(over="ignore", under="ignore"):
        naive = np.sqrt(np.sum(g["a"] * g["a"]))
    assert naive == 0 or np.isinf(naive)
    got, met = Clip(norm=1.0)(g)
    assert got["a"].dtype == np.float32
    np.testing.assert_allclose(met.log10_norm, np.log10(5 * size), rtol=1e-6)
    if size > 1:
        np.testing.assert_allclose(got["a"], [0.6, -0.8], rtol=1e-4)
        np.testing.assert_allclose(Clip(block=2.0)(g)[0]["a"], [1.2, -1.6], rtol=1e-4)
    else:
        jax.tree.map(np.testing.assert_array_equal, got, g)
    assert bool(met.by_norm) == (size > 1)


def test_a_bound_whose_square_is_no_float32():
    g = {"a": np.array([3e-25, -4e-25], np.float32)}
    got, met = Clip(norm=2e-25)(g)
    np.testing.assert_allclose(np.float64(got["a"]), [1.2e-25, -1.6e-25], rtol=1e-4)
    assert met.by_norm == 1.0


def test_a_gradient_of_zero_and_one_that_is_none():
    """Zero stays zero; what is not finite is not made to look finite."""
    zero = jax.tree.map(np.zeros_like, G)
    got, met = Clip(norm=1.0, value=1.0, block=1.0)(zero)
    jax.tree.map(np.testing.assert_array_equal, got, zero)
    assert met.log10_norm == -np.inf and met.by_norm == 0
    assert np.isnan(Clip(norm=1.0)({"a": np.array([1.0, np.nan])})[0]["a"]).any()
    assert not np.isfinite(Clip(norm=1.0)({"a": np.array([1.0, np.inf])})[1].log10_norm)


@pytest.mark.parametrize("name", ["norm", "value", "block"])
@pytest.mark.parametrize("bound", [-1.0, float("nan"), float("inf")])
def test_refused(name, bound):
    with pytest.raises(ValueError, match=f"Clip.{name} is {bound}; write a number above 0, or 0 for none"):
        Clip(**{name: bound})
