"""What the papers claim of cells with a protected cell state."""

import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import rnnx
from rnnx.cells.gated import lstm, lstm_1997, lstm_multiplicative, lstm_peephole, lstm_refine
from rnnx.cells.gated.lstm import LSTM
from rnnx.cells.gated.lstm_1997 import LSTM1997
from rnnx.cells.gated.lstm_layer_norm import LSTMLayerNorm
from rnnx.cells.gated.lstm_multiplicative import LSTMMultiplicative
from rnnx.cells.gated.lstm_peephole import LSTMCoupled, LSTMPeephole
from rnnx.cells.gated.lstm_projected import LSTMProjected
from rnnx.cells.gated.lstm_refine import LSTMRefine

D, N = 3, 8


def inputs(steps):
    return np.random.default_rng(0).normal(size=(steps, D))


def drawn(cell, scale=0.3):
    """Parameters from N(0, scale^2), whatever `init` would draw."""
    draws, shapes = np.random.default_rng(1), jax.eval_shape(cell.init, jax.random.key(0))
    return jax.tree.map(lambda a: scale * draws.normal(size=a.shape), shapes)


def started(cell):
    return cell.init(jax.random.key(0))


def cells_of(cell, params, xs):
    """c_1 ... c_T    [T, N]"""
    return rnnx.scan(cell, params, xs, keep=lambda state, y: state.c)[1]


def size(cell):
    """How many parameters a cell has."""
    return sum(leaf.size for leaf in jax.tree.leaves(jax.eval_shape(cell.init, jax.random.key(0))))


def logit(p):
    return np.log(p / (1 - p))


# ------------------------------------------------------------------------------------------------- lstm


def test_lstm_forgets_what_lstm_1997_piles_up():
    """Gers, Schmidhuber & Cummins 2000: in a stream without resets the states of 1997 grow linearly, those with a
    forget gate stay bounded by max|g| / (1 - max f)."""
    stream = np.ones((2000, D))
    old, new = LSTM1997(D, N), LSTM(D, N, squashing="paper")
    piled = np.abs(cells_of(old, drawn(old), stream)).max(axis=1)
    np.testing.assert_allclose(piled[1999] / piled[999], 2.0, rtol=0.05)
    assert piled[1999] > 200
    kept = np.abs(cells_of(new, drawn(new), stream)).max(axis=1)
    np.testing.assert_allclose(kept[1999], kept[999], rtol=1e-9)
    assert kept.max() < 10


# ------------------------------------------------------------------------------------------------- lstm_1997

TABLE_10 = {  # experiment: (blocks, size, in, out, what has biases, weights of the output layer, weights)
    "1-1": (4, 1, 7, "gates", 4 * 7, 264),
    "1-2": (3, 2, 7, "gates", 6 * 7, 276),
    "2a": (1, 1, 101, "none", (101 + 1) * 101, 10504),
    "2c-1": (2, 1, 54, "none", 2 * 2, 364),
    "2c-5": (2, 1, 1004, "none", 2 * 2, 6064),
    "3a": (3, 1, 1, "all", 3, 102),
    "4-1": (2, 2, 2, "all", 4 + 1, 93),
    "6a": (2, 2, 8, "all", 4 * 4 + 4, 156),
    "6b": (3, 2, 8, "all", 6 * 8 + 8, 308),
}


@pytest.mark.parametrize("experiment", TABLE_10)
def test_lstm_1997_has_the_weights_of_table_10(experiment):
    """Hochreiter & Schmidhuber 1997, table 10, column 8: the cells, gates, connections and biases are the paper's."""
    blocks, block, width, bias, output_layer, weights = TABLE_10[experiment]
    cell = LSTM1997(width, blocks * block, block, bias=bias)
    if experiment == "2a":  # B: every layer sees those below, nothing is fed back; no output gate
        cell = LSTM1997(width, 1, squashing="identity", sees="nothing", output_gate=False, bias="none")
    assert size(cell) + output_layer == weights


def test_lstm_1997_has_the_weights_of_the_continual_reber_net():
    """Gers, Schmidhuber & Cummins 2000: 424 weights with 4 blocks of 2 cells, biased gates that see no gates."""
    cell = LSTM1997(7, 8, 2, sees="cells", forget=True, bias="gates")
    assert size(cell) + 7 * (7 + 8 + 1) == 424
    params = started(LSTM1997(7, 8, 2, forget=True, in_bias=-0.5, in_bias_step=-0.5, forget_bias=0.5))
    assert params.v_b[0].tolist() == [-0.5, -1.0, -1.5, -2.0] and params.v_b[1].tolist() == [0.5] * 4


def test_lstm_1997_carries_errors_unchanged():
    """Section 4: within a cell errors flow back unchanged: dc_T/dc_0 = 1 exactly, at any distance."""
    steps, few = 1000, 4
    xs, c = inputs(steps), jnp.linspace(-1.0, 1.0, few)

    def carried(cell, params):
        def last(c):
            return rnnx.scan(cell, params, xs, lstm_1997.State(jnp.zeros(few), c))[0].c

        return jax.jacfwd(last)(c)

    alone = LSTM1997(D, few, sees="nothing")
    assert jnp.array_equal(carried(alone, drawn(alone)), jnp.eye(few))
    # In the fully connected net too, along the cell itself: where the paper's truncated gradient flows.
    whole = LSTM1997(D, few, block=2)
    weights = whole.prepare(drawn(whole))
    state = lstm_1997.State(*np.random.default_rng(3).random((3, few)), None, np.ones(few))
    u, v = whole.drive(weights, xs[0]), whole.recur(weights, state)
    along = jax.jacfwd(lambda c: whole.update(weights, state._replace(c=c), u, v).c)(c)
    assert jnp.array_equal(along, jnp.eye(few))
    # Control: a forget gate leaves nothing.
    alone = LSTM1997(D, few, sees="nothing", forget=True)
    assert jnp.max(jnp.abs(carried(alone, drawn(alone)))) < 1e-100


def test_lstm_1997_biases_hold_cells_back():
    """Section 4: a negative output gate bias pushes a block's first outputs to zero, the more negative the later its
    turn; a negative input gate bias slows the drift of its state. Cells of a block share their gates."""
    cell, run = LSTM1997(D, 6, 2, in_bias=-1.0, in_bias_step=-2.0, out_bias=-2.0, out_bias_step=-2.0), LSTM1997(D, 6, 2)
    params, xs = started(cell), np.ones((100, D))
    assert params.v_b.tolist() == [[-1.0, -3.0, -5.0], [-2.0, -4.0, -6.0]]
    final, ys = rnnx.scan(run, params, xs)
    for gate, biases in ((final.i, (-1.0, -3.0, -5.0)), (final.o, (-2.0, -4.0, -6.0))):
        assert jnp.array_equal(gate[::2], gate[1::2])
        np.testing.assert_allclose(logit(gate[::2]), biases, atol=0.6)
    assert not np.any(np.isclose(final.c[::2], final.c[1::2]))

    largest = np.abs(ys).reshape(100, 3, 2).max(axis=(0, 2))  # of each block
    assert largest[0] > 10 * largest[1] > 100 * largest[2]
    free, _ = rnnx.scan(run, started(run), xs)
    drift = np.abs(final.c / free.c).reshape(3, 2).max(axis=1)
    assert drift[1] < 0.2 and drift[2] < 0.07


def test_lstm_1997_with_a_forget_gate_is_lstm():
    cell = LSTM1997(D, N, sees="cells", forget=True)
    params, xs = drawn(cell), inputs(50)
    other = LSTM(D, N, squashing="paper")
    _, ys = rnnx.scan(cell, params, xs)
    _, want = rnnx.scan(other, lstm.Params(*cell.prepare(params)), xs)
    np.testing.assert_allclose(ys, want, rtol=1e-12, atol=1e-15)
    assert isinstance(cell.prepare(params), lstm_1997.Weights)


# ------------------------------------------------------------------------------------------------- lstm_peephole


def spikes(period, peepholes):
    """Steps at which one unit without input puts something out: it counts up, fires and starts again."""
    cell, a, sharp = LSTMPeephole(1, 1, "identity"), 0.1, 400.0
    threshold = (period - 0.5) * a
    one = jnp.ones(1)
    params = lstm_peephole.Params(
        w_x=jnp.zeros((1, 4, 1)),
        w_h=jnp.zeros((1, 4, 1)),
        b=jnp.array([40.0, sharp * threshold, a, -sharp * threshold])[:, None],
        p_i=0 * one,
        p_f=-peepholes * sharp * one,
        p_o=peepholes * sharp * one,
    )
    _, ys = rnnx.scan(cell, params, jnp.zeros((100, 1)))
    return (jnp.flatnonzero(ys[:, 0] > 1e-3) + 1).tolist()


def test_lstm_peephole_times_spikes():
    """Gers, Schraudolph & Schmidhuber 2002: with peepholes a cell fires exactly every so many steps, without any
    input; behind a closed output gate the gates of an LSTM see nothing of its count."""
    for period in (7, 10, 25):
        assert spikes(period, 1.0) == list(range(period, 101, period))
        assert spikes(period, 0.0) == []


# ------------------------------------------------------------------------------------------------- lstm_coupled


def test_lstm_coupled_stays_a_mean():
    """Greff et al. 2015: with i = 1 - f the state needs no bound: it is a mean of g, within (-1, 1)."""
    xs = 3 * inputs(300)
    cell, free = LSTMCoupled(D, N, peepholes=True), LSTM(D, N)
    assert np.abs(cells_of(cell, drawn(cell, 1.0), xs)).max() < 1
    assert np.abs(cells_of(free, drawn(free, 1.0), xs)).max() > 3
    assert 4 * size(LSTMCoupled(D, N)) == 3 * size(LSTM(D, N))  # its saving: one gate in four


# ------------------------------------------------------------------------------------------------- lstm_projected


def test_lstm_projected_has_the_papers_weights():
    """Sak, Senior & Beaufays 2014, section 2: n_c n_r 4 + n_i n_c 4 + n_r n_c + n_c 3 weights, besides biases."""
    n_i, n_c, n_r, n_p = 40, 1024, 256, 128
    cell = LSTMProjected(n_i, n_c, n_r, peepholes=True)
    assert size(cell) - 4 * n_c == n_c * n_r * 4 + n_i * n_c * 4 + n_r * n_c + n_c * 3
    assert size(cell) < 0.4 * size(LSTMPeephole(n_i, n_c))
    more = LSTMProjected(n_i, n_c, n_r, n_p, peepholes=True)
    assert size(more) - size(cell) == n_p * n_c and more.outputs == n_r + n_p
    for wrong in (-1, n_c + 1):
        with pytest.raises(ValueError, match="projection got"):
            LSTMProjected(n_i, n_c, wrong)


def test_lstm_projected_by_the_identity_is_lstm():
    cell, xs = LSTMProjected(D, N, projection=N, nonrecurrent=2), inputs(30)
    params = drawn(cell)
    other = np.random.default_rng(2).normal(size=(N, 2))
    params = params._replace(w_r=np.concatenate([np.eye(N), other], axis=1))
    _, ys = rnnx.scan(cell, params, xs)
    _, hs = rnnx.scan(LSTM(D, N), lstm.Params(params.w_x, params.w_h, params.b), xs)
    np.testing.assert_allclose(ys, np.concatenate([hs, hs @ other], axis=1), rtol=0, atol=1e-14)


# ------------------------------------------------------------------------------------------------- lstm_layer_norm


def test_lstm_layer_norm_does_not_see_scale_or_shift():
    """Ba, Kiros & Hinton 2016, section 5.1, table 1: invariant to scaling and shifting all weights of a sum, and to
    scaling the input."""
    xs, pull = inputs(30), np.arange(1.0, N + 1)

    def changes(cell):
        params = drawn(cell)
        _, ys = rnnx.scan(cell, params, xs)
        w_x, w_h = params.w_x, params.w_h
        for other, data in (
            (params._replace(w_x=100 * w_x), xs),
            (params._replace(w_h=100 * w_h), xs),
            (params._replace(w_h=w_h + pull[:, None, None]), xs),
            (params, 0.01 * xs),
        ):
            yield float(jnp.max(jnp.abs(rnnx.scan(cell, other, data)[1] - ys)))

    assert max(changes(LSTMLayerNorm(D, N, epsilon=1e-12))) < 1e-6
    assert min(changes(LSTM(D, N))) > 0.1


# ------------------------------------------------------------------------------------------------- lstm_refine


@jax.jit
def gate(z, refine):
    """c_1 / c_0 of a unit whose f is sigmoid(z) and whose r is sigmoid(refine)."""
    cell = LSTMRefine(1, 1)
    params = lstm_refine.Params(jnp.zeros((1, 4, 1)), jnp.zeros((1, 4, 1)), jnp.array([z, refine, 0.0, 0.0])[:, None])
    return cell.step(params, lstm.State(jnp.zeros(1), jnp.ones(1)), jnp.zeros(1))[0].c[0]


def test_lstm_refine_reaches_long_memories_from_afar():
    """Gu et al. 2020, section 3: the gate spans f^2 to 1 - (1 - f)^2: the memory 1 / (1 - g) is squared, so that the
    forget gate goes half as far for it, and its slope there is about twice that of a sigmoid."""
    f = jax.nn.sigmoid
    for z in (-2.0, 0.0, 4.0):
        np.testing.assert_allclose(1 / (1 - gate(z, 40.0)), (1 / (1 - f(z))) ** 2, rtol=1e-9)
        np.testing.assert_allclose(gate(z, -40.0), f(z) ** 2, rtol=1e-9)
        np.testing.assert_allclose(gate(z, 0.0), f(z), rtol=1e-12)  # control: r = 1/2 is the plain gate
    long = 1e4  # steps
    near = logit(1 - long**-0.5)
    np.testing.assert_allclose(1 / (1 - gate(near, 40.0)), long, rtol=1e-6)
    assert near < 0.5 * logit(1 - 1 / long)
    np.testing.assert_allclose(jax.grad(gate)(near, 40.0) / jax.grad(gate)(logit(1 - 1 / long), 0.0), 1.98, rtol=1e-3)


def test_lstm_refine_starts_with_every_memory():
    """Gu et al. 2020, section 3: at the start f is spread evenly over (1/N, 1 - 1/N), and r is 1 - f."""
    many = 1000
    b = started(LSTMRefine(1, many, recurrent_init="zeros")).b
    f, r = jax.nn.sigmoid(b[0]), jax.nn.sigmoid(b[1])
    np.testing.assert_allclose(f + r, 1, rtol=1e-12)
    assert 1 / many <= jnp.min(f) and jnp.max(f) <= 1 - 1 / many
    assert jnp.max(jnp.abs(jnp.sort(f) - (np.arange(many) + 0.5) / many)) < 0.05
    constant = jax.nn.sigmoid(started(LSTMRefine(1, many, 1.0, "constant", recurrent_init="zeros")).b[0])
    assert jnp.ptp(constant) == 0


# ------------------------------------------------------------------------------------------- lstm_multiplicative


@functools.partial(jax.jit, static_argnums=0)
def transition(cell, params, x):
    """d a / d h at h = 0, where a is what g is the tanh of: i and o are 1/2, c is 0."""

    def a(h):
        _, y = cell.step(params, lstm.State(h, jnp.zeros(N)), x)
        return jnp.arctanh(2 * jnp.arctanh(2 * y))

    return jax.jacfwd(a)(jnp.zeros(N))


def test_lstm_multiplicative_has_a_transition_for_every_input():
    """Krause et al. 2016: each input has its own matrix from h to the gates, here W_m diag(M_x x) M_h: one input may
    turn the state around, another cut it off. An LSTM has one matrix for all inputs."""
    cell = LSTMMultiplicative(D, N)
    params = drawn(cell)
    only_g = np.array([0.0, 0.0, 1.0, 0.0])[None, :, None]
    keep, turn, cut = np.eye(D)
    m_x = np.stack([np.ones((1, N)), -np.ones((1, N)), np.zeros((1, N))])
    params = lstm_multiplicative.Params(0 * params.w_x, params.w_m * only_g, 0 * params.b, m_x, params.m_h)
    matrix = params.w_m[:, 2].T @ params.m_h[:, 0].T
    np.testing.assert_allclose(transition(cell, params, keep), matrix, atol=1e-12)
    np.testing.assert_allclose(transition(cell, params, turn), -matrix, atol=1e-12)
    assert not jnp.any(transition(cell, params, cut))
    plain = lstm.Params(params.w_x, params.w_m, params.b)
    for x in (keep, turn, cut):
        np.testing.assert_allclose(transition(LSTM(D, N), plain, x), params.w_m[:, 2].T, atol=1e-12)
