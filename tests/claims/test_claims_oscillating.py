"""What the papers say of the cells that oscillate and of those of continuous time, each with a control."""

import dataclasses
import math

import jax
import jax.numpy as jnp
import numpy as np
from jax.flatten_util import ravel_pytree
from scipy.integrate import solve_ivp

import rnnx
from rnnx.cells.leaky.cfc import CfC
from rnnx.cells.leaky.cornn import CoRNN
from rnnx.cells.leaky.cornn import State as CoRNNState
from rnnx.cells.leaky.lem import LEM
from rnnx.cells.leaky.lmu import LMU
from rnnx.cells.leaky.ltc import LTC
from rnnx.cells.leaky.unicornn import State as UnICORNNState
from rnnx.cells.leaky.unicornn import UnICORNN
from rnnx.cells.simple.elman import Elman
from rnnx.types import Timed


def drawn(cell, scale=0.4):
    """Parameters of N(0, scale^2)."""
    draws = np.random.default_rng(0)
    shapes = jax.eval_shape(cell.init, jax.random.key(0))
    return jax.tree.map(lambda a: scale * draws.normal(size=a.shape), shapes)


def states(cell, params, xs, state=None):
    """All states of one sequence, one tree of [T, ...], in NumPy."""

    @jax.jit
    def run(params, xs, state):
        weights = cell.prepare(params)
        state = cell.initial_state(weights) if state is None else state
        return jax.lax.scan(lambda s, x: (cell.step(weights, s, x)[0],) * 2, state, xs)[1]

    return jax.tree.map(np.asarray, run(params, xs, state))


def jacobian(cell, params, state, xs):
    """d(final state) / d(state), as one matrix."""
    flat, unflatten = ravel_pytree(state)

    @jax.jit
    @jax.jacobian
    def run(flat, params, xs):
        weights = cell.prepare(params)
        final = jax.lax.scan(lambda s, x: (cell.step(weights, s, x)[0], None), unflatten(flat), xs)[0]
        return ravel_pytree(final)[0]

    return run(flat, params, xs)


# ------------------------------------------------------------------------------------------------------- coRNN


def test_cornn_bounds_its_energy():
    """Rusch & Mishra 2021, section 3: gamma |y|^2 + |z|^2 <= N t, if epsilon >= (1 + gamma dt) / 2.

    Each unit is driven by the sign of its own speed, which feeds an oscillator best. Control: no damping.
    """

    def excess(epsilon):
        cell = CoRNN(1, 6, epsilon=epsilon, implicit=True)
        params = drawn(cell, 0.0)
        params = params._replace(w_x=params.w_x + 1, w_h=np.concatenate((0 * np.eye(6), 50 * np.eye(6)))[:, None])
        y, z = states(cell, params, jnp.full((2000, 1), 0.1))
        time = cell.dt * np.arange(1, 2001)
        return np.max((cell.gamma * np.sum(y**2, 1) + np.sum(z**2, 1)) / (cell.units * time))

    assert 0.01 < excess((1 + 2.7 * 0.042) / 2) <= 1
    assert excess(4.7) <= 1
    assert excess(0.0) > 5


def test_cornn_gradients_neither_explode_nor_vanish():
    """The gradient over a given time tends to a limit as the steps between become more and smaller.

    Control: an Elman network forgets with each step.
    """

    def largest(build, steps):
        cell = build(2.0 / steps)
        params = drawn(cell)
        state = cell.initial_state(cell.prepare(params))
        return np.linalg.svd(jacobian(cell, params, state, jnp.full((steps, 1), 0.5)))[1][[0, -1]]

    coarse, fine = (largest(lambda dt: CoRNN(1, 8, dt=dt), steps) for steps in (200, 800))
    np.testing.assert_allclose(fine, coarse, rtol=0.5)
    assert fine[1] > 1e-6
    coarse, fine = (largest(lambda dt: Elman(1, 8), steps) for steps in (200, 800))
    assert fine[0] < 1e-9 * coarse[0]


# ---------------------------------------------------------------------------------------------------- UnICORNN


def test_unicornn_keeps_volume():
    """A symplectic step has a Jacobian of determinant 1. Control: coRNN, which is damped."""
    xs = np.random.default_rng(0).normal(size=(20, 2))
    draws = np.random.default_rng(1).normal(size=(2, 5))
    for cell, state in ((UnICORNN(2, 5), UnICORNNState(*draws)), (CoRNN(2, 5), CoRNNState(*draws))):
        volume = np.linalg.det(jacobian(cell, drawn(cell, 0.3), state, xs))
        assert (abs(volume - 1) < 1e-10) == isinstance(cell, UnICORNN)


def test_unicornn_can_be_undone():
    """The paper's way to backpropagate without stored states: from the last state back to the first."""
    cell = UnICORNN(2, 5)
    params = drawn(cell, 0.3)
    xs = np.random.default_rng(0).normal(size=(500, 2))
    path = states(cell, params, xs)
    d = cell.dt / (1 + np.exp(-params.c))
    y, z = path.y[-1], path.z[-1]
    for x in xs[::-1]:
        y = y - d * z
        z = z + d * (np.tanh(params.w[0] * y + x @ params.w_x[:, 0] + params.b[0]) + cell.alpha * y)
    assert np.max(np.abs(path.y)) > 0.1
    np.testing.assert_allclose((y, z), np.zeros((2, 5)), atol=1e-10)


def test_unicornn_conserves_its_hamiltonian():
    """H moves by O(dt) about its value and never drifts. Control: the explicit Euler method on the same system."""

    def energies(dt):
        cell = UnICORNN(1, 4, dt=dt, alpha=3.0)
        params = drawn(cell, 0.3)
        w, b = np.abs(params.w[0]) + 0.1, params.b[0]
        params = params._replace(w=w[None])
        start = UnICORNNState(*np.random.default_rng(1).normal(size=(2, 4)))

        def hamiltonian(y, z):
            return np.sum(
                z**2 / 2 + cell.alpha * y**2 / 2 + (np.logaddexp(w * y + b, -w * y - b) - np.log(2)) / w, axis=-1
            )

        path = states(cell, params, np.zeros((20000, 1)), start)
        y, z = start
        d = dt / (1 + np.exp(-params.c))
        for _ in range(2000):
            y, z = y + d * z, z - d * (np.tanh(w * y + b) + cell.alpha * y)
        return hamiltonian(*path) / hamiltonian(*start), hamiltonian(y, z) / hamiltonian(*start)

    coarse, explicit = energies(0.1)
    fine, _ = energies(0.05)
    moves = [np.ptp(path) for path in (coarse, fine)]
    assert moves[0] < 0.2 and 1.7 < moves[0] / moves[1] < 2.3
    assert abs(np.mean(coarse[:5000]) - np.mean(coarse[-5000:])) < 1e-3
    assert explicit > 100


# --------------------------------------------------------------------------------------------------------- LEM


def test_lem_bounds_its_states():
    """Rusch et al. 2022, section 4: |y|, |z| <= min(1, sqrt(t / (2 - dt))), whatever the weights. Control: dt > 1."""
    xs = 3 * np.random.default_rng(0).normal(size=(300, 2))

    def path(dt):
        cell = LEM(2, 8, dt=dt)
        return cell, states(cell, drawn(cell, 3.0), xs)

    for dt in (0.1, 1.0):
        cell, (y, z) = path(dt)
        bound = np.minimum(1, np.sqrt(dt * np.arange(1, 301) / (2 - dt)))[:, None]
        assert np.all(np.abs(y) <= bound) and np.all(np.abs(z) <= bound)
        assert np.max(np.abs(z)) > 0.5
    _, (y, z) = path(1.9)
    assert np.max(np.abs(z)) > 1


def test_lem_has_many_time_scales():
    """Each unit forgets at its own rate in (0, dt), which moves with the input. Control: coRNN has one rate."""

    def rates(cell, params, x):
        zero = cell.initial_state(cell.prepare(params))
        return 1 - np.diag(jacobian(cell, params._replace(w_h=0 * params.w_h), zero, x[None]))[cell.units :]

    calm, loud = np.zeros(2), np.full(2, 3.0)
    cell = LEM(2, 8, dt=0.5)
    params = drawn(cell)
    params.b[0] += np.linspace(-10, 3, 8)
    slow, fast = (rates(cell, params, x) for x in (calm, loud))
    for found in (slow, fast):
        assert np.all((found > 0) & (found < 0.5))
    assert np.max(slow) > 1000 * np.min(slow)
    assert np.max(np.abs(np.log(fast / slow))) > 0.3

    cell = CoRNN(2, 8)
    np.testing.assert_allclose(rates(cell, drawn(cell), loud), cell.dt * cell.epsilon)


# --------------------------------------------------------------------------------------------------------- LTC


def test_ltc_solves_its_equation():
    """More and smaller fused steps approach the solution of eq. 1, with an error of first order."""
    cell = LTC(2, 4, dt=3.0)
    params = drawn(cell, 1.0)
    tau, x = np.exp(params.log_tau), np.array([0.5, -1.0])

    def slope(t, h):
        f = 1 / (1 + np.exp(-(x @ params.w_x[:, 0] + h @ params.w_h[:, 0] + params.b[0])))
        return -(1 / tau + f) * h + f * params.a

    want = solve_ivp(slope, (0, cell.dt), np.zeros(4), rtol=1e-10, atol=1e-12).y[:, -1]

    def error(unfolds):
        one = dataclasses.replace(cell, unfolds=unfolds)
        return np.max(np.abs(states(one, params, x[None])[-1] - want))

    errors = error(8), error(16)
    assert errors[0] < 0.1 and 1.7 < errors[0] / errors[1] < 2.3


def test_ltc_bounds_its_time_constant():
    """Hasani et al. 2021, theorem 1: tau / (1 + tau W) <= tau_sys <= tau, here with W = 1, the largest f.

    tau_sys is measured: without W_h one step multiplies h by 1 / (1 + dt / tau_sys). Control: tanh is negative too.
    """

    def measured(nonlinearity):
        cell = LTC(2, 6, unfolds=1, nonlinearity=nonlinearity)
        params = drawn(cell, 0.5)
        params = params._replace(w_h=0 * params.w_h)
        xs = 3 * np.random.default_rng(0).normal(size=(50, 1, 2))
        kept = jax.vmap(lambda x: jnp.diag(jacobian(cell, params, jnp.zeros(6), x)))(xs)
        return np.exp(params.log_tau), cell.dt / (1 / np.array(kept) - 1)

    tau, liquid = measured("sigmoid")
    assert np.all(liquid > tau / (1 + tau)) and np.all(liquid < tau)
    assert np.all(np.ptp(liquid, axis=0) > 0.2 * (tau - tau / (1 + tau)))  # it does vary with the input
    tau, liquid = measured("tanh")
    assert np.any((liquid > tau) | (liquid < 0))


def test_ltc_bounds_its_state():
    """Theorem 2: min(0, A) <= h <= max(0, A), however large the input. Control: tanh."""
    xs = 1000 * np.random.default_rng(0).normal(size=(200, 2))

    def path(nonlinearity):
        cell = LTC(2, 6, nonlinearity=nonlinearity)
        params = drawn(cell, 2.0)
        return params.a, states(cell, params, xs)

    a, h = path("sigmoid")
    assert np.all(h >= np.minimum(0, a)) and np.all(h <= np.maximum(0, a))
    assert np.max(np.abs(h)) > 0.5 * np.max(np.abs(a))
    a, h = path("tanh")
    assert not (np.all(h >= np.minimum(0, a)) and np.all(h <= np.maximum(0, a)))


def test_ltc_and_cfc_take_the_time_from_the_input():
    """A Timed input is a cell whose dt is that time, step by step; a plain one stands for the dt of the field."""
    xs = np.random.default_rng(0).normal(size=(6, 2))
    times = np.repeat([0.3, 0.7], 3)
    for cell in (LTC(2, 4, dt=0.3), CfC(2, 4, "pure", backbone_layers=0, dt=0.3)):
        params = drawn(cell, 0.5)
        first = states(cell, params, xs[:3])
        then = states(dataclasses.replace(cell, dt=0.7), params, xs[3:], first[-1])
        got = rnnx.scan(cell, params, Timed(xs, times))[1]
        np.testing.assert_allclose(got, np.concatenate((first, then)), rtol=1e-12)
        assert np.max(np.abs(got - rnnx.scan(cell, params, Timed(xs, times[::-1]))[1])) > 1e-3


# --------------------------------------------------------------------------------------------------------- CfC


def test_cfc_gates_keep_the_gradient():
    """Hasani et al. 2022: the exponential of the solution drives h to a and its gradient to zero with time; a sigmoid
    in its place, between two heads, does not."""

    def after(mode, dt):
        cell = CfC(2, 6, mode, dt=dt)
        params = drawn(cell, 0.5)
        state = np.linspace(-0.5, 0.5, 6)
        x = np.ones((1, 2))
        return states(cell, params, x, state)[-1], np.linalg.norm(jacobian(cell, params, state, x)), params

    h, slope, params = after("pure", 300.0)
    np.testing.assert_allclose(h, params.a, rtol=1e-6)
    assert slope < 1e-6 and after("pure", 1.0)[1] > 0.1
    for mode in ("default", "no_gate"):
        assert after(mode, 300.0)[1] > 0.1


def test_cfc_interpolates_two_networks_in_time():
    """Without the head o the state starts halfway between tanh g and tanh k, and time decides for one of them."""
    cell = CfC(2, 6, offset=False)
    params = drawn(cell, 0.5)
    x, state = np.ones(2), np.linspace(-0.5, 0.5, 6)

    def at(dt):
        return np.asarray(cell.step(params, state, Timed(x, jnp.asarray(dt)))[0])

    backbone = np.concatenate((x, state)) @ np.concatenate((params.w_x, params.w_h))[:, 0] + params.b[0]
    w, b = params.layers[0]
    g, k, f = np.einsum("m,mgn->gn", 1.7159 * np.tanh(0.666 * backbone), w) + b
    g, k = np.tanh(g), np.tanh(k)
    np.testing.assert_allclose(at(0.0), (g + k) / 2, rtol=1e-12)
    np.testing.assert_allclose(at(1e4), np.where(f > 0, k, g), rtol=1e-9)
    assert 0 < np.sum(f > 0) < 6 and np.all(np.abs(at(1.0)) < 1)


# --------------------------------------------------------------------------------------------------------- LMU


def shifted_legendre(i, r):
    """Voelker et al. 2019, eq. 3."""
    return (-1) ** i * sum(math.comb(i, j) * math.comb(i + j, j) * (-r) ** j for j in range(i + 1))


def signal(cycles, theta, steps):
    """Two sines, the faster one with this many cycles in a window."""
    time = np.arange(steps)
    return np.sin(2 * np.pi * cycles * time / theta) + np.cos(2 * np.pi * 0.37 * cycles * time / theta + 1)


def delayed_errors(cell, cycles, rs):
    """Root mean square error of each decoded u(t - r theta), relative to that of the signal."""
    params, theta = drawn(cell, 0.0)._replace(e_x=np.ones(1)), int(cell.theta)
    u = signal(cycles, theta, 6 * theta)
    m = states(cell, params, u[:, None]).m[2 * theta :]
    for r in rs:
        got = sum(shifted_legendre(i, r) * m[:, i] for i in range(cell.order))
        want = np.roll(u, int(r * theta))[2 * theta :]
        yield np.sqrt(np.mean((got - want) ** 2) / np.mean(want**2))


def test_lmu_is_a_delay_line():
    """Eq. 3: m holds the whole window. Control: a low order, for as many cycles in the window."""
    delays = (0.25, 0.5, 1.0)
    assert max(delayed_errors(LMU(1, 2, order=16), 2.0, delays)) < 0.08
    assert min(delayed_errors(LMU(1, 2, order=4), 2.0, delays)) > 0.3


def test_lmu_remembers_by_time_not_by_steps():
    """The same order covers a window of any length, 40 steps or 4000, and the error falls with the step."""
    errors = [*delayed_errors(LMU(1, 2, order=12, theta=40), 1.0, [0.5])]
    errors += delayed_errors(LMU(1, 2, order=12, theta=4000), 1.0, [0.5])
    assert errors[0] < 0.1 and errors[1] < 0.02 * errors[0]


def test_lmu_can_start_as_delays():
    """`legendre`: without W_x and W_h, unit n is tanh u(t - theta n / (N - 1)). Control: the drawn W_m."""

    def error(legendre):
        cell = LMU(1, 5, order=16, legendre=legendre)
        params = drawn(cell, 0.0)._replace(e_x=np.ones(1), w_m=cell.init(jax.random.key(0)).w_m)
        u = signal(1.0, 100.0, 600)
        h = states(cell, params, u[:, None]).h
        want = np.tanh(np.stack([np.roll(u, 25 * n) for n in range(5)], axis=1))
        return np.max(np.abs(h - want)[200:])

    assert error(True) < 0.1
    assert error(False) > 0.5
