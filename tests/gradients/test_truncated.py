"""Truncated BPTT against lag components found without it: by a copy of the parameters for every step, and by hand."""

from functools import partial

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import rnnx
from rnnx.cells import LSTM, Elman, Readout, elman
from rnnx.gradients import BPTT, ESTIMATORS, Truncated, truncated
from rnnx.scans import Sequential
from rnnx.types import Example, cell

B, T, D, N, O = 3, 7, 2, 3, 2  # noqa: E741


@cell
class Learned(Elman):
    """An Elman cell that starts from its bias."""

    def initial_state(self, weights):
        return weights.b[0]


CELLS = {"lstm": Readout(LSTM(D, N), O), "learned": Readout(Learned(D, N), O)}
PAIRS = [("lstm", 1, 1), ("lstm", 2, 5), ("lstm", 3, 3)]
PAIRS += [("learned", 1, 3), ("learned", 2, 2), ("learned", 3, 4), ("learned", 4, 6), ("learned", 5, 5)]
FULL = [("lstm", 7, 7), ("learned", 1, 7), ("learned", 3, 9), ("learned", 10, 12)]


def loss(y, target):
    return jnp.sum((y - target) ** 2)


def quick(function):
    """Compiled without optimisation."""
    return jax.jit(function, compiler_options={"xla_backend_optimization_level": 0})


@pytest.fixture(scope="module")
def params():
    return {name: net.init(jax.random.key(0)) for name, net in CELLS.items()}


@pytest.fixture(scope="module")
def batch():
    draws = np.random.default_rng(0)
    length = np.array([7, 4, 5])
    scored = (np.arange(T) < length[:, None]) & (draws.random((B, T)) < 0.8)
    xs, targets = draws.normal(size=(B, T, D)), draws.normal(size=(B, T, O))
    return Example(xs, targets, draws.random((B, T)) * scored, length)


def close(got, want):
    jax.tree.map(lambda a, b: np.testing.assert_allclose(a, b, rtol=1e-12, atol=1e-13), got, want)


def kept(k1, k2):
    """[t, s]: whether the loss at t reaches the use at s."""
    t, s = np.arange(T)[:, None], np.arange(T)[None, :]
    return ((t // k1 + 1) * k1 - k2 <= s) & (s <= t)


@pytest.fixture(scope="module")
def lags(params, batch):
    """For each cell, g [B, t, s, ...]: one copy of the parameters for every step, in a loop in plain Python."""

    def losses(net, copies, example):
        at = [jax.tree.map(lambda a, t=t: a[t], copies) for t in range(T)]
        state, told = net.initial_state(net.prepare(at[0])), []
        for t in range(T):
            state, y = net.step(net.prepare(at[t]), state, example.xs[t])
            told.append(example.weights[t] * loss(y, example.targets[t]))
        return jnp.stack(told)

    def components(net, params):
        copies = jax.tree.map(lambda a: jnp.broadcast_to(a, (T, *a.shape)), params)
        return jax.vmap(lambda example: jax.jacrev(partial(losses, net))(copies, example))(batch)

    return {name: quick(partial(components, net))(params[name]) for name, net in CELLS.items()}


def summed(components, mask):
    return jax.tree.map(lambda g: np.einsum("bts...,ts->...", g, mask.astype(float)) / B, components)


# ------------------------------------------------------------------------------------------- which gradient


@pytest.mark.parametrize("name, k1, k2", PAIRS)
def test_it_is_a_sum_of_lag_components(params, batch, lags, name, k1, k2):
    """Windows that overlap or not, T and lengths no multiples of k1; as a control, one step more is something else."""
    got = quick(partial(truncated(k1, k2), CELLS[name], loss))(params[name], batch).gradients
    close(got, summed(lags[name], kept(k1, k2)))
    longer = summed(lags[name], kept(k1, k2 + 1))
    assert max(jax.tree.leaves(jax.tree.map(lambda a, b: np.abs(a - b).max(), got, longer))) > 1e-3


@pytest.mark.parametrize("name, k1, k2", FULL)
def test_windows_that_hold_everything_give_the_full_gradient(params, batch, lags, name, k1, k2):
    got = quick(partial(truncated(k1, k2), CELLS[name], loss))(params[name], batch)
    want = quick(partial(BPTT(), CELLS[name], loss))(params[name], batch)
    close(got, want)
    close(got.gradients, summed(lags[name], np.ones((T, T), bool)))


@pytest.mark.parametrize("k1, k2", [(2, 5), (3, 3)])
def test_an_elman_network_by_hand(k1, k2):
    """h_t = tanh(W x_t + R h_{t-1} + b), differentiated on paper, in NumPy."""
    draws = np.random.default_rng(2)
    w_x, w_h, b = draws.normal(size=(D, N)), draws.normal(size=(N, N)), draws.normal(size=N)
    xs, targets, weights = draws.normal(size=(T, D)), draws.normal(size=(T, N)), draws.random(T)
    hs = [np.zeros(N)]
    for x in xs:
        hs.append(np.tanh(x @ w_x + hs[-1] @ w_h + b))
    d_x, d_h, d_b = np.zeros((D, N)), np.zeros((N, N)), np.zeros(N)
    for t in range(T):
        delta = 2 * weights[t] * (hs[t + 1] - targets[t])
        for s in range(t, max((t // k1 + 1) * k1 - k2, 0) - 1, -1):
            dz = delta * (1 - hs[s + 1] ** 2)
            d_x, d_h, d_b = d_x + np.outer(xs[s], dz), d_h + np.outer(hs[s], dz), d_b + dz
            delta = w_h @ dz
    params = elman.Params(w_x[:, None], w_h[:, None], b[None])
    batch = jax.tree.map(lambda a: a[None], Example(xs, targets, weights))
    got = quick(partial(truncated(k1, k2), Elman(D, N), loss))(params, batch)
    close(got.gradients, elman.Params(d_x[:, None], d_h[:, None], d_b[None]))


def test_how_it_is_computed_changes_nothing(params, batch):
    def estimate(**how):
        return quick(partial(truncated(2, 3, **how), CELLS["learned"], loss))(params["learned"], batch)

    want = estimate()
    for how in ({"together": 3}, {"together": 99, "method": Sequential(unroll=2)}):
        close(estimate(**how), want)


# ------------------------------------------------------------------------------------------- what is not cut


@pytest.mark.parametrize("dtype, inner", [("float64", Elman(D, 5)), ("float32", LSTM(D, 32))], ids=["elman", "lstm"])
def test_the_forward_pass_is_that_of_the_whole_run(dtype, inner):
    """Bit for bit: loss and final states of `rnnx.scan`."""
    net, draws = Readout(inner, O), np.random.default_rng(3)
    xs, targets = draws.normal(size=(B, 50, D)), draws.normal(size=(B, 50, O))
    batch = Example(xs, targets, np.ones((B, 50)))
    params, batch = jax.tree.map(lambda a: jnp.asarray(a, dtype), (net.init(jax.random.key(0)), batch))
    batch = batch._replace(length=np.array([50, 31, 0]))

    def whole(params, batch):
        def one(example):
            final, ys = rnnx.scan(net, params, example.xs, length=example.length)
            return jnp.sum(example.scored() * jax.vmap(loss)(ys, example.targets)), final

        losses, finals = jax.vmap(one)(batch)
        return jnp.mean(losses), finals

    got = jax.jit(partial(truncated(7, 10), net, loss))(params, batch)
    for a, b in zip(
        jax.tree.leaves((got.loss, got.states)), jax.tree.leaves(jax.jit(whole)(params, batch)), strict=True
    ):
        assert a.dtype == dtype
        np.testing.assert_array_equal(a, b)


def test_states_are_carried():
    """Two batches of T/2 are one of T where no window crosses the cut; where one does, they are not."""
    net, draws = CELLS["learned"], np.random.default_rng(4)
    params, half = net.init(jax.random.key(1)), 4
    whole = Example(draws.normal(size=(B, 8, D)), draws.normal(size=(B, 8, O)), draws.random((B, 8)))

    def parts(estimator, params):
        early = jax.tree.map(lambda a: a[:, :half], whole)
        late = jax.tree.map(lambda a: a[:, half:], whole)
        first = estimator(net, loss, params, early)
        return first, estimator(net, loss, params, late, first.states), estimator(net, loss, params, whole)

    for k2, same in ((2, True), (3, False)):
        first, second, told = quick(partial(parts, truncated(2, k2)))(params)
        close((first.loss + second.loss, second.states), (told.loss, told.states))
        error = jax.tree.map(lambda a, b, c: np.abs(a + b - c).max(), first.gradients, second.gradients, told.gradients)
        assert (max(jax.tree.leaves(error)) < 1e-13) == same


def test_padding_reaches_nothing(params, batch):
    """Bit for bit, so that no product with zero hides there; a NaN that counts shows, as a control."""
    padded, unscored = np.arange(T) >= batch.length[:, None], batch.weights == 0
    dirty = batch._replace(
        xs=np.where(padded[..., None], np.nan, batch.xs),
        targets=np.where(unscored[..., None], np.nan, batch.targets),
    )
    estimate = quick(partial(truncated(2, 5), CELLS["learned"], loss))
    for got, want in zip(*(jax.tree.leaves(estimate(params["learned"], b)) for b in (dirty, batch)), strict=True):
        assert np.isfinite(got).all()
        np.testing.assert_array_equal(got, want)
    counts = batch._replace(targets=np.where(unscored[..., None], batch.targets, np.nan))
    assert np.isnan(estimate(params["learned"], counts).loss)


def test_seeds(batch):
    net, estimator = CELLS["learned"], truncated(2, 3, together=2)
    seeds = jax.vmap(net.init)(jax.random.split(jax.random.key(2), 2))
    run = partial(estimator, net, loss)
    got = quick(jax.vmap(run, (0, None)))(seeds, batch)
    one = quick(run)
    for k in range(2):
        want = one(jax.tree.map(lambda a, k=k: a[k], seeds), batch)
        close(jax.tree.map(lambda a, k=k: a[k], got), want)


def test_no_steps(params):
    empty = Example(np.zeros((B, 0, D)), np.zeros((B, 0, O)), np.zeros((B, 0)))
    got, want = (estimator(CELLS["learned"], loss, params["learned"], empty) for estimator in (truncated(2, 3), BPTT()))
    close(got, want)


# ------------------------------------------------------------------------------------------------- the value


@pytest.mark.parametrize(
    "wrong, says",
    [
        ((0, 3), "k1 got 0; write a whole number of at least 1"),
        ((2.0, 3), "k1 got 2.0; write a whole number of at least 1"),
        ((1, True), "k2 got True; write a whole number of at least 1"),
        ((1, 1, None, 0), "together got 0; write a whole number of at least 1"),
        ((3, 2), "k2 got 2 with k1=3, so that no step would learn from some losses; write a k2 of at least 3"),
    ],
)
def test_refused(wrong, says):
    with pytest.raises(ValueError) as error:
        truncated(*wrong)
    assert f"Truncated.{says}" in str(error.value) and "\n" not in str(error.value)


def test_it_is_a_plain_value():
    assert ESTIMATORS["truncated"](2, 5) == truncated(2, 5) == Truncated(k1=2, k2=5) != truncated(2, 6)
    assert hash(truncated(2, 5)) == hash(Truncated(2, 5))
