"""The numbers that sum up a curve, on curves whose answer is known."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from rnnx.diagnostics import half_life, share_below_float32, slope
from rnnx.diagnostics.decay import LOG10_FLOAT32_TINY

LINE = 2.5 - 0.3 * np.arange(100.0)


@pytest.mark.parametrize("rate", [-30.0, -0.3, -1e-5, 0.0, 0.4])
@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_the_slope_of_a_line_is_its_own(rate, dtype):
    """Exact data, so the fit may err by rounding alone."""
    got = slope(jnp.asarray(2.5 + rate * np.arange(200.0), dtype))
    assert got.dtype == dtype
    assert abs(got - rate) < (1e-5 if dtype == "float32" else 1e-12) * max(1, abs(rate))


def test_the_slope_is_the_least_squares_one():
    """Against NumPy's fit, on a curve that is no line."""
    rough = LINE + np.random.default_rng(0).normal(size=100)
    lags = np.arange(10, 91)
    want = np.polyfit(lags, rough[lags], 1)[0]
    assert abs(slope(jnp.asarray(rough)) - want) < 1e-12
    assert abs(want - np.polyfit(np.arange(100), rough, 1)[0]) > 1e-4  # the control: the window matters


@pytest.mark.parametrize("lost", [-np.inf, np.inf, np.nan])
def test_points_that_are_not_finite_are_left_out(lost):
    """A lag without a norm says nothing about the slope."""
    curve = LINE.copy()
    curve[[15, 40, 41, 80]] = lost
    assert abs(slope(jnp.asarray(curve)) + 0.3) < 1e-12


@pytest.mark.parametrize("kept", [0, 1])
def test_fewer_than_two_points_have_no_slope(kept):
    """NaN, and no error: a batch of seeds goes on."""
    curve = np.full(100, np.nan)
    curve[50 : 50 + kept] = 1.0
    assert np.isnan(slope(jnp.asarray(curve)))
    curve[52] = 2.0
    assert np.isnan(slope(jnp.asarray(curve))) == (kept == 0)


@pytest.mark.parametrize("reach", [None, 40])
def test_only_the_middle_lags_count(reach):
    """Both ends bend: the first lags hold the loss's own shape, the last ones few examples."""
    steps = reach or 100
    inside = slice(steps // 10, 9 * steps // 10 + 1)
    bent = np.full(100, 1e6)
    bent[inside] = LINE[inside]
    want = slope(jnp.asarray(LINE), reach)
    assert slope(jnp.asarray(bent), reach) == want
    for edge in (inside.start, inside.stop - 1):  # the control: the window's own ends do count
        moved = LINE.copy()
        moved[edge] += 1
        assert slope(jnp.asarray(moved), reach) != want


def test_reach_leaves_out_what_no_example_reaches():
    """With padding the curve is longer than any example."""
    curve = np.where(np.arange(100) < 60, LINE, 77.0)
    assert abs(slope(jnp.asarray(curve), 60) + 0.3) < 1e-12
    assert abs(slope(jnp.asarray(curve)) + 0.3) > 0.1


def test_half_life():
    """Steps to half: of a halving per step 1, of one per ten steps 10; never for what does not fall."""
    rates = jnp.log10(jnp.array([0.5, 0.5**0.1, 1.0, 2.0, jnp.nan]))
    np.testing.assert_allclose(half_life(rates), [1, 10, np.inf, np.inf, np.nan])


def test_share_below_float32():
    """What a float32 study would have lost: below 2**-126, which is the edge and not a rough 1e-38."""
    edge = np.log10(np.float64(np.finfo(np.float32).tiny))
    assert abs(LOG10_FLOAT32_TINY - edge) < 1e-12
    curve = jnp.array([0.0, edge + 1e-9, edge - 1e-9, -3000.0, -jnp.inf, jnp.nan, 50.0, -37.0])
    assert share_below_float32(curve) == 3 / 8
    assert share_below_float32(curve, 4) == 2 / 4
    assert share_below_float32(curve, 2) == 0


def test_under_jit_and_vmap():
    """K seeds are a vmap."""
    rates = np.array([-0.3, 0.0, 0.2])
    curves = jnp.asarray(rates[:, None] * np.arange(50.0))
    np.testing.assert_allclose(jax.jit(jax.vmap(slope))(curves), rates, atol=1e-12)
    np.testing.assert_allclose(jax.vmap(lambda c: slope(c, 20))(curves), rates, atol=1e-12)
    np.testing.assert_allclose(jax.vmap(share_below_float32)(curves * 1000)[:2], [49 / 50, 0])
    assert jax.jit(jax.vmap(half_life))(jnp.asarray(rates)).shape == (3,)
