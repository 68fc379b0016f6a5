"""What holds for any sequence in two parts, and for norms at any scale."""

import math

import jax
import numpy as np
from drawing import fails, holds
from hypothesis import assume
from hypothesis import strategies as st

import rnnx
from rnnx.cells import LSTM, Elman, Readout
from rnnx.diagnostics import log10_norm

STEPS = 6
CELLS = (Readout(Elman(2, 3), 1), Readout(LSTM(2, 3), 1))
PARAMS = {cell: cell.init(jax.random.key(0)) for cell in CELLS}
FLAGS = st.lists(st.booleans(), min_size=STEPS, max_size=STEPS)
NUMBERS = st.lists(st.floats(-3, 3), min_size=2 * STEPS, max_size=2 * STEPS)


def parted(cell, numbers, resets, length, cut, carried=True):
    xs, resets = np.reshape(numbers, (STEPS, 2)), np.array(resets)
    params = PARAMS[cell]
    final, ys = rnnx.scan(cell, params, xs, resets=resets, length=np.int32(length))
    middle, first = rnnx.scan(cell, params, xs[:cut], resets=resets[:cut], length=np.int32(min(length, cut)))
    rest = {"resets": resets[cut:], "length": np.int32(max(length - cut, 0))}
    last, second = rnnx.scan(cell, params, xs[cut:], middle if carried else None, **rest)
    for a, b in zip(
        jax.tree.leaves((final, ys)), jax.tree.leaves((last, np.concatenate([first, second]))), strict=True
    ):
        np.testing.assert_allclose(a, b, rtol=1e-12, atol=1e-14)


SEQUENCES = dict(cell=st.sampled_from(CELLS), numbers=NUMBERS, resets=FLAGS, length=st.integers(0, STEPS),
                 cut=st.integers(0, STEPS))  # fmt: skip


@holds(**SEQUENCES)
def test_a_sequence_in_two_parts_is_the_whole(cell, numbers, resets, length, cut):
    parted(cell, numbers, resets, length, cut)


def test_the_control_forgets_the_state_between():
    assert fails(lambda **drawn: parted(**drawn, carried=False), **SEQUENCES)


def scaled(values, power, dtype):
    """Numbers of a dtype that are zero or normal, and the log10 of their norm in long double."""
    numbers = np.array([math.ldexp(value, power) for value in values]).astype(dtype)
    assume(np.isfinite(numbers).all() and (np.abs(numbers[numbers != 0]) >= np.finfo(dtype).tiny).all())
    with np.errstate(divide="ignore"):
        return numbers, float(np.log10(np.sqrt(np.sum(np.square(numbers.astype(np.longdouble))))))


VALUES = st.lists(st.floats(-2, 2).filter(lambda v: v == 0 or abs(v) > 1e-3), min_size=1, max_size=5)


@holds(values=VALUES, power=st.integers(-120, 120))
def test_norms_in_float32_at_any_scale(values, power):
    numbers, want = scaled(values, power, np.float32)
    np.testing.assert_allclose(float(log10_norm({"a": numbers})), want, rtol=5e-7, atol=5e-7)


@holds(values=VALUES, power=st.integers(-1000, 1000))
def test_norms_in_float64_at_any_scale(values, power):
    numbers, want = scaled(values, power, np.float64)
    np.testing.assert_allclose(float(log10_norm([numbers[:1], numbers[1:]])), want, rtol=1e-14, atol=1e-14)
