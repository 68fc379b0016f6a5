"""What the authors of the cells of rnnx/cells/linear say of them, measured."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
import scipy.linalg

import rnnx
from rnnx.cells.gated.gru import GRU
from rnnx.cells.linear.indrnn import IndRNN
from rnnx.cells.linear.lru import LRU
from rnnx.cells.linear.mingru import MinGRU, MinLSTM
from rnnx.cells.linear.qrnn import QRNN
from rnnx.cells.linear.rglru import RGLRU
from rnnx.cells.linear.s4d import S4D
from rnnx.cells.linear.s5 import S5, hippo
from rnnx.cells.linear.sru import SRU
from rnnx.cells.simple.elman import Elman
from rnnx.types import Timed

KEY = jax.random.key(0)


def noise(*shape, seed=1):
    return np.random.default_rng(seed).normal(size=shape)


def made(cell):
    """Its parameters, in NumPy."""
    return jax.tree.map(np.asarray, jax.jit(cell.init)(KEY))


def ready(cell, params):
    """Its weights, in NumPy."""
    return jax.tree.map(np.asarray, jax.jit(cell.prepare)(params))


def jacobian(cell, params, state, x):
    """d s_t / d s_{t-1} of one step, of a state that is one array."""
    return jax.jit(jax.jacobian(lambda s: cell.step(cell.prepare(params), s, x)[0]))(state)


# --------------------------------------------------------------------------------------------------- IndRNN


def test_indrnn_gradient_is_a_power():
    """In the active region the gradient of unit n through T steps is exactly u_n^T, and no unit reaches another."""
    steps, units = 50, 16
    cell = IndRNN(1, units, span=steps)
    params = made(cell)._replace(b=jnp.full((1, units), 5.0))  # active throughout
    slope = jax.jacobian(lambda h: rnnx.scan(cell, params, noise(steps, 1), h)[0])(jnp.ones(units))
    np.testing.assert_allclose(slope, np.diag(params.u[0] ** steps), rtol=1e-12, atol=0)


def test_indrnn_bound():
    """|u| <= 2^(1/T) keeps every gradient through T steps at most 2; twice as many steps exceed it."""
    cell = IndRNN(1, 2000, span=100)
    u = made(cell).u
    assert 0 <= jnp.min(u) and 1 < jnp.max(u) <= cell.bound
    assert jnp.max(u**100) <= 2 < jnp.max(u**200)
    last = made(IndRNN(1, 2000, span=100, last=True)).u
    assert 0.5 <= jnp.min(last**100) and jnp.max(last**100) <= 2, "the last layer remembers all T steps"


# --------------------------------------------------------------------------------------------------- LRU


def test_lru_ring():
    """lambda is uniform on the ring: its square is uniform between the squares of the radii, its phase below."""
    cell = LRU(1, 1, states=20000, r_min=0.5, r_max=0.9, max_phase=0.3)
    re, im = np.asarray(ready(cell, made(cell)).a)
    for value, low, high in [(re**2 + im**2, 0.25, 0.81), (np.arctan2(im, re), 0.0, 0.3)]:
        assert low <= value.min() and value.max() <= high
        seen = np.sort((value - low) / (high - low))
        assert np.max(np.abs(seen - np.linspace(0, 1, seen.size))) < 0.02, "not uniform"


def test_lru_gamma_stops_the_blow_up():
    """Proposition 3: without gamma white noise blows E|h|^2 up to log((1 - r^2) / (1 - R^2)) / (R^2 - r^2) E|Bx|^2."""
    low, high, states, steps = 0.9, 0.99, 500, 1000
    blow_up = np.log((1 - low**2) / (1 - high**2)) / (high**2 - low**2)
    assert blow_up > 10
    xs = noise(20, steps, 1)
    for normalise, factor in [(False, blow_up), (True, 1.0)]:
        cell = LRU(1, 1, states, normalise, low, high)
        params = made(cell)
        square = jnp.square(params.b_re[0]) + jnp.square(params.b_im[0])

        def moment(state, _, square=square):
            return jnp.mean((state[0] ** 2 + state[1] ** 2) / square)  # of a mode whose |B| is 1

        moments = jax.vmap(lambda xs, c=cell, p=params, m=moment: rnnx.scan(c, p, xs, keep=m)[1])(xs)
        assert abs(np.mean(moments[:, 300:]) / factor - 1) < 0.07


def test_lru_is_stable_whatever_its_parameters():
    """|lambda| < 1 for parameters of any size: the stable parametrisation. An identity Elman cell is not."""
    cell = LRU(2, 3, states=200)
    params = jax.tree.map(lambda a: a + 3 * noise(*a.shape), made(cell))
    re, im = np.asarray(ready(cell, params).a)
    assert np.max(re**2 + im**2) < 1
    matrix = made(Elman(2, 30, "identity")).w_h[:, 0] + 3 * noise(30, 30)
    assert np.max(np.abs(np.linalg.eigvals(matrix))) > 1


# --------------------------------------------------------------------------------- state space models


def sampled(poles, b, c, dt, steps):
    """C times the state at t = dt, 2 dt, ... of h' = A h + B u for u = 1 during the first dt, by matrix exponentials.

    A real system of two states a pole; the input is a third state that stands still, switched off after dt.
    """
    total = np.zeros(steps)
    for pole, b_n, c_n in zip(poles, b, c, strict=True):
        turn = np.array([[pole.real, -pole.imag], [pole.imag, pole.real]])
        held = np.zeros((3, 3))
        held[:2, :2], held[:2, 2] = turn, [b_n.real, b_n.imag]
        h = scipy.linalg.expm(held * dt)[:2, 2]
        forward = scipy.linalg.expm(turn * dt)
        for k in range(steps):
            total[k] += 2 * (c_n.real * h[0] - c_n.imag * h[1])
            h = forward @ h
    return total


@pytest.mark.parametrize("poles", ["lin", "inv", "real"])
def test_s4d_impulse_response(poles):
    """The recurrence with the zero-order hold is the continuous system, sampled; the bilinear one only nears it."""
    steps, error = 30, {}
    impulse = jnp.zeros((steps, 1)).at[0].set(1.0)
    for rule in ("zoh", "bilinear"):
        cell = S4D(1, 1, 8, rule, poles=poles, dt_min=0.02, dt_max=0.02)
        params = made(cell)._replace(w_x=jnp.ones((1, 1, 1)), d=jnp.zeros(1))
        a = -np.exp(params.a_re[0]) + 1j * np.asarray(params.a_im[0])
        c = np.asarray(params.c_re[0]) + 1j * np.asarray(params.c_im[0])
        exact = sampled(a, np.ones(4) + 0j, c, 0.02, steps)
        error[rule] = np.max(np.abs(rnnx.scan(cell, params, impulse)[1][:, 0] - exact)) / np.max(np.abs(exact))
    assert error["zoh"] < 1e-12 < 1e-6 < error["bilinear"] < 0.1


def test_s4d_poles():
    """The three initialisations, written out for a state of 8, and stable after any change of the parameters."""
    found = {}
    for name in ("lin", "inv", "real"):
        cell = S4D(1, 2, 8, poles=name)
        params = made(cell)
        re, im = np.asarray(ready(cell, params).pole)
        found[name] = re[1] + 1j * im[1]
        moved = params._replace(a_re=params.a_re + 5 * noise(2, 4), a_im=params.a_im + 5 * noise(2, 4))
        a = ready(cell, moved).a
        assert jnp.max(a[0] ** 2 + a[1] ** 2) < 1
    np.testing.assert_allclose(found["lin"], [-0.5, -0.5 + 1j * np.pi, -0.5 + 2j * np.pi, -0.5 + 3j * np.pi])
    inverse = [8 / np.pi * (8 - 1), 8 / np.pi * (8 / 3 - 1), 8 / np.pi * (8 / 5 - 1), 8 / np.pi * (8 / 7 - 1)]
    np.testing.assert_allclose(found["inv"], -0.5 + 1j * np.array(inverse))
    np.testing.assert_allclose(found["real"], [-1, -2, -3, -4])
    loose = S4D(1, 2, 8, real_part="none")
    grown = made(loose)._replace(a_re=jnp.full((2, 4), -1.0))
    assert jnp.hypot(*ready(loose, grown).a).max() > 1, "control: nothing else keeps it stable"


def test_s5_hippo():
    """HiPPO-N is normal, its eigenvalues have the real part -1/2, and adding the low-rank part gives HiPPO-LegS."""
    size = 16
    lam, v = hippo(size)
    n = np.arange(size)
    legs = -np.tril(np.sqrt(np.outer(2 * n + 1, 2 * n + 1)), -1) - np.diag(n + 1)
    normal = legs + np.sqrt(np.outer(n + 0.5, n + 0.5))
    np.testing.assert_allclose(np.real(lam), -0.5, rtol=1e-14)
    np.testing.assert_allclose((v * lam) @ v.conj().T, normal, atol=1e-12)
    np.testing.assert_allclose(np.linalg.eigvals(legs).real.min(), -size, rtol=1e-2, err_msg="LegS itself is not")
    np.testing.assert_allclose(lam[: size // 2], lam[: size // 2 - 1 : -1].conj(), atol=1e-12)


def test_s5_conjugate_pairs():
    """Keeping one of each conjugate pair loses nothing: the output is that of the whole system."""
    half, whole = S5(2, 3, 8), S5(2, 3, 8, conj_sym=False)
    p = made(half)

    def both(a, sign):
        return jnp.concatenate([a, sign * a], -1)

    q = p._replace(
        lam_re=both(p.lam_re, 1),
        lam_im=both(p.lam_im, -1),
        log_dt=both(p.log_dt, 1),
        b_re=both(p.b_re, 1),
        b_im=both(p.b_im, -1),
        c_re=both(p.c_re.T, 1).T,
        c_im=both(p.c_im.T, -1).T,
    )
    xs = noise(20, 2)
    np.testing.assert_allclose(rnnx.scan(half, p, xs)[1], rnnx.scan(whole, q, xs)[1], rtol=1e-12, atol=1e-12)


def test_s5_impulse_response():
    """One system for all channels: its response is the continuous one of the dense HiPPO-N matrix, sampled."""
    size, steps, dt = 8, 20, 0.05
    cell = S5(1, 1, size, dt_min=dt, dt_max=dt)
    params = made(cell)._replace(d=jnp.zeros(1))
    n = np.arange(size)
    dense = np.triu(np.sqrt(np.outer(n + 0.5, n + 0.5)), 1)
    dense = dense - dense.T - np.eye(size) / 2
    _, v = hippo(size)
    v = v[:, : size // 2]
    b = 2 * np.real(v @ (np.asarray(params.b_re[0]) + 1j * np.asarray(params.b_im[0])))  # back in real coordinates
    c = np.asarray(params.c_re[:, 0]) + 1j * np.asarray(params.c_im[:, 0])
    c = 2 * np.real(c @ v.conj().T)
    held = np.zeros((size + 1, size + 1))
    held[:size, :size], held[:size, size] = dense, b
    h = scipy.linalg.expm(held * dt)[:size, size]
    exact = [c @ np.linalg.matrix_power(scipy.linalg.expm(dense * dt), k) @ h for k in range(steps)]
    got = rnnx.scan(cell, params, jnp.zeros((steps, 1)).at[0].set(1.0))[1][:, 0]
    np.testing.assert_allclose(got, exact, rtol=0, atol=1e-12)


@pytest.mark.parametrize("build", [S4D, S5])
def test_s5_and_s4d_uneven_steps(build):
    """With the zero-order hold one step of length 2 is two of length 1, for an input that stands still."""
    for rule, same in [("zoh", True), ("bilinear", False)]:
        cell = build(2, 3, 8, rule, dt_min=0.1, dt_max=0.1)
        params = made(cell)
        weights = ready(cell, params)
        x, step = noise(2), jax.jit(cell.step)
        start, _ = step(weights, cell.initial_state(weights), noise(2, seed=3))
        first = step(weights, start, x)
        twice = step(weights, first[0], x)
        once = step(weights, start, Timed(x, np.asarray(2.0)))
        one = step(weights, start, Timed(x, np.asarray(1.0)))
        assert np.allclose(once[1], twice[1], rtol=1e-12, atol=1e-12) is same
        np.testing.assert_allclose(one[1], first[1], rtol=1e-12)


# --------------------------------------------------------------------------------------------------- RG-LRU


def test_rglru_decay():
    """a^c is uniform in [0.9, 0.999], and |a_t| < 1 whatever the input and the parameters."""
    cell = RGLRU(2, 500)
    params = made(cell)
    weights = ready(cell, params)
    decay = np.sort(np.exp(weights.log_a))
    assert 0.9 <= decay[0] and decay[-1] <= 0.999
    assert np.max(np.abs(decay - np.linspace(0.9, 0.999, decay.size))) < 0.01
    a, _ = cell.coefficients(weights, noise(2))
    assert 0 < np.min(a) and np.max(a) < 1
    moved = jax.tree.map(lambda a: a + 5 * noise(*a.shape), params)
    a, _ = cell.coefficients(ready(cell, moved), 3 * noise(2))
    assert 0 <= np.min(a) and np.max(a) <= 1 and np.max(ready(cell, moved).log_a) < 0


def test_rglru_keeps_the_variance():
    """sqrt(1 - a^2) gives h the variance of its input; without it the state grows by 1 / (1 - a^2)."""
    units, steps = 200, 1500
    cell = RGLRU(units, units, a_max=0.99, input_init="identity", gate_init="zeros")
    params = made(cell)
    params = params._replace(b_g=jnp.full((2, units), 40.0))  # both gates open: a_t = a^c, and x' is x itself
    hs = np.asarray(rnnx.scan(cell, params, noise(steps, units))[1])[500:]
    assert abs(np.mean(hs**2) - 1) < 0.05
    _, b = cell.coefficients(ready(cell, params), jnp.ones(units))
    assert np.mean((hs / np.asarray(b)) ** 2) > 5, "control: the same states with the input not scaled"


def test_rglru_gradient_where_nothing_decays():
    """Where a_t rounds to 1 the gradient of the square root is finite."""
    cell = RGLRU(1, 3)
    params = made(cell)._replace(lam=jnp.array([-2000.0, -40.0, -5.0]))
    xs = noise(10, 1)
    slope = jax.jit(jax.grad(lambda p: jnp.sum(rnnx.scan(cell, p, xs)[1] ** 2)))(params)
    assert all(np.all(np.isfinite(a)) for a in jax.tree.leaves(slope)) and slope.lam[1] != 0
    assert not np.isfinite(jax.grad(lambda lam: jnp.sqrt(1 - jnp.exp(-8 * jnp.exp(lam)) ** 2))(-2000.0)), "control"


# ----------------------------------------------------------------------------------------- minimal units

AFFINE = [
    MinGRU(2, 5),
    MinLSTM(2, 5),
    MinGRU(2, 5, "positive"),
    RGLRU(2, 5),
    SRU(2, 5),
    QRNN(2, 5),
    IndRNN(2, 5, "identity"),
]


def test_mingru_stays_in_the_hull():
    """h is a weighted mean of the candidates and the start, so that it never leaves their range; so for minLSTM."""
    xs = noise(200, 2)
    for build in (MinGRU, MinLSTM):
        cell = build(2, 20)
        params = made(cell)
        _, hs = rnnx.scan(cell, params, xs)
        candidates = xs @ np.asarray(params.w_x[:, -1]) + np.asarray(params.b[-1])
        low = np.minimum(np.minimum.accumulate(candidates), 0)  # the state starts at 0
        high = np.maximum(np.maximum.accumulate(candidates), 0)
        assert np.all((low <= hs) & (hs <= high)) and np.any(hs != candidates)
    loose = MinLSTM(2, 20, normalise=False, forget_bias=8.0)
    params = made(loose)
    _, hs = rnnx.scan(loose, params, xs)
    assert np.max(np.abs(hs)) > np.max(np.abs(xs @ np.asarray(params.w_x[:, -1]))), "control: f + i = 1 does it"


def test_mingru_positive_candidate():
    """g keeps the state positive, as logarithms need, and is the softplus-like x + 1/2 or sigmoid(x)."""
    xs = noise(200, 2)
    for candidate, positive in [("positive", True), ("identity", False)]:
        cell = MinGRU(2, 20, candidate)
        assert bool(jnp.all(rnnx.scan(cell, made(cell), xs)[1] > 0)) is positive


def test_minlstm_gates_sum_to_one():
    """f' + i' = 1 however large the gates' inputs are."""
    cell = MinLSTM(1, 3)
    params = made(cell)._replace(w_x=jnp.zeros((1, 3, 3)))
    for f, i, keeps in [(-900.0, -900.0, 0.5), (900.0, 900.0, 0.5), (-900.0, -903.0, 1 / (1 + np.exp(-3.0)))]:
        b = jnp.stack([jnp.full(3, f), jnp.full(3, i), jnp.ones(3)])
        a, rest = cell.coefficients(ready(cell, params._replace(b=b)), jnp.ones(1))
        np.testing.assert_allclose(a, keeps, rtol=1e-12)
        np.testing.assert_allclose(a + rest, 1, rtol=1e-12)


@pytest.mark.parametrize("cell", AFFINE, ids=lambda c: type(c).__name__)
def test_mingru_and_the_others_in_parallel(cell):
    """The states of all steps at once, by an associative scan over the coefficients, are those of the loop."""
    params, xs = made(cell), noise(64, 2)
    weights = ready(cell, params)
    a, b = jax.vmap(cell.coefficients, (None, 0))(weights, xs)

    def after(first, second):
        return first[0] * second[0], second[0] * first[1] + second[1]

    start = noise(5, seed=4)
    a_all, b_all = jax.lax.associative_scan(after, (a, b))
    _, hs = rnnx.scan(cell, params, xs, start, keep=lambda state, y: state)
    np.testing.assert_allclose(np.asarray(a_all) * start + np.asarray(b_all), hs, rtol=1e-11, atol=1e-12)


# ------------------------------------------------------------------------------------------ SRU and QRNN


def gates_see_the_state(cell):
    """Whether d s_t / d s_{t-1} is another one in another state."""
    params, x = made(cell), noise(2)
    one, other = (jacobian(cell, params, noise(5, seed=seed), x) for seed in (5, 6))
    return not np.allclose(one, other, rtol=1e-12)


def test_sru_and_qrnn_gates_see_the_input_alone():
    """d c_t / d c_{t-1} is the forget gate, the same in every state and diagonal; that of a GRU changes."""
    for cell in (SRU(2, 5), QRNN(2, 5), QRNN(2, 5, "ifo")):
        params, x = made(cell), noise(2)
        assert not gates_see_the_state(cell)
        forget = jax.nn.sigmoid(x @ params.w_x[:, 1] + params.b[0 if isinstance(cell, SRU) else 1])
        np.testing.assert_allclose(jacobian(cell, params, noise(5), x), np.diag(forget), rtol=1e-12)
    assert gates_see_the_state(GRU(2, 5)), "control"


def test_sru_peephole():
    """With v a gate sees its own unit's state and no other; v = 0 is the version without."""
    cell, plain = SRU(2, 5, peephole=True), SRU(2, 5)
    params, x = made(cell), noise(2)
    weights, start = ready(cell, params), cell.initial_state(params)

    def new(c):
        return cell.step(weights, start._replace(c=c), x)[0]

    one, other = (jax.jit(jax.jacobian(new))(noise(5, seed=seed)) for seed in (5, 6))
    assert all(np.all(a == np.diag(np.diag(a))) for a in (one.h, one.c))
    assert not np.allclose(one.c, other.c)
    still = params._replace(v=jnp.zeros((2, 5)))
    xs = noise(20, 2)
    want = rnnx.scan(plain, params._replace(v=None), xs)[1]
    np.testing.assert_allclose(rnnx.scan(cell, still, xs)[1], want, rtol=1e-12)


def test_sru_skip():
    """Where inputs equal units the skip is the input itself times alpha, which gives y about the variance of x."""
    size, steps = 200, 400
    xs = noise(steps, size)
    spread = {}
    for rescale in (True, False):
        cell = SRU(size, size, rescale=rescale, highway_bias=-3.0)
        params = made(cell)
        cs, ys = jax.tree.map(np.asarray, rnnx.scan(cell, params, xs, keep=lambda c, y: (c, y))[1])
        r = 1 / (1 + np.exp(-(xs @ np.asarray(params.w_y[:, 0]) + np.asarray(params.b_y[0]))))
        alpha = np.sqrt(1 + 2 * np.exp(-3.0)) if rescale else 1.0
        np.testing.assert_allclose(ys, r * cs + (1 - r) * alpha * xs, rtol=1e-11, atol=1e-12)
        spread[rescale] = np.var(ys)
    assert abs(spread[True] - 1) < 0.05 and abs(spread[True] - 1) < abs(spread[False] - 1)


@pytest.mark.parametrize("pooling", ["f", "fo", "ifo"])
def test_qrnn_window(pooling):
    """With nothing kept, y_t sees exactly the last `window` inputs; a wide window with one tap is the narrow cell."""
    steps = 8
    for window in (1, 3):
        cell = QRNN(2, 4, pooling, window, forget_bias=-1000.0)
        params, xs = made(cell), noise(steps, 2)
        slope = jax.jit(jax.jacobian(lambda xs, c=cell, p=params: rnnx.scan(c, p, xs)[1][-1]))(xs)
        seen = np.abs(slope).max((0, 2)) > 0
        assert seen.tolist() == [False] * (steps - window) + [True] * window
    narrow, wide = QRNN(2, 4, pooling), QRNN(2, 4, pooling, 3)
    p = made(narrow)
    q = p._replace(w_x=jnp.concatenate([jnp.zeros((4, *p.w_x.shape[1:])), p.w_x]))
    np.testing.assert_allclose(rnnx.scan(wide, q, xs)[1], rnnx.scan(narrow, p, xs)[1], rtol=1e-12)
