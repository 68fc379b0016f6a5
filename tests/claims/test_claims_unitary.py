"""What the papers on norm-preserving cells say of them, with a cell beside them of which it is not true.

|h| over 10,000 steps without input, and W^T W, are measured in float32 and in float64, as drawn and after normal
noise on every parameter, which is more than training does to them.
"""

import contextlib

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import rnnx
from rnnx.cells.gated.lstm import LSTM
from rnnx.cells.simple.elman import Elman
from rnnx.cells.unitary import rotations
from rnnx.cells.unitary.eunn import EUNN
from rnnx.cells.unitary.exprnn import ExpRNN, ScoRNN
from rnnx.cells.unitary.nnrnn import NNRNN
from rnnx.cells.unitary.spectral import Spectral
from rnnx.cells.unitary.unitary import Unitary
from rnnx.cells.unitary.urnn import URNN

UNITS, STEPS = 32, 10_000
DRIFT = {"float32": 1e-3, "float64": 1e-10}
ERROR = {"float32": 1e-5, "float64": 1e-12}


def initial(cell):
    """The parameters as drawn, in NumPy."""
    compiled = jax.jit(cell.init, compiler_options={"xla_backend_optimization_level": 0})
    return jax.tree.map(np.asarray, compiled(jax.random.key(0)))


def anywhere(cell, size=1.0):
    """Normal numbers for parameters."""
    rng = np.random.default_rng(0)
    shapes = jax.eval_shape(cell.init, jax.random.key(0))
    return jax.tree.map(lambda a: size * rng.normal(size=a.shape), shapes)


def noisy(params, size=3.0, but=()):
    """Every parameter plus normal noise, except the named ones."""
    rng = np.random.default_rng(0)
    moved = jax.tree.map(lambda a: a + (size * rng.normal(size=a.shape)).astype(a.dtype), params)
    return moved._replace(**{name: getattr(params, name) for name in but})


def matrix(cell, params):
    """What multiplies the state, [M, M]; of a complex cell as a real one."""
    w = jax.jit(lambda params: cell.recurrent(cell.prepare(params)).matrix)(params)
    return np.asarray(w, np.float64).reshape(len(w), -1).T


def measured(cell, moved):
    """{dtype: [(drift, error) as drawn, (drift, error) after `moved`]}.

    Drift is the largest relative change of |h| in the linear regime, without input and bias, error the largest entry
    of W^T W - 1.
    """

    @jax.jit
    def run(params, state):
        params = params._replace(b=jnp.zeros_like(params.b))
        w = cell.recurrent(cell.prepare(params)).matrix
        xs = jnp.zeros((STEPS, cell.inputs), params.b.dtype)
        return w, rnnx.scan(cell, params, xs, state)[1]

    def figures(params):
        shapes = jax.eval_shape(lambda params: cell.initial_state(cell.prepare(params)), params)
        rng = np.random.default_rng(1)
        state = jax.tree.map(lambda a: rng.normal(size=a.shape).astype(a.dtype), shapes)
        w, hs = (np.asarray(a, np.float64) for a in run(params, state))
        norm = np.linalg.norm(np.concatenate([np.asarray(a, np.float64) for a in jax.tree.leaves(state)]))
        w = w.reshape(len(w), -1)
        return np.max(np.abs(np.linalg.norm(hs, axis=1) / norm - 1)), np.max(np.abs(w @ w.T - np.eye(len(w))))

    found, drawn = {}, initial(cell)
    for name in DRIFT:
        with contextlib.nullcontext() if name == "float64" else jax.enable_x64(False):
            params = jax.tree.map(lambda a, name=name: a.astype(name), drawn)
            found[name] = [figures(params), figures(moved(params))]
    return found


def keeps_the_norm(cell, moved=noisy):
    for name, figures in measured(cell, moved).items():
        for drift, error in figures:
            assert drift < DRIFT[name] and error < ERROR[name], (name, figures)


# ---------------------------------------------------------------------------------------------------- the norm


def test_urnn_keeps_the_norm():
    keeps_the_norm(URNN(2, UNITS))


@pytest.mark.parametrize("map", ["exp", "cayley"])
def test_unitary_keeps_the_norm(map):
    keeps_the_norm(Unitary(2, UNITS, map))


@pytest.mark.parametrize("map", ["exp", "cayley"])
def test_exprnn_keeps_the_norm(map):
    keeps_the_norm(ExpRNN(2, UNITS, map))


def test_scornn_keeps_the_norm():
    keeps_the_norm(ScoRNN(2, UNITS))


@pytest.mark.parametrize("style", ["tunable", "fft"])
def test_eunn_keeps_the_norm(style):
    keeps_the_norm(EUNN(2, UNITS, capacity=UNITS, style=style))


def test_nnrnn_keeps_the_norm_at_first():
    """While gamma is 1 and T is 0; the basis and the angles may be any."""
    keeps_the_norm(NNRNN(2, UNITS), lambda params: noisy(params, but=("gamma", "t")))


def test_spectral_keeps_the_norm_without_a_margin():
    keeps_the_norm(Spectral(2, UNITS, margin=0.0, nonlinearity="identity"))


def test_elman_does_not_keep_the_norm():
    """Control: an orthogonal matrix that is free to move is orthogonal only as long as nobody moves it."""
    cell = Elman(2, UNITS, "identity", recurrent_init="orthogonal")
    for name, (_, moved) in measured(cell, lambda params: noisy(params, size=1e-3)).items():
        assert moved[0] > DRIFT[name] and moved[1] > ERROR[name]


# -------------------------------------------------------------------------------------------------- one by one


def gradient_norms(cell, steps):
    """|dC/dh_t| for t = 0 to steps - 1, where C is the sum of the last state."""

    @jax.jit
    def norms(params, xs):
        weights = cell.prepare(params)
        start = cell.initial_state(weights)

        def cost(kicks):
            def step(state, this):
                kick, x = this
                return cell.step(weights, jax.tree.map(jnp.add, state, kick), x)

            return sum(jnp.sum(a) for a in jax.tree.leaves(jax.lax.scan(step, start, (kicks, xs))[0]))

        none = jax.tree.map(lambda a: jnp.zeros((steps, *a.shape), a.dtype), start)
        return jnp.sqrt(sum(jnp.sum(jnp.square(a), axis=1) for a in jax.tree.leaves(jax.grad(cost)(none))))

    return np.asarray(norms(initial(cell), np.random.default_rng(0).normal(size=(steps, cell.inputs))))


def test_urnn_gradients_neither_vanish_nor_explode():
    """Arjovsky et al. 2016, figure 4: as drawn the gradient's norm hardly depends on the lag."""
    norms = gradient_norms(URNN(2, UNITS), 200)
    assert np.max(np.abs(norms / norms[-1] - 1)) < 1e-9
    for other in (Elman(2, UNITS), LSTM(2, UNITS)):
        norms = gradient_norms(other, 200)
        assert norms[0] < 1e-2 * norms[-1]


def test_urnn_starts_with_norm_one():
    """Section 4.3: E |h_0|^2 = 1."""
    cell = URNN(1, 4000)
    h_0 = initial(cell).h_0
    np.testing.assert_allclose(np.sum(h_0 * h_0), 1, atol=0.03)


def reach(cell):
    """In how many independent directions W moves with the parameters, at a random place."""
    params = anywhere(cell)
    leaves = {k: v for k, v in params._asdict().items() if k not in ("w_x", "b", "h_0")}

    def flat(leaves):
        return cell.recurrent(cell.prepare(params._replace(**leaves))).matrix.reshape(-1)

    slopes = jax.tree.leaves(jax.jit(jax.jacfwd(flat))(leaves))
    slopes = np.concatenate([np.reshape(s, (len(s), -1)) for s in slopes], axis=1)
    return np.linalg.matrix_rank(slopes, tol=1e-8)


def test_unitary_has_full_capacity():
    """Wisdom et al. 2016: U(N) has N^2 dimensions, and 7 N parameters cannot fill them once N > 7."""
    n = 8
    assert reach(Unitary(1, n)) == reach(Unitary(1, n, "cayley")) == n * n
    assert reach(URNN(1, n)) < 7 * n < n * n


@pytest.mark.parametrize("map", ["exp", "cayley"])
def test_unitary_starts_anywhere_in_the_group(map):
    """The authors draw W uniformly; a is made of it, and gives it back."""
    z = np.random.default_rng(0).normal(size=(2, 8, 8))
    u, _, v = np.linalg.svd(z[0] + 1j * z[1])

    @jax.jit
    def again(w):
        A = rotations.inverse(w, map)
        return rotations.unitary(jnp.triu(A.real, 1) + jnp.tril(A.imag), map)

    np.testing.assert_allclose(again(u @ v), u @ v, atol=1e-12)


def test_eunn_capacity_is_tunable():
    """Jing et al. 2017: more layers reach more of U(N), N of them all of it."""
    n = 6
    reached = [reach(EUNN(1, n, capacity=layers)) for layers in (1, 2, n)]
    assert reached == [2 * 3 + n, 2 * 5 + n, n * n]


def test_exprnn_reaches_every_rotation():
    """Lezcano-Casado & Martinez-Rubio 2019: exp is onto; the Cayley map has no eigenvalue -1, and A grows near it."""
    params = anywhere(ExpRNN(1, 2))
    half = params._replace(a=jnp.zeros((2, 2)).at[0, 1].set(np.pi))
    np.testing.assert_allclose(matrix(ExpRNN(1, 2), half), -np.eye(2), atol=1e-12)
    for size in (np.pi, 100.0):
        far = params._replace(a=jnp.zeros((2, 2)).at[0, 1].set(size))
        apart = np.abs(np.linalg.eigvals(matrix(ExpRNN(1, 2, "cayley"), far)) + 1)
        np.testing.assert_allclose(apart, 2 / np.sqrt(1 + size**2), rtol=1e-9)


def test_exprnn_gradient_is_that_of_the_exponential():
    """The Newton step that tidies W changes no derivative: they are orthogonal to rounding, and so tangent."""
    from scipy.linalg import expm_frechet

    cell, rng = ExpRNN(1, 8), np.random.default_rng(0)
    params = anywhere(cell)
    upper, direction = np.triu(params.a, 1), np.triu(rng.normal(size=(8, 8)), 1)
    _, want = expm_frechet(upper - upper.T, direction - direction.T)
    _, got = jax.jvp(lambda a: cell.prepare(params._replace(a=a)).w_h[:, 0].T, (params.a,), (jnp.asarray(direction),))
    np.testing.assert_allclose(got, want, atol=1e-12)


def test_scornn_signs_reach_the_other_half():
    """Helfrich et al. 2018: D gives W the determinant -1 and the eigenvalue -1, which no Cayley map has."""
    for negative in (0, 1, 2):
        cell = ScoRNN(1, 5, negative=negative / 5)
        params = anywhere(cell)
        np.testing.assert_allclose(np.linalg.det(matrix(cell, params)), (-1) ** negative, atol=1e-12)
        flat = params._replace(a=jnp.zeros_like(params.a))
        assert np.sum(np.linalg.eigvals(matrix(cell, flat)).real < 0) == negative
    control = ExpRNN(1, 5, "cayley")
    np.testing.assert_allclose(np.linalg.det(matrix(control, anywhere(control))), 1, atol=1e-12)


def test_nnrnn_is_non_normal_with_its_spectrum_kept():
    """Kerg et al. 2019: T makes signals grow for a while and leaves the eigenvalues gamma exp(+-i theta)."""
    cell = NNRNN(1, 9)
    params = noisy(initial(cell), 1.0, but=("gamma",))
    v = matrix(cell, params)
    theta = np.asarray(params.theta[:4])
    want = np.concatenate([np.exp(1j * theta), np.exp(-1j * theta), [1]])
    got = np.linalg.eigvals(v)
    assert max(np.min(np.abs(got - one)) for one in want) < 1e-5  # eigenvalues of so skew a matrix are soft
    assert np.max(np.abs(np.linalg.svd(v)[1])) > 3  # a signal grows threefold in one step
    plain = matrix(cell, params._replace(t=jnp.zeros_like(params.t)))
    np.testing.assert_allclose(np.linalg.svd(plain)[1], 1, atol=1e-12)


def test_spectral_singular_values_stay_in_the_margin():
    """Vorontsov et al. 2017: all of them within 1 +- m, whatever the parameters; and they do move."""
    for margin in (0.01, 0.5):
        cell = Spectral(1, UNITS, margin=margin)
        values = np.linalg.svd(matrix(cell, anywhere(cell, 2.0)))[1]
        assert np.max(np.abs(values - 1)) <= margin + 1e-12
        assert np.max(np.abs(values - 1)) >= 0.9 * margin
    free = Elman(1, UNITS, recurrent_init="orthogonal")
    values = np.linalg.svd(matrix(free, anywhere(free, 2.0)))[1]
    assert np.max(values) > 10


@pytest.mark.parametrize("build", [URNN, ExpRNN])
def test_modrelu_has_finite_gradients_at_zero(build):
    """Arjovsky et al. 2016, eq. 8; at z = 0 the phase has no derivative."""
    cell = build(2, 3)
    params = initial(cell)
    still = jax.tree.map(jnp.zeros_like, cell.initial_state(cell.prepare(params)))

    @jax.jit
    @jax.grad
    def slopes(params):
        weights = cell.prepare(params)
        return jnp.sum(cell.step(weights, still, weights.b[:2] * 0)[1] + weights.b.sum())

    for b in (-0.5, 0.0, 0.5):
        for slope in jax.tree.leaves(slopes(params._replace(b=jnp.full_like(params.b, b)))):
            assert np.all(np.isfinite(slope))
