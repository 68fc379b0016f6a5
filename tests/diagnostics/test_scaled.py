"""Numbers with an exponent of their own: exact where they claim it, right where floats end."""

import math
from fractions import Fraction

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

from rnnx.diagnostics import log10_norm
from rnnx.diagnostics.scaled import Scaled, add, align, exponent_of, largest, log10_mean, power_of_two

DTYPES = ("float32", "float64", "bfloat16")


def exact(number: Scaled) -> list[Fraction]:
    """What a Scaled holds, without rounding."""
    values = [Fraction(float(v)) for v in np.ravel(number.value)]
    return [v and v * Fraction(2) ** int(number.exponent) for v in values]


def scaled(values, power: int, dtype="float32") -> Scaled:
    return Scaled(jnp.asarray(values, dtype), jnp.asarray(power, jnp.int32))


@pytest.mark.parametrize("dtype", DTYPES)
def test_powers_of_two_are_exact(dtype):
    """A scale that rounds would round every norm at every step."""
    info = jnp.finfo(dtype)
    powers = np.arange(info.minexp, info.maxexp, dtype=np.int32)
    got = jax.vmap(lambda n: power_of_two(n, dtype))(powers)
    assert got.dtype == dtype
    np.testing.assert_array_equal(np.asarray(got, np.float64), [math.ldexp(1, int(n)) for n in powers])


@pytest.mark.parametrize("dtype", DTYPES)
def test_powers_beyond_the_normal_numbers_are_the_nearest(dtype):
    """Never 0 and never inf, by which a number would be lost."""
    info = jnp.finfo(dtype)
    low, high = (float(power_of_two(jnp.int32(n), dtype)) for n in (-5000, 5000))
    assert (low, high) == (math.ldexp(1, int(info.minexp)), math.ldexp(1, int(info.maxexp) - 1))


@pytest.mark.parametrize("dtype", DTYPES)
def test_exponents_are_those_of_frexp(dtype):
    """2**(e-1) <= x < 2**e, over all normal numbers; 0 for what has none."""
    info = jnp.finfo(dtype)
    ones = np.asarray([math.ldexp(m, int(n)) for n in range(info.minexp, info.maxexp) for m in (1, 1.5)])
    got = exponent_of(jnp.asarray(ones, dtype))
    assert got.dtype == jnp.int32
    np.testing.assert_array_equal(got, [math.frexp(x)[1] for x in ones])
    assert exponent_of(jnp.asarray([0, np.inf, -np.inf, np.nan, -1], dtype)).tolist() == [0] * 5


@pytest.mark.parametrize("dtype", DTYPES)
def test_normalise_changes_the_writing_only(dtype):
    """The same number, its largest entry in [1/2, 1), or a little above it at the end of the range."""
    info = jnp.finfo(dtype)
    powers = [info.minexp + 10, -20, 0, 1, 60, info.maxexp - 2, info.maxexp - 1, info.maxexp]
    for power in map(int, powers):
        before = scaled(np.ldexp(np.array([0.75, -0.5, 0.0]), power), 1000, dtype)
        after = add(before)
        assert exact(after) == exact(before), power
        assert largest(after.value) == (0.75 if power < info.maxexp - 1 else 0.75 * 2 ** (power - info.maxexp + 2)), (
            power
        )
        assert after.value.dtype == dtype and after.exponent.dtype == jnp.int32


def test_normalise_passes_zero_infinity_and_nan():
    """They have no exponent of their own, and must come out as they went in."""
    for value in (0.0, np.inf, -np.inf, np.nan):
        after = add(scaled([value], 7))
        np.testing.assert_array_equal(after.value, np.float32([value]))
        assert after.exponent == 7 or value == 0


@pytest.mark.parametrize("gap", [0, 1, 3, 11])
def test_add_is_exact_where_the_sum_fits(gap):
    """Against fractions: entries of few bits whose exponents differ by little."""
    a, b = scaled([3.0, -5.0, 0.0], -4000, "float32"), scaled([7.0, 2.0, 1.0], -4000 + gap, "float32")
    want = [x + y for x, y in zip(exact(a), exact(b), strict=True)]
    assert exact(add(a, b)) == want == exact(add(b, a))
    assert exact(add(a, scaled([3.0, -5.0, 1.0], -4000))) != want  # the control: another sum is another sum


@pytest.mark.parametrize("gap", [100, 150, 199, 201, 5000, 2**29])
def test_add_keeps_the_larger_where_exponents_are_far_apart(gap):
    """What is too small to matter leaves the larger as it is, even where `gap` exceeds every float's exponent."""
    a, b = scaled([0.75, -0.5], gap // 2), scaled([0.75, 0.75], -gap // 2)
    for total in (add(a, b), add(b, a)):
        assert total.exponent == gap // 2
        np.testing.assert_array_equal(total.value, a.value)


def test_add_of_zero_is_the_other():
    """A zero has any exponent: it must not decide which one is kept."""
    zero, small = scaled([0.0, 0.0], 10_000), scaled([0.5, 0.25], -10_000)
    for total in (add(zero, small), add(small, zero)):
        assert exact(total) == exact(small)
    assert exact(add(zero, zero)) == [0, 0]
    cancelled = add(small, Scaled(-small.value, small.exponent))
    assert exact(cancelled) == [0, 0]


def test_add_lets_nan_and_infinity_through():
    """A broken gradient must show."""
    one = scaled([0.5, 0.5], 0)
    assert np.isnan(add(one, scaled([np.nan, 0.0], -5)).value[0])
    assert np.isinf(add(scaled([np.inf, 0.0], -5), one).value[0])


def test_add_takes_pytrees():
    """One exponent for all leaves."""
    a = Scaled({"h": jnp.ones(2), "c": (jnp.full(1, 4.0),)}, jnp.int32(5000))
    total = add(a, a)
    assert exact(Scaled(total.value["h"], total.exponent)) == [Fraction(2) ** 5001] * 2
    assert exact(Scaled(total.value["c"][0], total.exponent)) == [Fraction(2) ** 5003]


def test_align_moves_to_an_exponent():
    """Exact within the float's range; exactly 0 far below it."""
    number = add(scaled([0.5, -0.75], -3000))
    for top in (-3000, -2990, -2900):
        assert exact(Scaled(align(number, jnp.int32(top)), jnp.int32(top))) == exact(number)
    assert not np.any(align(number, jnp.int32(0)))


# ------------------------------------------------------------------------------------------ logarithms


@pytest.mark.parametrize("size", [1e-300, 1e-160, 1e-25, 1.0, 1e25, 1e160, 1e300, 1.7e308])
def test_log10_norm_in_float64(size):
    """Squares leave float64 below 1e-162 and above 1e154; the norm does not."""
    entries = np.array([3.0, 4.0, 12.0]) / 13 * size
    want = math.log10(size)
    assert abs(log10_norm(jnp.asarray(entries)) - want) < 1e-12 * max(1, abs(want))
    assert abs(log10_norm(jnp.asarray(entries), 4000) - want - 4000 * math.log10(2)) < 1e-9


@pytest.mark.parametrize("size", [1e-37, 1e-25, 1e-10, 1.0, 1e10, 1e25, 8e37, 1e38, 3e38])
def test_log10_norm_in_float32(size):
    """The same, to the rounding of a float32 of this size."""
    got = log10_norm(jnp.asarray([size, 0.0], jnp.float32))
    assert got.dtype == jnp.float32
    assert abs(float(got) - math.log10(size)) < 1e-5


def test_log10_norm_over_leaves_and_edges():
    """One norm of all leaves; -inf for zero, NaN and inf as they are."""
    assert abs(log10_norm({"a": jnp.full((2, 2), 1e-200), "b": jnp.full(12, 1e-200)}) - math.log10(4e-200)) < 1e-9
    assert log10_norm(jnp.zeros(3)) == -jnp.inf
    assert jnp.isnan(log10_norm(jnp.array([jnp.nan, 1.0])))
    assert log10_norm(jnp.array([jnp.inf, 1.0])) == jnp.inf


@pytest.mark.parametrize(("size", "theirs"), [(1e-25, 0.0), (1e25, math.inf)])
def test_optax_loses_what_log10_norm_keeps(size, theirs):
    """Why this module exists: the norm in common use, beside ours, on the same float32 entries."""
    entries = jnp.asarray([3 * size, 4 * size], jnp.float32)
    assert optax.tree.norm(entries) == theirs
    assert abs(log10_norm(entries) - math.log10(5 * size)) < 1e-5


def test_log10_mean_of_numbers_that_no_float_holds():
    """Over the real ones only; NaN if there is none."""
    numbers = jnp.array([-3000.0, -3001.0, 500.0])
    got = log10_mean(numbers, jnp.array([True, True, False]))
    assert abs(got - (math.log10(1.1 / 2) - 3000)) < 1e-9
    assert log10_mean(jnp.array([-jnp.inf, -jnp.inf]), jnp.array([True, True])) == -jnp.inf
    assert abs(log10_mean(jnp.array([-jnp.inf, 2.0]), jnp.array([True, True])) - math.log10(50)) < 1e-9
    assert jnp.isnan(log10_mean(numbers, jnp.zeros(3, bool)))
    assert jnp.isnan(log10_mean(jnp.array([jnp.nan, 1.0]), jnp.array([True, True])))
