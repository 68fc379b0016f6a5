"""How the matrices are drawn: gate by gate, with the bounds, moments and singular values their names promise."""

import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from rnnx.cells import GRU, INITIALISERS, LSTM, Elman
from rnnx.cells.initialisers import NUMBERED, draw

TALL, WIDE, SQUARE = (96, 4, 32), (32, 4, 96), (64, 4, 64)  # [M, G, N]


@functools.cache
def drawn(name, shape, seed=0):
    return np.asarray(draw(name, jax.random.key(seed), shape, jnp.float64))


def gates(matrix):
    return matrix.swapaxes(0, 1)


@pytest.mark.parametrize("shape", [TALL, WIDE, SQUARE], ids=["tall", "wide", "square"])
@pytest.mark.parametrize("name", ["glorot_uniform", "glorot_uniform_fused"])
def test_glorot(name, shape):
    inputs, count, units = shape
    bound = np.sqrt(6 / (inputs + (count if name.endswith("fused") else 1) * units))
    for gate in gates(drawn(name, shape)):
        assert 0.99 * bound < np.abs(gate).max() <= bound
        spread = bound / np.sqrt(3)  # of a uniform; the allowances are five standard errors
        assert abs(gate.mean()) < 5 * spread / np.sqrt(gate.size)
        assert abs(gate.var() / spread**2 - 1) < 5 * np.sqrt(0.8 / gate.size)


def test_fused_is_smaller_by_the_ratio_told():
    """An LSTM's square matrices: fan-out counts four gates, so that the variance falls by 5/2."""
    ratio = drawn("glorot_uniform", SQUARE).var() / drawn("glorot_uniform_fused", SQUARE).var()
    assert ratio == pytest.approx(2.5, rel=0.05)


@pytest.mark.parametrize("shape", [TALL, WIDE, SQUARE], ids=["tall", "wide", "square"])
def test_orthogonal(shape):
    for gate in gates(drawn("orthogonal", shape)):
        np.testing.assert_allclose(np.linalg.svd(gate, compute_uv=False), 1, rtol=1e-12)


@pytest.mark.parametrize("shape", [(3, 2, 5), (5, 2, 3), (4, 2, 4)], ids=["wide", "tall", "square"])
def test_identity(shape):
    for gate in gates(drawn("identity", shape)):
        np.testing.assert_array_equal(gate, np.eye(shape[0], shape[2]))


RULES = [f"{name}:{NUMBERED[name]}" if name in NUMBERED else name for name in INITIALISERS]


@pytest.mark.parametrize("name", [rule for rule in RULES if rule not in ("identity", "zeros")])
def test_gates_and_keys_differ(name):
    matrix, again, other = drawn(name, SQUARE), drawn(name, SQUARE), drawn(name, SQUARE, seed=1)
    np.testing.assert_array_equal(matrix, again)
    several = [*gates(matrix), *gates(other)]
    for i, a in enumerate(several):
        for b in several[:i]:
            assert abs(np.corrcoef(a.ravel(), b.ravel())[0, 1]) < 0.1


def test_the_two_matrices_are_drawn_apart():
    params = Elman(5, 5).init(jax.random.key(0))
    assert np.all(np.asarray(params.w_x) != np.asarray(params.w_h))


def test_options_reach_their_own_matrix():
    params = GRU(4, 4, recurrent_init="identity", input_init="orthogonal").init(jax.random.key(0))
    for g in range(3):
        np.testing.assert_array_equal(params.w_h[:, g], np.eye(4))
        np.testing.assert_allclose(params.w_x[:, g] @ params.w_x[:, g].T, np.eye(4), atol=1e-12)
    assert not np.array_equal(params.w_x[:, 0], np.eye(4))


@pytest.mark.parametrize("bias", [1.0, -2.0])
def test_forget_bias_stands_in_row_one_alone(bias):
    b = LSTM(3, 4, forget_bias=bias).init(jax.random.key(0)).b
    np.testing.assert_array_equal(b, np.outer([0, bias, 0, 0], np.ones(4)))
