"""Gradient flow where no float holds the norm: linear networks, whose norms are known in closed form."""

import math
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from rnnx import diagnostics
from rnnx.cells import Elman, Readout, elman
from rnnx.cells.wrappers import readout
from rnnx.tasks.task import squared_error
from rnnx.types import Example, cell

QUICK = {"xla_backend_optimization_level": "0"}  # compiles in a fifth of the time
flow = jax.jit(diagnostics.flow, static_argnames=("cell", "loss"), compiler_options=QUICK)


def linear(rho: float, steps: int, dtype: Any, rotate: bool = True) -> tuple[Any, Any, Example]:
    """A linear network at rest: J = rho Q, dL/dy = -1 at the last step, so the norm at lag k is rho^k."""
    units = 8
    net = Readout(Elman(1, units, nonlinearity="identity"), 1)
    q = np.linalg.qr(np.random.default_rng(0).normal(size=(units, units)))[0] if rotate else np.eye(units)
    w = np.ones(units) / math.sqrt(units)
    zeros = np.zeros
    inner = elman.Params(zeros((1, 1, units)), rho * q[:, None], zeros((1, units)))
    params = readout.Params(inner, w[:, None], zeros(1))
    batch = Example(zeros((2, steps, 1)), zeros((2, steps)) + 0.5, zeros((2, steps)))
    batch.weights[:, -1] = 1
    return net, *jax.tree.map(lambda a: jnp.asarray(a, dtype), (params, batch))


@pytest.mark.parametrize("steps", [10, 1000, 10_000])
@pytest.mark.parametrize("rho", [0.5, 0.9, 1.0, 1.1])
@pytest.mark.parametrize(("dtype", "tolerance"), [("float32", 1e-2), ("float64", 1e-6)])
def test_a_known_norm_is_read_at_every_lag(dtype, tolerance, rho, steps):
    """From 10^-3010 to 10^414: no float holds them, the logarithm must be right all the same."""
    net, params, batch = linear(rho, steps, dtype)
    state = flow(net, params, batch, squared_error).state
    expected = math.log10(rho) * np.arange(steps)
    assert state.mean.dtype == dtype
    for points in state:
        assert np.max(np.abs(np.asarray(points) - expected)) < tolerance


@pytest.mark.parametrize(("rho", "steps", "expected"), [(0.5, 90, 0.0), (0.9, 10_000, 0.0), (1.1, 600, math.inf)])
def test_a_plain_norm_fails_where_flow_does_not(rho, steps, expected):
    """The control: float32's own norm reads 0 or inf even where the entries are sound."""
    net, params, batch = linear(rho, steps, "float32", rotate=False)

    def loss(state):
        final = jax.lax.scan(lambda s, x: (net.step(params, s, x)[0], None), state, batch.xs[0])[0]
        return squared_error(net.readout(params, final, batch.xs[0, 0]), batch.targets[0, -1])

    gradient = jax.grad(loss)(jnp.zeros(8, jnp.float32))
    assert jnp.linalg.norm(gradient) == expected
    assert np.isfinite(gradient).all()
    lag = flow(net, params, batch, squared_error).state.mean[-1]
    assert abs(lag - (steps - 1) * math.log10(rho)) < 1e-2


def log10_geometric(rho: float, steps: int) -> float:
    """log10 of 1 + rho + ... + rho^(T-1)."""
    if rho == 1:
        return math.log10(steps)
    if rho < 1:
        return math.log10((1 - rho**steps) / (1 - rho))
    return steps * math.log10(rho) - math.log10(rho - 1)  # T is large


@pytest.mark.parametrize("rho", [0.5, 1.0, 1.1])
@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_a_parameter_gradient_sums_over_lags_of_any_size(dtype, rho):
    """With J = rho I the bias gradient is the geometric series: 10^415 for rho = 1.1, though its last terms are 1."""
    steps = 10_000
    net, params, batch = linear(rho, steps, dtype, rotate=False)
    blocks = flow(net, params, batch, squared_error).params
    assert abs(blocks.cell.b - log10_geometric(rho, steps)) < (1e-2 if dtype == "float32" else 1e-6)
    assert np.isneginf(blocks.cell.w_h) and np.isneginf(blocks.cell.w_x)  # the states and the inputs are 0


def test_each_block_of_the_parameters_has_its_own_size():
    """Blocks are reported one by one: beside a recurrent block of 10^415 the readout's bias still reads 10^0."""
    net, params, batch = linear(1.1, 10_000, "float64", rotate=False)
    assert abs(flow(net, params, batch, squared_error).params.c) < 1e-6


@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_a_readout_that_is_blind_for_a_while_loses_nothing(dtype):
    """At blind steps dL/dy is not 0 but dL/ds by the readout is: what comes from later must go on unharmed."""

    @cell
    class Gated:
        inputs: int = 1
        outputs: int = 1

        def init(self, key):
            return jnp.full(2, 0.5)

        def prepare(self, params):
            return params

        def initial_state(self, weights):
            return jnp.zeros_like(weights)

        def step(self, weights, state, x):
            state = weights * state
            return state, self.readout(weights, state, x)

        def readout(self, weights, state, x):
            return jnp.sum(state, keepdims=True) * x

    xs = jnp.zeros((1, 600, 1), dtype).at[:, -1].set(1)
    batch = Example(xs, jnp.full((1, 600), 0.5, dtype), jnp.ones((1, 600), dtype))
    curve = flow(Gated(), jnp.full(2, 0.5, dtype), batch, squared_error).state.mean
    np.testing.assert_allclose(curve, math.log10(2) * (0.5 - np.arange(600)), atol=1e-3)


def test_an_exploding_tanh_network_beyond_float32():
    """At rest J = 3 I: 10^95 after 200 steps, where float32 ends at 10^38."""
    net, params, batch = linear(3.0, 200, "float32", rotate=False)
    net = Readout(Elman(1, 8), 1)
    got = flow(net, params, batch, squared_error)
    np.testing.assert_allclose(got.state.mean, math.log10(3) * np.arange(200), atol=1e-3)
    assert got.state.mean[-1] > 90 and got.params_total > 90
    run = jax.grad(lambda h: jax.lax.fori_loop(0, 200, lambda _, h: net.step(params, h, batch.xs[0, 0])[0], h)[0])
    assert not np.isfinite(run(jnp.zeros(8, jnp.float32))).all()


@pytest.mark.parametrize(("dtype", "size"), [("float32", 1e30), ("float64", 1e300)])
def test_examples_of_very_different_size_in_one_batch(dtype, size):
    """Each example carries an exponent of its own: 1e-300 beside 1e300 neither vanishes nor spoils."""
    net, params, batch = linear(0.5, 20, dtype)
    sizes = jnp.asarray([1 / size, size], dtype)
    both = flow(net, params, batch._replace(weights=batch.weights * sizes[:, None]), squared_error)
    one = jax.tree.map(lambda a: a[:1], batch)
    small = flow(net, params, one._replace(weights=one.weights / size), squared_error)
    lags = math.log10(0.5) * np.arange(20)
    for points in both.state:
        np.testing.assert_allclose(points, math.log10(size / 2) + lags, atol=1e-4)
    np.testing.assert_allclose(small.state.mean, lags - math.log10(size), atol=1e-4)
