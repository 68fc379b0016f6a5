"""What the papers claim of cells without gates."""

import functools

import jax
import numpy as np

import rnnx
from rnnx.cells.simple.elman import Elman
from rnnx.cells.simple.mrnn import MRNN
from rnnx.cells.simple.scrn import SCRN, State

D, N = 3, 16


def initial(cell):
    """Initial parameters, in NumPy."""
    return jax.tree.map(np.array, jax.jit(cell.init)(jax.random.key(0)))


def drawn(cell):
    """Any parameters of the right shapes, quicker than `initial`."""
    draws = np.random.default_rng(1)
    shapes = jax.eval_shape(cell.init, jax.random.key(0))
    return jax.tree.map(lambda leaf: draws.normal(size=leaf.shape) / np.sqrt(N), shapes)


def inputs(steps, seed=0):
    return np.random.default_rng(seed).normal(size=(steps, D))


@functools.partial(jax.jit, static_argnums=0)
def transport(cell, params, xs, h):
    """d h_T / d h_0    [N, N]"""
    return jax.jacobian(lambda h: rnnx.scan(cell, params, xs, h)[0])(h)


def norm(matrix):
    return np.linalg.norm(np.asarray(matrix), 2)


# ------------------------------------------------------------------------------------------------- elman


def test_elman_irnn_keeps_states_and_errors():
    """Le, Jaitly & Hinton 2015, section 3: without input the IRNN stays in its state, and errors stay as they are."""
    steps, h, silence = 300, np.linspace(1, 3, N), np.zeros((300, D))
    irnn = Elman(D, N, "relu", recurrent_init="identity", input_init="normal:0.001")
    params = initial(irnn)
    assert np.array_equal(rnnx.scan(irnn, params, silence, h)[0], h)
    assert np.array_equal(transport(irnn, params, silence, h), np.eye(N))

    # Controls: another scale of the identity, or tanh, loses them.
    smaller = params._replace(w_h=0.9 * params.w_h)
    np.testing.assert_allclose(norm(transport(irnn, smaller, silence, h)), 0.9**steps, rtol=1e-9)
    assert norm(transport(Elman(D, N), params, silence, h)) < 1e-3


def test_elman_gradients_vanish_below_a_norm():
    """Pascanu, Mikolov & Bengio 2013: ||dh_t/dh_k|| <= (||W|| max|phi'|)^(t-k), which falls if ||W|| < 1."""
    steps, cell, h = 60, Elman(D, N), np.zeros(N)
    params, xs = drawn(cell), inputs(60)
    small = params._replace(w_h=0.9 * params.w_h / norm(params.w_h[:, 0]))
    for k in (1, steps):
        assert 0 < norm(transport(cell, small, xs[:k], h)) <= 0.9**k

    # A norm above 1 is necessary for growth; it is enough where phi' = 1 and an eigenvalue is above 1.
    large = params._replace(w_h=1.2 * np.eye(N)[:, None])
    np.testing.assert_allclose(norm(transport(Elman(D, N, "identity"), large, xs, h)), 1.2**steps, rtol=1e-9)
    # It is not enough under tanh, where saturation brings phi' down.
    assert norm(transport(cell, large._replace(b=np.full((1, N), 10.0)), xs, h)) < 1e-10


# -------------------------------------------------------------------------------------------------- scrn


def test_scrn_context_remembers():
    """Mikolov et al. 2014: the context keeps an input for alpha^t, where hidden units of their own have lost it."""
    steps, cell = 60, SCRN(D, N, context=5)
    params, xs = drawn(cell), inputs(60)

    @jax.jit
    def slope(params, xs):
        return jax.jacobian(lambda x: rnnx.scan(cell, params, xs.at[0].set(x))[1][-1])(xs[0])

    def memory(params):
        """d y_T / d x_1, its hidden and its context part"""
        matrix = np.asarray(slope(params, jax.numpy.asarray(xs)))
        return matrix[:N], matrix[N:]

    hidden, context = memory(params)
    np.testing.assert_allclose(context, 0.05 * 0.95 ** (steps - 1) * params.w_c[:, 0].T, rtol=1e-9)
    # Through P the hidden units know it too; without P they have forgotten.
    assert norm(hidden) > 1e-3 * norm(context)
    alone, _ = memory(params._replace(w_s=np.zeros_like(params.w_s)))
    assert norm(alone) < 1e-30


def test_scrn_learned_rates():
    """Learned rates start as the fixed one and stay in (0, 1); each unit has its own."""
    fixed, free = SCRN(D, N, context=4), SCRN(D, N, context=4, adaptive=True)
    params = initial(free)
    start = fixed.prepare(params._replace(beta=None)).alpha
    np.testing.assert_allclose(free.prepare(params).alpha, start, rtol=1e-14)

    beta = np.array([-20.0, -1.0, 3.0, 20.0])
    state = State(np.zeros(N), np.ones(4))
    final, _ = rnnx.scan(free, params._replace(beta=beta), np.zeros((30, D)), state)
    context = np.asarray(final.s)
    np.testing.assert_allclose(context, (1 / (1 + np.exp(-beta))) ** 30, rtol=1e-9)
    assert context[0] < 1e-100 and 0.999 < context[3] < 1


# -------------------------------------------------------------------------------------------------- mrnn


def test_mrnn_a_matrix_for_every_symbol():
    """Sutskever et al. 2011: with enough factors, each symbol has a recurrent matrix of its own, any matrix."""
    matrices = np.random.default_rng(0).normal(size=(D, N, N)) / np.sqrt(N)  # W^(k), from the left
    cell = MRNN(D, N, factors=D * N)
    params = drawn(cell)._replace(
        w_h=np.tile(np.eye(N), (1, D))[:, None],  # W_fh: h, once for each symbol
        w_fx=np.kron(np.eye(D), np.ones(N))[:, None],  # W_fx: the symbol's own block
        w_f=np.concatenate([m.T for m in matrices])[:, None],  # W_hf: the matrices side by side
    )
    text, h = [0, 2, 1, 1, 0, 2, 2, 1], np.zeros(N)
    _, ys = rnnx.scan(cell, params, np.eye(D)[text])
    for symbol, y in zip(text, np.asarray(ys), strict=True):
        h = np.tanh(matrices[symbol] @ h + params.w_x[symbol, 0] + params.b[0])
        np.testing.assert_allclose(y, h, atol=1e-14)


def test_mrnn_the_input_chooses_the_dynamics():
    """The Jacobian at h = 0, where tanh' is told by the input alone, is W_hf diag(W_fx x) W_fh."""

    def dynamics(cell, params, symbol):
        x, h = np.eye(D)[[symbol]], np.zeros(N)
        y = np.asarray(rnnx.scan(cell, params, x, h)[0])
        return np.asarray(transport(cell, params, x, h)) / (1 - y[:, None] ** 2)

    cell, simple = MRNN(D, N), Elman(D, N)
    own, shared = drawn(cell), drawn(simple)
    first, second = (dynamics(cell, own, symbol) for symbol in (0, 1))
    np.testing.assert_allclose(first, own.w_f[:, 0].T @ np.diag(own.w_fx[0, 0]) @ own.w_h[:, 0].T, atol=1e-14)
    assert norm(first - second) > 0.1
    # Control: a simple network adds its input to the same dynamics.
    np.testing.assert_allclose(dynamics(simple, shared, 0), dynamics(simple, shared, 1), atol=1e-14)
    # F factors are a matrix of rank F.
    few = MRNN(D, N, factors=2)
    assert np.linalg.matrix_rank(dynamics(few, drawn(few), 0)) == 2
