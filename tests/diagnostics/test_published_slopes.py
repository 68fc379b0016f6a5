"""Slopes of the gradient at initialisation, against a plain trial written without this library.

The adding problem, T = 200, 128 units, 32 sequences, squared error at the last step, float32, 32 seeds (the
standard error of a mean of eight is a third of the margin). Slopes are in natural logarithms per step, fitted
to lags 0.1 T to 0.9 T.
"""

import functools
import math

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from rnnx.cells import LSTM, Elman, Readout
from rnnx.diagnostics import flow, slope
from rnnx.tasks import Adding, batch

TASK = Adding(200)
QUICK = {"xla_backend_optimization_level": "2"}


@functools.cache
def slopes(cell) -> np.ndarray:
    """One slope for each of 32 seeds, of parameters and data both."""
    net = Readout(cell, 1)

    def one(seed):
        key_params, key_data = jax.random.split(jax.random.key(seed))
        drawn = net.init(key_params), batch(TASK, (), key_data, 32)
        params, examples = jax.tree.map(lambda a: a.astype(jnp.float32), drawn)
        return slope(flow(net, params, examples, TASK.loss).state.mean) * math.log(10)

    return np.asarray(jax.jit(jax.vmap(one), compiler_options=QUICK)(jnp.arange(32)))


FUSED = {"recurrent_init": "glorot_uniform_fused", "input_init": "glorot_uniform_fused"}
full = pytest.mark.full


@pytest.mark.parametrize(
    ("cell", "expected", "margin"),
    [
        (LSTM(2, 128), -0.048, 0.01),
        (Elman(2, 128, recurrent_init="orthogonal"), -0.04, 0.015),
        (Elman(2, 128, "relu", "identity"), 0.0, 1e-3),
        pytest.param(LSTM(2, 128, forget_bias=0.0), -0.30, 0.03, marks=full),
        pytest.param(LSTM(2, 128, forget_bias=2.0), 0.012, 0.01, marks=full),
        pytest.param(LSTM(2, 128, **FUSED), -0.12, 0.02, marks=full),
    ],
    ids=str,
)
def test_the_mean_slope_is_the_one_measured_elsewhere(cell, expected, margin):
    """The forget bias, and whether fan-in counts one gate or all, move the slope by far more than a seed does."""
    measured = slopes(cell)
    assert measured.shape == (32,)
    assert abs(measured.mean() - expected) < margin, measured


@full
def test_a_glorot_tanh_network_differs_from_seed_to_seed():
    """Its largest eigenvalue is drawn: only an interval can be said, and it holds for every seed."""
    measured = slopes(Elman(2, 128))
    assert np.all((measured > -0.11) & (measured < 0.02)), measured
    assert np.ptp(measured) > 0.01
