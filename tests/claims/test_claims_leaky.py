"""What the papers say of the leaky, clocked, antisymmetric, Lipschitz, piecewise linear and echo state cells."""

import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import rnnx
from rnnx.cells.leaky.antisymmetric import Antisymmetric, GatedAntisymmetric
from rnnx.cells.leaky.clockwork import Clockwork
from rnnx.cells.leaky.ctrnn import CTRNN
from rnnx.cells.leaky.esn import ESN, fit_readout
from rnnx.cells.leaky.lipschitz import Lipschitz
from rnnx.cells.leaky.plrnn import RegularisedPLRNN, ShallowPLRNN, attractor_loss
from rnnx.cells.simple.elman import Elman
from rnnx.types import Timed

KEY = jax.random.key(0)


def noise(*shape):
    return jax.random.normal(jax.random.key(1), shape)


@functools.cache
def begin(cell):
    """Its parameters, drawn once."""
    return jax.jit(cell.init)(KEY)


def state_kept(state, y):
    return state


@functools.partial(jax.jit, static_argnums=0)
def sensitivity(cell, params, xs, h):
    """d h_T / d h_0    [N, N]"""
    return jax.jacfwd(lambda h: rnnx.scan(cell, params, xs, h)[0])(h)


# ------------------------------------------------------------------------------------------------------ ctrnn


@pytest.mark.parametrize("integrator, kept", [("euler", 1 - 1 / 7), ("exponential", np.exp(-1 / 7))])
def test_ctrnn_forgets_with_time_constant_tau(integrator, kept):
    """What an impulse leaves behind decays as exp(-t / tau), to first order in dt under Euler."""
    xs = jnp.zeros((30, 1)).at[0].set(2.0)
    cell = CTRNN(1, 1, tau=7.0, integrator=integrator, recurrent_init="zeros")
    _, ys = rnnx.scan(cell, begin(cell), xs)
    np.testing.assert_allclose(ys[1:] / ys[:-1], kept, rtol=1e-12)
    sharp = CTRNN(1, 1, tau=1.0, recurrent_init="zeros")  # control: without a leak nothing is left
    assert not np.any(rnnx.scan(sharp, begin(sharp), xs)[1][1:])


def test_ctrnn_learns_a_time_constant_for_each_unit():
    cell = CTRNN(1, 2, learned=True, integrator="exponential", recurrent_init="zeros")
    params = begin(cell)._replace(log_tau=jnp.log(jnp.array([3.0, 300.0])))
    _, ys = rnnx.scan(cell, params, jnp.zeros((20, 1)).at[0].set(2.0))
    np.testing.assert_allclose(ys[19] / ys[9], np.exp(-10 / np.array([3.0, 300.0])), rtol=1e-12)
    slope = jax.grad(lambda p: rnnx.scan(cell, p, noise(20, 1))[1].sum())(params).log_tau
    assert np.all(slope != 0)


@pytest.mark.parametrize("integrator", ["euler", "exponential"])
@pytest.mark.parametrize("form", ["rates", "currents"])
def test_ctrnn_converges_as_dt_is_halved(form, integrator):
    """An input told at times, with steps of any length: half the step, half the error."""
    cell = CTRNN(2, 5, form=form, integrator=integrator, tau=2.0, recurrent_init="normal:1")
    params, xs = begin(cell), noise(5, 2)

    def at_the_end(parts):
        timed = Timed(jnp.repeat(xs, parts, axis=0), jnp.full(5 * parts, 1 / parts))
        return rnnx.scan(cell, params, timed)[1][-1]

    exact = 2 * at_the_end(2048) - at_the_end(1024)
    errors = [np.linalg.norm(at_the_end(parts) - exact) for parts in (16, 32, 64)]
    np.testing.assert_allclose(np.divide(errors[:-1], errors[1:]), 2, rtol=0.1)


def test_ctrnn_with_a_plain_input_takes_its_own_dt():
    cell, xs = CTRNN(2, 5, dt=0.3), noise(7, 2)
    params = begin(cell)
    timed = rnnx.scan(cell, params, Timed(xs, jnp.full(7, 0.3)))[1]
    np.testing.assert_allclose(rnnx.scan(cell, params, xs)[1], timed, rtol=1e-14)
    assert np.max(np.abs(rnnx.scan(cell, params, Timed(xs, jnp.full(7, 0.6)))[1] - timed)) > 0.01


def test_ctrnn_in_rates_and_in_currents_is_one_network():
    """c = W x + U h + b, as long as the input stays."""
    rates, currents = (CTRNN(2, 5, form=form, recurrent_init="normal:1") for form in ("rates", "currents"))
    params, x, h = begin(rates), noise(2), noise(5)

    def into(h):
        return x @ params.w_x[:, 0] + h @ params.w_h[:, 0] + params.b[0]

    start = type(currents.initial_state(currents.prepare(params)))(jnp.tanh(into(h)), into(h))
    h, _ = rnnx.scan(rates, params, jnp.tile(x, (40, 1)), h)
    state, _ = rnnx.scan(currents, params, jnp.tile(x, (40, 1)), start)
    np.testing.assert_allclose(state.c, into(h), rtol=1e-12)


# -------------------------------------------------------------------------------------------------- clockwork


def test_clockwork_groups_change_only_at_their_ticks():
    cell = Clockwork(2, 11, groups=4, base=3)  # 3, 3, 3 and 2 units
    _, ys = rnnx.scan(cell, begin(cell), noise(60, 2))
    moved = np.diff(np.concatenate([np.zeros((1, 11)), ys]), axis=0) != 0
    for period, units in zip((1, 3, 9, 27), np.split(moved.T, (3, 6, 9)), strict=True):
        assert np.array_equal(units, np.tile(np.arange(60) % period == 0, (len(units), 1)))
    plain = Clockwork(2, 11, base=1)
    assert np.all(np.diff(rnnx.scan(plain, begin(plain), noise(60, 2))[1], axis=0) != 0)


def test_clockwork_slow_groups_feed_fast_ones_and_not_the_other_way():
    cell = Clockwork(2, 8, groups=4)
    params, xs = begin(cell), noise(8, 2)
    start = cell.initial_state(cell.prepare(params))
    moves = jax.jacfwd(lambda h: rnnx.scan(cell, params, xs, start._replace(h=h))[0].h)(start.h) != 0
    group = np.arange(8) // 2
    assert np.array_equal(moves, group[:, None] <= group)  # row: to, column: from


def test_clockwork_without_groups_is_the_elman_network():
    cell, plain = Clockwork(2, 5, groups=1), Elman(2, 5)
    params = begin(cell)
    same = type(begin(plain))(*params)
    want = rnnx.scan(plain, same, noise(9, 2))[1]
    np.testing.assert_allclose(rnnx.scan(cell, params, noise(9, 2))[1], want, atol=1e-15)


# ---------------------------------------------------------------------------------------------- antisymmetric


@functools.cache
def gain(cell, steps=1000):
    """The root mean square singular value of d h_T / d h_0."""
    params = begin(cell)
    jacobian = sensitivity(cell, params, noise(steps, cell.inputs), jnp.zeros(cell.units))
    return np.linalg.norm(jacobian) / np.sqrt(cell.units)


def eigenvalues_lie_on_a_line(build):
    """All have real part -gamma, and those of the Jacobian of the flow none without diffusion."""
    cell = build(3, 8, gamma=0.3)
    weights = cell.prepare(begin(cell))
    np.testing.assert_allclose(np.linalg.eigvals(weights.w_h[:, 0]).real, -0.3, rtol=1e-12)
    cell = build(3, 8, gamma=0.0)
    jacobian = sensitivity(cell, begin(cell), jnp.ones((1, 3)) / 10, 0.1 * noise(8))
    values = np.linalg.eigvals((jacobian - np.eye(8)) / cell.epsilon)
    assert np.max(np.abs(values.real)) < 1e-12 < 0.3 < np.max(np.abs(values.imag))


def gradients_live_through_1000_steps(build):
    assert 0.3 < gain(build(3, 16)) < 3
    assert gain(Elman(3, 16)) < 1e-30  # control
    assert gain(build(3, 16, gamma=5.0)) < 1e-4  # control: too much diffusion, and it forgets


def test_antisymmetric_eigenvalues_lie_on_a_line():
    """Chang et al. 2019, eq. 9 and 12."""
    eigenvalues_lie_on_a_line(Antisymmetric)


def test_antisymmetric_gated_eigenvalues_lie_on_a_line():
    """Its section 3.4: the gate leaves the Jacobian a diagonal matrix times an antisymmetric one."""
    eigenvalues_lie_on_a_line(GatedAntisymmetric)


def test_antisymmetric_gradients_live_through_1000_steps():
    gradients_live_through_1000_steps(Antisymmetric)


def test_antisymmetric_gated_gradients_live_through_1000_steps():
    gradients_live_through_1000_steps(GatedAntisymmetric)


def test_antisymmetric_gated_lets_in_less():
    """Control and meaning of the gate: shut, nothing moves; open, it is the network without a gate."""
    gated, plain = GatedAntisymmetric(3, 5), Antisymmetric(3, 5)
    params, xs = begin(gated), noise(20, 3)
    alone = params._replace(w_x=params.w_x[:, 1:], b=params.b[1:])
    want = rnnx.scan(plain, alone, xs)[1]
    shut, opened = (rnnx.scan(gated, params._replace(b=params.b.at[0].set(bias)), xs)[1] for bias in (-60.0, 60.0))
    assert np.max(np.abs(shut)) < 1e-20
    np.testing.assert_allclose(opened, want, atol=1e-14)


def test_antisymmetric_diffusion_undoes_the_growth_of_euler_steps():
    """Section 4, fig. 1: spirals outwards without it, inwards where omega^2 < 2 gamma / epsilon - gamma^2."""
    w_h = jnp.array([[0.0, 1.0], [-1.0, 0.0]])[:, None]  # W - W^T has the eigenvalues +-2i
    radii = {}
    for gamma in (0.0, 0.21):
        cell = Antisymmetric(1, 2, epsilon=0.1, gamma=gamma)
        params = begin(cell)._replace(w_h=w_h)
        _, ys = rnnx.scan(cell, params, jnp.zeros((50, 1)), jnp.array([0.0, 0.01]))
        radii[gamma] = np.linalg.norm(ys, axis=1)
    assert np.all(np.diff(radii[0.0]) > 0) and radii[0.0][-1] > 0.02
    assert np.all(np.diff(radii[0.21]) < 0) and radii[0.21][-1] > 0.009


# -------------------------------------------------------------------------------------------------- lipschitz


def test_lipschitz_spectrum_is_set_by_beta_and_gamma():
    """Real parts lie between the eigenvalues of the symmetric part, (1 - beta) (M + M^T) - gamma I."""
    for beta in (0.5, 0.75, 1.0):
        cell = Lipschitz(2, 12, beta_a=beta, gamma_a=0.2, recurrent_init="normal:1")
        params = begin(cell)
        m = params.w_h[:, 0]
        edges = np.linalg.eigvalsh((1 - beta) * (m + m.T)) - 0.2
        real = np.linalg.eigvals(cell.prepare(params).w_h[:, 0]).real
        assert edges[0] - 1e-12 <= real.min() and real.max() <= edges[-1] + 1e-12
    np.testing.assert_allclose(real, -0.2, rtol=1e-12)


@pytest.mark.parametrize("integrator", ["euler", "rk2"])
def test_lipschitz_contracts_where_the_linear_part_wins(integrator):
    """Two states approach each other if the symmetric part of A is below -sigma_max(W), and need not otherwise."""
    apart = {}
    for gamma in (4.0, 0.0):
        cell = Lipschitz(2, 8, 0.02, 0.75, 0.5, gamma, 0.0, integrator, recurrent_init="normal:0.5")
        params = begin(cell)
        a, w = np.moveaxis(cell.prepare(params).w_h, 1, 0)
        wins = np.linalg.eigvalsh((a + a.T) / 2)[-1] + np.linalg.norm(w, 2) < 0
        assert wins == (gamma == 4.0)
        runs = [rnnx.scan(cell, params, noise(400, 2), h)[1] for h in (jnp.zeros(8), noise(8))]
        apart[gamma] = np.linalg.norm(runs[0] - runs[1], axis=1)
    assert np.all(np.diff(apart[4.0]) < 0) and apart[4.0][-1] < 1e-3
    assert apart[0.0][-1] > apart[0.0][0]


def test_lipschitz_rk2_is_of_second_order():
    """A step of half the size is 8 times closer to the flow, under Euler 4 times."""
    params, h, x = begin(Lipschitz(2, 5, recurrent_init="normal:0.5")), noise(5), noise(2)

    def after(integrator, epsilon, steps=1):
        cell, state = Lipschitz(2, 5, epsilon, integrator=integrator), h
        weights = cell.prepare(params)
        for _ in range(steps):
            state, _ = cell.step(weights, state, x)
        return state

    for integrator, ratio in (("euler", 4), ("rk2", 8)):
        errors = [after(integrator, e) - after("rk2", e / 32, 32) for e in (0.02, 0.01)]
        np.testing.assert_allclose(np.linalg.norm(errors[0]) / np.linalg.norm(errors[1]), ratio, rtol=0.05)


# ------------------------------------------------------------------------------------------------------ plrnn


@pytest.mark.parametrize("clipped", [False, True])
def test_plrnn_is_linear_between_its_thresholds(clipped):
    cell = ShallowPLRNN(2, 3, 6, clipped)
    params, x, z = begin(cell)._replace(h_2=noise(6)), noise(2), noise(3)

    after = jax.jit(lambda z: cell.step(params, z, x)[0])
    inside = np.asarray(z @ params.w_2)
    on = (inside + np.asarray(params.h_2) > 0) * 1.0 - (inside > 0) * clipped
    jacobian = np.diag(params.a) + np.asarray(params.w_1).T @ (on[:, None] * np.asarray(params.w_2).T)
    np.testing.assert_allclose(jax.jit(jax.jacfwd(after))(z), jacobian, rtol=1e-12)
    small = 1e-3 * jnp.ones(3)
    np.testing.assert_allclose(after(z + small) - after(z), jacobian @ small, rtol=1e-9)
    assert np.max(np.abs(after(z + 10) - after(z) - jacobian @ (10 * jnp.ones(3)))) > 0.1  # control: not everywhere


def test_plrnn_clipped_orbits_are_bounded():
    """By (|W_1| |h_2| + |h_1 + C x|) / (1 - max |A|); those of the same parameters without clipping are not."""
    cells = [ShallowPLRNN(1, 3, 6, clipped) for clipped in (True, False)]
    params = begin(cells[0])
    params = params._replace(w_1=3 * jnp.abs(params.w_1), w_2=jnp.abs(params.w_2), h_2=noise(6))
    bounded, free = (rnnx.scan(cell, params, jnp.zeros((200, 1)), 10 * jnp.ones(3))[1] for cell in cells)
    shrink = np.max(np.abs(params.a))
    bound = np.linalg.norm(params.w_1, 2) * np.linalg.norm(params.h_2) / (1 - shrink)
    assert shrink < 1 and np.max(np.linalg.norm(bounded, axis=1)) < bound + 10 * np.sqrt(3)
    assert np.max(np.abs(free[-1])) > 1e10


def test_rplrnn_regularised_units_remember_for_ever():
    """A = 1, W = 0, h = 0: a manifold of fixed points, and a gradient of exactly 1 through any number of steps."""
    cell = RegularisedPLRNN(2, 6, share=0.5)
    params, weights = begin(cell), cell.prepare(begin(cell))
    start, xs = cell.initial_state(weights), noise(1000, 2)
    _, zs = rnnx.scan(cell, params, jnp.zeros((1000, 2)), start)
    assert np.array_equal(zs[:, :3], np.tile(start.z[:3], (1000, 1)))
    assert np.all(zs[-1, 3:] != start.z[3:])  # control: the others move
    _, zs = rnnx.scan(cell, params, xs, start)
    sums = np.cumsum(np.concatenate([start.z[None, :3], xs @ params.w_x[:, 0, :3]]), axis=0)
    np.testing.assert_allclose(zs[:, :3], sums[1:], atol=1e-11)
    slope = jax.jacfwd(lambda z: rnnx.scan(cell, params, xs, start._replace(z=z))[0].z)(start.z)
    assert np.array_equal(slope[:3], np.eye(6)[:3])
    assert np.max(np.abs(slope[3:, 3:])) < 1e-10


def test_rplrnn_penalty_is_that_of_the_program():
    cell = RegularisedPLRNN(2, 6, share=0.5)
    params = begin(cell)
    assert attractor_loss(cell, params) == 0
    params = jax.tree.map(lambda a: a + 0.1, params)
    np.testing.assert_allclose(attractor_loss(cell, params, 2.0), 2 * 0.01 * (1 + 15 / 18 + 1), rtol=1e-12)
    assert attractor_loss(RegularisedPLRNN(2, 6, share=0.0), params) == 0


# -------------------------------------------------------------------------------------------------------- esn


def test_esn_reservoir_has_the_radius_asked_for():
    for radius in (0.5, 1.25):
        cell = ESN(2, 30, radius=radius, density=0.2)
        weights = cell.prepare(begin(cell))
        np.testing.assert_allclose(np.max(np.abs(np.linalg.eigvals(weights.w_h[:, 0]))), radius, rtol=1e-12)
        assert 0.1 < np.mean(weights.w_h != 0) < 0.3


def test_esn_has_the_echo_state_property_below_radius_1():
    """Whatever the state at the start, the input decides in the end; not so in a reservoir that is large and alone."""
    apart = {}
    for radius in (0.9, 4.0):
        cell = ESN(1, 40, radius=radius, leak=1.0, input_scale=0.1, bias_scale=0.0)
        params = begin(cell)
        runs = [rnnx.scan(cell, params, noise(500, 1), h)[0] for h in (0.5 * noise(40), -0.5 * noise(40))]
        apart[radius] = np.linalg.norm(runs[0] - runs[1])
    assert apart[0.9] < 1e-12 and apart[4.0] > 1


def capacity(cell, lags=30):
    """The sum over k of the squared correlation of the trained output with the input k steps ago (Jaeger 2001b)."""
    us = np.random.default_rng(0).uniform(-1, 1, (20000, 1))
    hs = rnnx.scan(cell, begin(cell), us, keep=state_kept)[1]
    targets = np.concatenate([np.roll(us, k, axis=0) for k in range(1, lags + 1)], axis=1)
    half = slice(lags, 10000)
    params = fit_readout(hs[half], us[half], targets[half], 1e-12)
    ys = np.asarray(rnnx.scan(cell, params, us)[1])
    return sum(np.corrcoef(ys[10000:, k], targets[10000:, k])[0, 1] ** 2 for k in range(lags))


def test_esn_remembers_as_many_inputs_as_it_has_units_if_it_is_linear():
    linear = ESN(1, 10, 30, leak=1.0, bias_scale=0.0, nonlinearity="identity")
    assert 9.9 < capacity(linear) < 10.1
    assert capacity(ESN(1, 10, 30, leak=1.0, bias_scale=0.0, input_scale=3.0)) < 6  # control: driven to saturation


def test_esn_readout_is_ridge_regression():
    cell, xs = ESN(2, 5), noise(40, 2)
    hs = rnnx.scan(cell, begin(cell), xs, keep=state_kept)[1]
    np.testing.assert_allclose(rnnx.scan(cell, begin(cell), xs)[1], hs, atol=1e-14)  # before it is trained
    targets = jnp.sin(jnp.arange(40.0))[:, None]
    rows = np.concatenate([np.ones((40, 1)), xs, hs], axis=1)
    stacked = np.concatenate([rows, np.sqrt(0.1) * np.eye(8)]), np.concatenate([targets, np.zeros((8, 1))])
    np.testing.assert_allclose(fit_readout(hs, xs, targets, 0.1).w_out, np.linalg.lstsq(*stacked)[0], rtol=1e-9)
