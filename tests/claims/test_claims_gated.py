"""What the papers claim of cells with gates."""

import functools

import jax
import numpy as np

import rnnx
from rnnx.cells.gated import gru, rhn, ugrnn
from rnnx.cells.gated.cfn import CFN
from rnnx.cells.gated.fast import FastGRNN, FastRNN
from rnnx.cells.gated.gru import GRU, GRUBefore
from rnnx.cells.gated.janet import JANET
from rnnx.cells.gated.lstm import LSTM
from rnnx.cells.gated.mgu import MGU
from rnnx.cells.gated.minimalrnn import MinimalRNN
from rnnx.cells.gated.rhn import RHN
from rnnx.cells.gated.ugrnn import UGRNN
from rnnx.cells.simple import elman
from rnnx.cells.simple.elman import Elman

D, N = 3, 8
CLOSED, OPEN = -1000.0, 1000.0  # a bias that makes a gate exactly 0, exactly 1


def initial(cell):
    """Initial parameters, in NumPy."""
    return jax.tree.map(np.array, jax.jit(cell.init)(jax.random.key(0)))


def drawn(cell):
    """Any parameters of the right shapes, quicker than `initial`."""
    draws = np.random.default_rng(1)
    shapes = jax.eval_shape(cell.init, jax.random.key(0))
    return jax.tree.map(lambda leaf: draws.normal(size=leaf.shape) / np.sqrt(N), shapes)


def random(*shape, scale=1.0, seed=0):
    return scale * np.random.default_rng(seed).normal(size=shape)


def sigmoid(a):
    return 1 / (1 + np.exp(-a))


@functools.partial(jax.jit, static_argnums=0)
def run(cell, params, xs, h=None):
    return rnnx.scan(cell, params, xs, h)


@functools.partial(jax.jit, static_argnums=0)
def transport(cell, params, xs, h):
    """d h_T / d h_0    [N, N]"""
    return jax.jacobian(lambda h: rnnx.scan(cell, params, xs, h)[0])(h)


def norm(matrix):
    return np.linalg.norm(np.asarray(matrix), 2)


def size(params):
    return sum(np.size(leaf) for leaf in jax.tree.leaves(params))


def with_bias(params, row, value):
    """`params` with this bias for one gate, its other weights as they are."""
    b = np.array(params.b)
    b[row] = value
    return params._replace(b=b)


# --------------------------------------------------------------------------------------------------- GRU


def test_gru_an_open_gate_copies():
    """z = 1 keeps the state exactly, whatever the input, and passes errors on exactly; z = 0 forgets it."""
    cell, xs, h = GRU(D, N), random(100, D), random(N)
    params = drawn(cell)
    assert np.array_equal(run(cell, with_bias(params, 1, OPEN), xs, h)[0], h)
    assert np.array_equal(transport(cell, with_bias(params, 1, OPEN), xs, h), np.eye(N))
    # Controls: as drawn, and with the gate at 0.
    assert norm(transport(cell, params, xs, h)) < 1e-8
    assert norm(transport(cell, with_bias(params, 1, CLOSED), xs, h)) < 1e-8


def test_gru_before_a_closed_reset_starts_afresh():
    """Cho et al. 2014: with r = 0 the candidate ignores the old state and sees the input alone."""
    cell, x = GRUBefore(D, N), random(1, D)
    params = drawn(cell)
    fresh = with_bias(with_bias(params, 0, CLOSED), 1, CLOSED)
    one, other = (run(cell, fresh, x, random(N, seed=seed))[0] for seed in (1, 2))
    assert np.array_equal(one, other)
    np.testing.assert_allclose(one, np.tanh(x[0] @ params.w_x[:, 2] + params.b[2]), atol=1e-15)
    # Control: with the reset gate as drawn the states differ.
    one, other = (run(cell, with_bias(params, 1, CLOSED), x, random(N, seed=seed))[0] for seed in (1, 2))
    assert np.max(np.abs(one - other)) > 0.1


def test_gru_before_the_order_matters():
    """Reset before and after the product are two functions, but one where the matrix of n is diagonal and c = 0."""
    xs, after, before = random(20, D), GRU(D, N), GRUBefore(D, N)
    params = drawn(after)

    def gap(matrix, c=0.0):
        w_h = np.stack([params.w_h[:, 0], params.w_h[:, 1], matrix], axis=1)
        one = gru.Params(params.w_x, w_h, params.b, np.full(N, c))
        other = gru.ParamsBefore(params.w_x, params.w_h[:, :2], matrix, params.b)
        return np.max(np.abs(run(after, one, xs)[1] - run(before, other, xs)[1]))

    assert gap(params.w_h[:, 2]) > 0.02
    assert gap(np.diag(random(N))) < 1e-14
    assert gap(np.diag(random(N)), c=1.0) > 0.02


# --------------------------------------------------------------------------------------------------- MGU


def test_mgu_is_a_gru_with_one_gate():
    """Zhou et al. 2016: GRU with r = f and z = 1 - f, with 67 % of its parameters."""
    cell, wide, xs = MGU(D, N), GRUBefore(D, N), random(30, D)
    params = with_bias(drawn(cell), 0, random(N))
    f, n = params.w_x[:, 0], params.w_x[:, 1]
    u = params.w_h[:, 0]
    tied = gru.ParamsBefore(
        np.stack([f, -f, n], axis=1),
        np.stack([u, -u], axis=1),
        params.w_n,
        np.stack([params.b[0], -params.b[0], params.b[1]]),
    )
    np.testing.assert_allclose(run(cell, params, xs)[1], run(wide, tied, xs)[1], atol=1e-13)
    assert 3 * size(params) == 2 * size(tied)
    # The sign of z matters: a gate that keeps where the paper's forgets is another cell.
    tied = tied._replace(w_x=tied.w_x[:, [0, 0, 2]], w_h=tied.w_h[:, [0, 0]], b=tied.b[[0, 0, 2]])
    assert np.max(np.abs(run(cell, params, xs)[1] - run(wide, tied, xs)[1])) > 0.1


def test_mgu_forget_bias_lengthens_memory():
    """`forget_bias` means the same in every cell, though f forgets where it is open."""
    b = initial(MGU(D, N, forget_bias=2.0)).b
    assert np.all(b[0] == -2.0) and np.all(b[1] == 0.0)
    b = initial(MGU(D, N, forget_init="chrono:50")).b
    assert np.all((b[0] <= 0) & (b[0] >= -np.log(49))) and np.std(b[0]) > 0.1


# ------------------------------------------------------------------------------------------------- UGRNN


def test_ugrnn_between_a_copy_and_a_simple_network():
    """Collins et al. 2016: the gate decides whether the state is carried over or updated as in a vanilla RNN."""
    cell, xs, h = UGRNN(D, N), random(100, D), random(N)
    params = drawn(cell)
    assert np.array_equal(run(cell, with_bias(params, 1, OPEN), xs, h)[0], h)
    assert np.array_equal(transport(cell, with_bias(params, 1, OPEN), xs, h), np.eye(N))
    simple = elman.Params(params.w_x[:, :1], params.w_h[:, :1], params.b[:1])
    updated = run(cell, with_bias(params, 1, CLOSED), xs[:20], h)[1]
    np.testing.assert_allclose(updated, run(Elman(D, N), simple, xs[:20], h)[1], atol=1e-13)
    # A large b^fg "induces better gradient flow".
    flow = [norm(transport(cell, with_bias(params, 1, bias), xs, h)) for bias in (CLOSED, 0.0, 5.0)]
    assert flow[0] < flow[1] < 1e-6 and flow[2] > 0.1


# ------------------------------------------------------------------------------------------------- JANET


def test_janet_is_drawn_with_long_memories():
    """van der Westhuizen & Lasenby 2018: half of an LSTM; chrono biases let the gates alone keep errors for T steps."""
    steps, cell = 200, JANET(D, N)
    assert 2 * size(drawn(cell)) == size(drawn(LSTM(D, N)))
    params = initial(cell)._replace(w_h=np.zeros((N, 2, N)), w_x=np.zeros((D, 2, N)))
    xs, h = random(steps, D), np.zeros(N)
    kept = np.diag(transport(cell, params, xs, h))
    np.testing.assert_allclose(kept, sigmoid(params.b[0]) ** steps, rtol=1e-9)
    assert np.max(kept) > 0.1
    # Control: their code without T takes the bias 1.
    constant = initial(JANET(D, N, forget_init="constant")).b
    assert np.all(constant[0] == 1.0)
    assert norm(transport(cell, params._replace(b=constant), xs, h)) < 1e-26


def test_janet_beta_writes_more():
    """The control of the input is sigmoid(s - beta): what is written is more than what was forgotten."""
    params = jax.tree.map(np.zeros_like, drawn(JANET(1, 1)))
    params = with_bias(with_bias(params, 0, 4.0), 1, OPEN)  # g = 1
    written = [float(run(JANET(1, 1, beta), params, np.zeros((1, 1)))[0][0]) for beta in (0.0, 1.0)]
    np.testing.assert_allclose(written, [sigmoid(-4.0), sigmoid(-3.0)], rtol=1e-12)
    assert 2.6 < written[1] / written[0] < np.e


# --------------------------------------------------------------------------------------------------- CFN


def test_cfn_has_no_chaos():
    """Laurent & von Brecht 2016: without input all states decay to zero, |h_t| <= theta*^t |h_0|, for any weights.

    Control: their GRU of two units, eq. 7, without input, where two states 1e-7 apart part ways.
    """
    a_z, a_r = np.array([[0.0, 1], [1, 1]]), np.array([[0.0, 1], [1, 0]])
    r = np.array([[-5.0, -8], [8, 5]])
    silence, h = np.zeros((400, 1)), np.array([0.3, -0.7])
    nearby = h + np.array([1e-7, 0])

    cell = CFN(1, 2)
    params = drawn(cell)._replace(w_h=np.stack([a_z.T, r.T], axis=1), b=np.zeros((2, 2)))
    final, ys = (np.abs(a) for a in run(cell, params, silence, h))
    theta = sigmoid(np.max(np.abs(a_z @ h)))  # the gate of any smaller state lies below this
    assert np.all(ys <= theta ** np.arange(1, 401)[:, None] * np.max(np.abs(h)) * 2)
    assert np.max(final) < 1e-40
    assert np.max(np.abs(ys - np.abs(run(cell, params, silence, nearby)[1]))) < 1e-6

    chaotic = GRUBefore(1, 2)  # whose z is their 1 - z
    params = drawn(chaotic)._replace(w_h=np.stack([a_r.T, -a_z.T], axis=1), w_n=r.T, b=np.zeros((3, 2)))
    apart = np.abs(run(chaotic, params, silence, h)[1] - run(chaotic, params, silence, nearby)[1])
    assert np.max(apart[:5]) < 1e-5 and np.max(apart[200:]) > 0.5


def test_cfn_decays_for_any_weights():
    """Also where the recurrent matrices are huge; h_inf moves the state of rest."""
    silence, rest = np.zeros((300, D)), random(N)
    for cell, goal in ((CFN(D, N), np.zeros(N)), (CFN(D, N, rest=True), rest)):
        params = drawn(cell)._replace(w_h=random(N, 2, N, scale=20.0), h_inf=rest if cell.rest else None)
        final, _ = run(cell, params, silence, random(N, seed=1))
        # A gate that rounds to 1 leaves the decay to tanh, like sqrt(3 / 2t).
        assert np.max(np.abs(final - goal)) < 0.1
    # Control: a simple network with such weights does not come to rest.
    simple = elman.Params(np.zeros((D, 1, N)), random(N, 1, N, scale=20.0), np.zeros((1, N)))
    assert np.max(np.abs(run(Elman(D, N), simple, silence, random(N))[0])) > 0.9


# -------------------------------------------------------------------------------------------- MinimalRNN


def test_minimalrnn_stays_among_its_inputs():
    """Chen 2017: the states are confined to the space of the encoded inputs, here unit by unit between their ends."""
    cell, xs = MinimalRNN(D, N), random(50, D)
    params = drawn(cell)._replace(w_h=random(N, 1, N, scale=2.0))
    z = np.tanh(xs @ params.w_x[:, 0] + params.b[0])
    ys = np.asarray(run(cell, params, xs, z[0])[1])
    assert np.all((ys >= np.min(z, axis=0)) & (ys <= np.max(z, axis=0)))
    # A constant input leads there, whatever the recurrent weights are.
    final, _ = run(cell, params, np.tile(xs[:1], (400, 1)), z[1])
    np.testing.assert_allclose(final, z[0], atol=1e-3)
    # Control: the candidate of a UGRNN sees the state, which leaves that space.
    free = UGRNN(D, N)
    own = ugrnn.Params(np.tile(params.w_x, (1, 2, 1)), np.tile(params.w_h, (1, 2, 1)), params.b)
    ys = np.asarray(run(free, own, xs, z[0])[1])
    assert not np.all((ys >= np.min(z, axis=0)) & (ys <= np.max(z, axis=0)))


def test_minimalrnn_jacobian_where_the_input_says_nothing_new():
    """At h_{t-1} = z_t it is diag(u): no power of a weight matrix, however large; elsewhere U_h enters."""
    cell, x = MinimalRNN(D, N), random(1, D)
    params = drawn(cell)._replace(w_h=random(N, 1, N, scale=100.0))
    z = np.tanh(x[0] @ params.w_x[:, 0] + params.b[0])
    u = sigmoid(z @ params.w_h[:, 0] + z @ params.w_z[:, 0] + params.b[1])
    np.testing.assert_allclose(transport(cell, params, x, z), np.diag(u), atol=1e-13)
    small = params._replace(w_h=params.w_h / 100)
    assert norm(transport(cell, small, x, z + 1) - np.diag(np.diag(transport(cell, small, x, z + 1)))) > 0.1


# --------------------------------------------------------------------------------------------------- RHN


def gated(params, bias):
    """An RHN with this bias for t in every layer."""
    return with_bias(params, 1, bias)._replace(b_deep=np.stack([params.b_deep[:, 0], np.full((2, N), bias)], axis=1))


def test_rhn_limits_of_its_gates():
    """Zilly et al. 2016: carry open and transform closed, all eigenvalues are 1; the other way round, they are those
    of a deep simple network; one layer with a coupled gate is a UGRNN."""
    cell, xs, h = RHN(D, N, depth=3), random(5, D), random(N)
    params = drawn(cell)
    assert np.array_equal(transport(cell, gated(params, CLOSED), xs, h), np.eye(N))

    s = h
    for x in xs:
        s = np.tanh(x @ params.w_x[:, 0] + s @ params.w_h[:, 0] + params.b[0])
        for r, b in zip(params.w_deep, params.b_deep, strict=True):
            s = np.tanh(s @ r[:, 0] + b[0])
    np.testing.assert_allclose(run(cell, gated(params, OPEN), xs, h)[0], s, atol=1e-14)

    flat = rhn.Params(params.w_x, params.w_h, params.b, None, None)
    signs = np.array([1.0, -1.0])[:, None]
    same = ugrnn.Params(signs * params.w_x, signs * params.w_h, signs * params.b)
    np.testing.assert_allclose(run(RHN(D, N, 1), flat, xs, h)[1], run(UGRNN(D, N), same, xs, h)[1], atol=1e-14)


def test_rhn_gates_closed_at_the_start_pass_errors_on():
    """Errors pass through depth x T functions: a bias of -4 lets them, one of 0 or 2 does not."""
    cell, xs, h = RHN(D, N, depth=3), random(30, D), np.zeros(N)
    params = initial(cell)
    assert np.all(params.b[1] == -2.0) and np.all(params.b_deep[:, 1] == -2.0)
    flow = [norm(transport(cell, gated(params, bias), xs, h)) for bias in (-4.0, 0.0, 2.0)]
    assert flow[0] > 0.1 and flow[1] < 1e-20 and flow[2] < flow[1]


# ---------------------------------------------------------------------------------------- FastGRNN, FastRNN


def test_fastgrnn_shares_its_matrices():
    """Kusupati et al. 2018: a gated network of the size of a simple one; with zeta = 1 and nu = 0 a convex gate."""
    cell, xs = FastGRNN(D, N), random(40, D)
    params = drawn(cell)
    assert size(params) == size(drawn(Elman(D, N))) + N + 2
    assert size(params) < size(drawn(UGRNN(D, N))) / 1.8 and size(params) < size(drawn(GRU(D, N))) / 2.7

    convex = params._replace(zeta=np.array([OPEN]), nu=np.array([CLOSED]))
    both = ugrnn.Params(np.tile(params.w_x[0], (1, 2, 1)), np.tile(params.w_h[0], (1, 2, 1)), params.b[::-1])
    np.testing.assert_allclose(run(cell, convex, xs)[1], run(UGRNN(D, N), both, xs)[1], atol=1e-14)
    assert np.max(np.abs(run(cell, params, xs)[1] - run(UGRNN(D, N), both, xs)[1])) > 0.01


def test_fastgrnn_low_rank():
    """W and U of rank R: the network that their product makes, and fewer numbers."""
    low, full, xs = FastGRNN(16, 32, rank_x=2, rank_h=3), FastGRNN(16, 32), random(10, 16)
    params = drawn(low)
    whole = params._replace(
        w_x=((params.w_x[0][:, 0] @ params.w_x[1][:, 0])[:, None],),
        w_h=((params.w_h[0][:, 0] @ params.w_h[1][:, 0])[:, None],),
    )
    np.testing.assert_allclose(run(low, params, xs)[1], run(full, whole, xs)[1], atol=1e-14)
    assert np.linalg.matrix_rank(low.recurrent(params).matrix[:, 0]) == 3
    assert size(params) < size(whole) / 4


def test_fastrnn_gradients_are_well_conditioned():
    """Kusupati et al. 2018, eq. 5: kappa <= ((1 + a) / (1 - a))^T, a = alpha / beta max||U D_k||, so that alpha of
    order 1 / T keeps it O(1); a simple network (alpha = 1, beta = 0) with the same weights is exponential in T."""
    steps, cell, h = 40, FastRNN(D, N), np.zeros(N)
    xs = random(steps, D)
    params = drawn(cell)._replace(b=np.zeros((1, N)))
    u = 2 * params.w_h[0] / norm(params.w_h[0][:, 0])  # ||U|| = 2, and ||D_k|| <= 1
    alpha = 1 / (2 * steps)
    beta = 1 - alpha

    def logit(p):
        return np.array([np.log(p) - np.log1p(-p)])

    matrix = transport(cell, params._replace(w_h=(u,), alpha=logit(alpha), beta=logit(beta)), xs, h)
    a = alpha / beta * 2
    bound = ((1 + a) / (1 - a)) ** steps
    assert np.linalg.cond(matrix) <= bound < 10

    simple = elman.Params(params.w_x[0], u, params.b)
    assert np.linalg.cond(transport(Elman(D, N), simple, xs[:10], h)) > 1e5
