"""What the papers say of cells whose gates are set by x and of cells whose memory is a matrix, each with a control."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import rnnx
from rnnx.cells.gated.lstm import LSTM
from rnnx.cells.linear.s6 import S6
from rnnx.cells.linear.slstm import SLSTM, State
from rnnx.cells.matrix.deltanet import DeltaNet, GatedDeltaNet
from rnnx.cells.matrix.fastweights import GLA, FastWeights
from rnnx.cells.matrix.mlstm import MLSTM

OFF, ON = -40.0, 40.0  # of a sigmoid: below rounding beside 1, and exactly 1


def drawn(cell, scale=0.5, seed=0):
    """Parameters from N(0, scale^2), in NumPy."""
    draws = np.random.default_rng(seed)
    made = jax.eval_shape(cell.init, jax.random.key(0))
    return jax.tree.map(lambda a: scale * draws.normal(size=a.shape), made)


def empty(cell):
    """Parameters that are all zero."""
    return drawn(cell, 0.0)


def both(state, y):
    return state, y


def run(cell, params, xs, state=None):
    """(every state, every output) of one sequence."""
    return jax.tree.map(np.asarray, rnnx.scan(cell, params, xs, state, keep=both)[1])


def normal(*shape, seed=1):
    return np.random.default_rng(seed).normal(size=shape)


# ---------------------------------------------------------------------------------------------------------- S6


def selective(cell, gain):
    """Channel 0 is the value; channel 1 says, times `gain`, how fast time goes for both."""
    params = drawn(cell)
    return params._replace(
        w_x=np.eye(2)[:, None],
        w_r=np.array([[0.0], [1.0]]),
        w_dt=np.full((1, 2), gain),
        b_dt=np.zeros(2),
        w_b=params.w_b * [[1], [0]],  # channel 1 writes nothing of its own
    )


@pytest.mark.parametrize("discretisation", ["euler", "zoh"])
def test_s6_ignores_inputs_between(discretisation):
    """Gu & Dao 2023, section 3.5.2: as dt -> 0 the state persists and the input is ignored (variable spacing).

    Control: with dt that does not depend on x the same inputs change the state.
    """
    cell = S6(2, 2, 3, 1, discretisation)
    data = np.stack([normal(5), np.full(5, 0.001)], axis=1)
    noise = np.stack([normal(5, 4, seed=2), np.full((5, 4), -1.0)], axis=2)
    spaced = np.concatenate([data[:, None], noise], axis=1).reshape(25, 2)
    close = np.concatenate([data, noise.reshape(20, 2)])

    def difference(gain):
        return np.max(np.abs(np.subtract(*(run(cell, selective(cell, gain), xs)[0][-1] for xs in (close, spaced)))))

    assert difference(1000.0) == 0
    assert difference(0.0) > 0.01


def test_s6_resets_where_time_runs():
    """Section 3.5.2: as dt -> infinity the state is forgotten and the input taken: h = B x' / -A, by eq. 4.

    Control: at an ordinary dt what was there before stays visible.
    """
    cell = S6(2, 2, 3, 1, "zoh")
    params = selective(cell, 1000.0)

    def after(time):
        x = np.array([[0.7, time]])
        return x[0], *(run(cell, params, x, state)[0][0] for state in 10 * normal(2, 2, 3))

    x, one, other = after(1.0)
    np.testing.assert_array_equal(one, other)
    np.testing.assert_allclose(one, np.outer(x, x @ params.w_b) / np.exp(params.a_log), rtol=1e-12)
    _, one, other = after(0.0)
    assert np.max(np.abs(one - other)) > 1


def test_s6_is_a_gated_rnn():
    """Theorem 1: with S = 1, A = -1, B = 1 it is h = (1 - g) h + g x, g = sigmoid(linear(x)).

    Control: the Euler step of the authors' code is not.
    """
    xs = np.stack([normal(30), np.ones(30)], axis=1)

    def error(discretisation):
        cell = S6(2, 2, 1, 1, discretisation)
        params = drawn(cell)._replace(w_x=np.eye(2)[:, None], a_log=np.zeros((2, 1)), w_b=np.array([[0.0], [1.0]]))
        g = 1 / (1 + np.exp(-(xs @ params.w_r @ params.w_dt + params.b_dt)))
        h, want = np.zeros(2), []
        for x, gate in zip(xs, g, strict=True):
            h = (1 - gate) * h + gate * x
            want.append(h)
        return np.max(np.abs(run(cell, params, xs)[0][:, :, 0] - want))

    assert error("zoh") < 1e-14
    assert error("euler") > 1e-3


# ------------------------------------------------------------------------------------------------------- sLSTM


def plain_slstm(cell, p, xs, dtype=np.float64):
    """Beck et al. 2024, eq. 8-14, without a stabiliser."""
    p = jax.tree.map(lambda a: np.asarray(a, dtype), p)
    h = c = n = np.zeros(cell.units, dtype)
    ys = []
    for x in xs.astype(dtype):
        i, f, z, o = np.einsum("d,dgn->gn", x, p.w_x) + np.einsum("m,mgn->gn", h, p.w_h[0]) + p.b
        i = np.exp(i)
        f = 1 / (1 + np.exp(-f)) if cell.forget_gate == "sigmoid" else np.exp(f)
        c, n = f * c + i * np.tanh(z), f * n + i
        h = 1 / (1 + np.exp(-o)) * (c / n)
        ys.append(h)
    return np.stack(ys)


@pytest.mark.parametrize("forget_gate", ["sigmoid", "exponential"])
def test_slstm_stabiliser_changes_nothing(forget_gate):
    """Eq. 52-58: equal to the plain equations where these do not overflow, and finite where they do.

    Control: the plain equations in float32, in which exp(100) is infinite.
    """
    cell = SLSTM(3, 5, forget_gate=forget_gate)
    params = drawn(cell)
    xs = normal(40, 3)
    np.testing.assert_allclose(run(cell, params, xs)[1], plain_slstm(cell, params, xs), rtol=0, atol=1e-13)

    large = params._replace(b=params.b + [[100], [0], [0], [0]])  # of i alone: it changes no ratio c / n
    single = jax.tree.map(np.float32, large)
    got = run(cell, single, xs.astype(np.float32))[1]
    np.testing.assert_allclose(got, plain_slstm(cell, large, xs), rtol=0, atol=1e-5)
    with np.errstate(all="ignore"):
        assert not np.all(np.isfinite(plain_slstm(cell, large, xs, np.float32)))


def test_slstm_starts_at_any_size():
    """Nothing is stored at the start, so that even an input gate of exp(-300) writes the whole first value."""
    cell = SLSTM(1, 1)
    params = jax.tree.map(np.float32, empty(cell)._replace(b=np.array([[-300.0], [5.0], [0.5], [ON]])))
    xs = np.zeros((3, 1), np.float32)
    value, gradient = jax.jit(jax.value_and_grad(lambda p: jnp.sum(rnnx.scan(cell, p, xs)[1])))(params)
    np.testing.assert_allclose(value, 3 * np.tanh(0.5), rtol=1e-6)
    assert all(np.all(np.isfinite(leaf)) for leaf in jax.tree.leaves(gradient))


def test_slstm_revises_what_it_stored():
    """Section 2.2: exponential gating revises storage decisions. A later input of larger gate takes the whole memory.

    Inputs are a value and its weight s; with f = 1 the cell holds the mean of all values under exp(s), the most
    important so far. Control: the LSTM with the same weights.
    """
    values, s = np.tanh(normal(30)), 40 * normal(30, seed=5)
    xs = np.stack([np.arctanh(values), s], axis=1)
    w_x = np.array([[0.0, 0, 1, 0], [1, 0, 0, 0]])[:, :, None]  # the value to z, s to i, of the gates i, f, z, o
    b = np.array([[0.0], [ON], [0.0], [ON]])
    cell, lstm = SLSTM(2, 1), LSTM(2, 1)
    got = run(cell, empty(cell)._replace(w_x=w_x, b=b), xs)[1][:, 0]
    share = np.exp(s - np.max(s))
    np.testing.assert_allclose(got, np.cumsum(share * values) / np.cumsum(share), rtol=1e-9)

    best = values[[np.argmax(s[: t + 1]) for t in range(30)]]  # the most important value so far
    control = run(lstm, empty(lstm)._replace(w_x=w_x, b=b), xs)[1][:, 0]
    assert np.mean(np.abs(got - best)) < 0.1
    assert np.mean(np.abs(control - best)) > 0.4


def test_slstm_mixes_within_heads_only():
    """Section 2.2, new memory mixing: units of one head see each other, those of two do not. Control: one head."""
    xs, state = normal(4, 3), State(*normal(4, 4, seed=6))
    state = state._replace(n=np.ones(4))
    moved = state._replace(h=state.h + np.array([1, 0, 0, 0]))

    def seen(heads):
        """The units that the first one reaches."""
        cell = SLSTM(3, 4, heads=heads)
        return (run(cell, drawn(cell), xs, state)[1] != run(cell, drawn(cell), xs, moved)[1])[-1].tolist()

    assert seen(4) == [True, False, False, False]
    assert seen(2) == [True, True, False, False]
    assert seen(1) == [True, True, True, True]
    for heads in (0, 3):
        with pytest.raises(ValueError, match=rf"SLSTM.heads got {heads} for 4 units; write a number that divides"):
            SLSTM(3, 4, heads=heads)


def test_slstm_forget_biases():
    """The authors' power law, 5 - 12 (j / (n - 1))^0.3 over each head, and their small_init, 3 to 6."""

    def biases(*options):
        return np.asarray(jax.jit(SLSTM(2, 6, 2, "sigmoid", *options).init)(jax.random.key(0)).b)

    np.testing.assert_allclose(biases()[1], np.tile([5, 5 - 12 * 0.5**0.3, -7], 2), atol=1e-14)
    np.testing.assert_allclose(biases(3.0, -3.0, 1.0)[1], np.tile([3, 4.5, 6], 2), atol=1e-14)
    assert not np.any(biases()[[0, 2, 3]])


# ------------------------------------------------------------------------------------------------------- mLSTM


def plain_mlstm(cell, p, xs, dtype=np.float64):
    """Beck et al. 2024, eq. 19-27 for one head, without a stabiliser."""
    p = jax.tree.map(lambda a: np.asarray(a, dtype), p)
    d = cell.units
    C, n, ys = np.zeros((d, d), dtype), np.zeros(d, dtype), []
    for x in xs.astype(dtype):
        k, v = x @ p.w_x[:, 0] / dtype(np.sqrt(d)) + p.b[0], x @ p.w_x[:, 1] + p.b[1]
        q, o = x @ p.w_y[:, 0] + p.b_y[0], x @ p.w_y[:, 1] + p.b_y[1]
        i, f = np.einsum("d,dg->g", x, p.w_g[:, :, 0]) + p.b_g[:, 0]
        i = np.exp(i)
        f = 1 / (1 + np.exp(-f)) if cell.forget_gate == "sigmoid" else np.exp(f)
        C, n = f * C + i * np.outer(v, k), f * n + i * k
        ys.append(1 / (1 + np.exp(-o)) * (C @ q / np.maximum(np.abs(n @ q), 1)))
    return np.stack(ys)


@pytest.mark.parametrize("forget_gate", ["sigmoid", "exponential"])
def test_mlstm_stabiliser_changes_nothing(forget_gate):
    """Section 2.3 and eq. 77: equal to the plain equations, whichever bound of the divisor holds; finite beyond them.

    Control: the plain equations in float32.
    """
    cell = MLSTM(3, 4, forget_gate=forget_gate)
    params = drawn(cell)
    xs = normal(40, 3)
    for scale in (0.1, 3.0):
        got, want = run(cell, params, scale * xs)[1], plain_mlstm(cell, params, scale * xs)
        np.testing.assert_allclose(got, want, rtol=0, atol=1e-12 * np.max(np.abs(want)))

    large = params._replace(b_g=params.b_g + [[100], [0]])
    single = jax.tree.map(np.float32, large)
    got, want = run(cell, single, xs.astype(np.float32))[1], plain_mlstm(cell, large, xs)
    np.testing.assert_allclose(got, want, rtol=0, atol=1e-3 * np.max(np.abs(want)))
    with np.errstate(all="ignore"):
        assert not np.all(np.isfinite(plain_mlstm(cell, large, xs, np.float32)))


def pairs(count, width, seed=3):
    """(`count` orthonormal keys, values) of this width."""
    draws = np.random.default_rng(seed)
    return np.linalg.qr(draws.normal(size=(width, width)))[0][:count], draws.normal(size=(count, width))


def test_mlstm_recalls_pairs():
    """Section 2.3: with i = f = 1 the matrix holds as many pairs as there are orthonormal keys, each read exactly.

    x is (key, value, query); inputs that only ask have key 0. Control: a second value under one key is mixed in.
    """
    d = 4
    cell = MLSTM(3 * d, d)
    key, value, query = np.split(np.eye(3 * d), 3, axis=1)
    params = empty(cell)._replace(
        w_x=np.stack([2 * key, value], 1),  # sqrt(d) = 2
        b_g=np.array([[0.0], [ON]]),
        w_y=np.stack([query, 0 * query], 1),
        b_y=np.array([[0.0], [ON]]) * np.ones(d),
    )
    keys, values = pairs(d, d)
    none = np.zeros((d, d))
    store, ask = np.concatenate([keys, values, none], 1), np.concatenate([none, none, keys], 1)

    def recalled(further):
        return run(cell, params, np.concatenate([store, further, ask]))[1][-d:]

    np.testing.assert_allclose(recalled(0 * store[:1]), values, atol=1e-14)
    got = recalled(np.concatenate([keys[:1], -values[:1], none[:1]], 1))
    np.testing.assert_allclose(got, np.concatenate([none[:1], values[1:]]), atol=1e-14)


# ------------------------------------------------------------------------------------------------ fast weights


def memory(cell, gates=0):
    """A cell whose x is (key, value, query, `gates` more): parameters that hand these on as they are."""
    d = cell.units
    key, value, query = (np.eye(3 * d + gates)[:, i * d : (i + 1) * d] for i in range(3))
    return empty(cell)._replace(w_x=np.stack([key, value], 1), w_q=query[:, None])


def asked(keys, values, queries, gates=None):
    """Inputs of `memory`; None is zero."""
    given = next(a for a in (keys, queries) if a is not None)
    columns = [np.zeros_like(given) if a is None else a for a in (keys, values, queries)]
    return np.concatenate(columns + ([] if gates is None else [gates]), axis=1)


@pytest.mark.parametrize("decay", [1.0, 0.8])
def test_fastweights_is_linear_attention(decay):
    """Katharopoulos et al. 2020, eq. 9 and 16-20: the recurrence equals causal attention under phi(q) . phi(k).

    Each output is a mean of the values so far, under weights that decay. Control: softmax attention is another mean.
    """
    cell = FastWeights(12, 4, decay=decay, epsilon=0.0)
    keys, values, queries = normal(3, 20, 4)
    got = run(cell, memory(cell), asked(keys, values, queries))[1]

    def phi(a):
        return np.where(a > 0, a + 1, np.exp(a))

    past = np.tril(decay ** (np.arange(20)[:, None] - np.arange(20)[None]))

    def attention(scores):
        return (past * scores) @ values / np.sum(past * scores, axis=1, keepdims=True)

    np.testing.assert_allclose(got, attention(phi(queries) @ phi(keys).T), atol=1e-14)
    assert np.max(np.abs(got - attention(np.exp(queries @ keys.T)))) > 0.1


def test_fastweights_holds_as_many_pairs_as_key_dimensions():
    """Schlag et al. 2021, section 4.1: no more than d keys are orthogonal; a further one disturbs. Linear kernel."""
    d = 4
    cell = FastWeights(3 * d, d, kernel="linear")
    keys, values = pairs(d, d)
    store, ask = asked(keys, values, None), asked(None, None, keys)

    def recalled(further):
        return run(cell, memory(cell), np.concatenate([store, further, ask]))[1][-d:]

    np.testing.assert_allclose(recalled(0 * store[:1]), values, atol=1e-14)
    assert np.max(np.abs(recalled(asked(np.full((1, d), 0.5), np.ones((1, d)), None)) - values)) > 0.1


def test_gla_is_attention_with_decays():
    """Yang et al. 2023, section 4.1: o_t = sum over i of (q_t b_t)(k_i / b_i)^T v_i, b the product of all alpha.

    Each key dimension forgets on its own: what stands under one is gone, under another untouched. Control: retention,
    whose one decay takes from both.
    """
    cell = GLA(5, 4)
    params = drawn(cell)
    xs = normal(12, 5)
    k, v = np.einsum("td,dgn->gtn", xs, params.w_x)
    q = xs @ params.w_q[:, 0]
    gate = xs @ params.w_r[:, 0] @ params.w_a + params.b_a
    b = np.cumprod((1 / (1 + np.exp(-gate))) ** (1 / 16), axis=0)
    want = np.tril((q * b) @ (k / b).T) @ v
    np.testing.assert_allclose(run(cell, params, xs)[1], want, atol=1e-13)

    cell = GLA(6, 2, temperature=1.0)
    params = memory(cell)._replace(b_a=np.array([OFF, ON]))
    state = normal(1, 2, 2)
    after = run(cell, params, np.zeros((1, 6)), state)[0][0, 0]
    np.testing.assert_allclose(after[:, 0], 0, atol=1e-15)
    np.testing.assert_array_equal(after[:, 1], state[0, :, 1])
    retention = FastWeights(6, 2, kernel="linear", decay=0.5)
    np.testing.assert_allclose(run(retention, memory(retention), np.zeros((1, 6)), state)[0][0], 0.5 * state)


# ------------------------------------------------------------------------------------------------- delta rule


def delta_memory(cell, *gates):
    """`memory` with a last input of 1 that sets beta (and alpha) by these numbers."""
    params = memory(cell, gates=1)
    return params._replace(w_b=np.eye(params.w_b.shape[0])[:, -1:, None] * np.array(gates)[:, None])


def one(count):
    return np.ones((count, 1))


def test_deltanet_overwrites():
    """Schlag et al. 2021, section 4.2: with beta = 1 a second value under a key replaces the first, and nothing else.

    Control: the sum rule returns the sum of both.
    """
    d = 4
    keys, values = pairs(d, d)
    second = normal(1, d, seed=8)
    cell = DeltaNet(3 * d + 1, d, feature="identity", epsilon=0.0)
    xs = np.concatenate([asked(keys, values, None), asked(keys[:1], second, None), asked(None, None, keys)])
    summed = FastWeights(3 * d, d, kernel="linear")
    control = run(summed, memory(summed), xs)[1][d + 1 :]

    # A query alone has key 0, of which epsilon = 0 makes nan: it repeats the last key and its value instead.
    xs[d + 1 :, : 2 * d] = np.concatenate([keys[:1], second], 1)
    got = run(cell, delta_memory(cell, ON), np.concatenate([xs, one(len(xs))], 1))
    np.testing.assert_allclose(got[1][d + 1 :], np.concatenate([second, values[1:]]), atol=1e-14)
    np.testing.assert_allclose(control, np.concatenate([second + values[:1], values[1:]]), atol=1e-14)


def test_deltanet_counts_modulo_two():
    """Grazzi et al. 2024, section 4.2: with beta = 2 every 1 flips the sign of the memory: parity of any length.

    Control (theorem 1): with positive eigenvalues, the same weights or any others never change the sign again.
    """
    bits = np.random.default_rng(4).integers(0, 2, 1000)
    parity = 1 - 2 * (np.cumsum(bits) % 2)
    starts = np.arange(1001) == 0
    xs = np.stack([starts, np.concatenate([[0], bits]), np.ones(1001)], axis=1)  # start, bit, 1

    def outputs(eigenvalues, write=2 * ON):
        cell = DeltaNet(3, 1, feature="identity", eigenvalues=eigenvalues, epsilon=0.0)
        params = empty(cell)._replace(
            w_x=np.array([[[0.0], [0.5]], [[0.0], [0.0]], [[1.0], [0.0]]]),  # one key for all, a value at the start
            w_q=np.array([0.0, 0.0, 1.0]).reshape(3, 1, 1),
            w_b=np.array([write, write, OFF]).reshape(3, 1, 1),
        )
        return run(cell, params, xs)[1][1:, 0]

    np.testing.assert_array_equal(outputs("signed"), parity)
    for write in (2 * ON, 41.0):
        positive = outputs("positive", write)
        assert np.all(positive >= 0) and np.all(positive[np.argmax(bits) + 30 :] < 1e-6)


def test_deltanet_eigenvalues_lie_where_they_are_said_to():
    """Grazzi et al. 2024, section 4.2: 1 - beta and ones, in [0, 1] or [-1, 1]; the signed ones do go below 0."""

    def least(eigenvalues, feature):
        cell = DeltaNet(3, 4, 2, feature, eigenvalues)
        weights = drawn(cell, 1.0)
        a = jax.jit(jax.vmap(lambda x: cell.coefficients(weights, x)[0]))(normal(200, 3))
        found = np.linalg.eigvalsh(a)
        assert np.max(found) < 1 + 1e-12
        return np.min(found)

    for feature in ("silu", "elu", "identity"):
        assert 0 <= least("positive", feature) < 1
        assert -1 <= least("signed", feature) < 0


def test_gated_deltanet_erases_all_at_once():
    """Yang et al. 2024, section 3.1: alpha -> 0 clears the memory, alpha -> 1 is the delta rule.

    Control: the delta rule alone takes one key from the memory and leaves the others.
    """
    d = 4
    keys, values = pairs(d, d)
    state = (values.T @ keys)[None]
    x = np.concatenate([asked(keys[:1], values[:1], keys[1:2]), one(1)], 1)
    options = {"feature": "identity", "epsilon": 0.0}
    gated, plain = GatedDeltaNet(3 * d + 1, d, **options), DeltaNet(3 * d + 1, d, **options)

    def after(cell, *gates):
        return run(cell, delta_memory(cell, *gates), x, state)[1][0]

    np.testing.assert_allclose(after(gated, OFF, 1000.0), 0, atol=1e-14)
    np.testing.assert_allclose(after(gated, OFF, -1000.0), values[1], atol=1e-14)
    np.testing.assert_allclose(after(plain, ON), values[1], atol=1e-14)

    xs = np.concatenate([normal(20, 3 * d), one(20)], 1)
    both = [run(cell, delta_memory(cell, *g), xs)[1] for cell, g in ((gated, (0.3, -1000.0)), (plain, (0.3,)))]
    np.testing.assert_allclose(both[0], both[1], atol=1e-14)
