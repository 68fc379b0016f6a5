"""Forecasts that continue what was seen, in the series' own units, and never look where they must not."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from flax import nnx

from rnnx.cells import GRU, LSTM
from rnnx.networks import Forecaster, Pure, stacked

T, D = 9, 2
XS = np.cumsum(np.random.default_rng(0).normal(size=(T, D)), axis=0)
MEAN, SCALE = (0.3, -2.0), (1.5, 0.7)


def forecaster(free=0, mean=MEAN, scale=SCALE, season=1):
    body = stacked(LSTM, Forecaster.reads(D, season), 4, 2, rngs=nnx.Rngs(0))
    return Forecaster(body, mean, scale, season=season, free=free, rngs=nnx.Rngs(1))


seasons = pytest.mark.parametrize("season", [1, 3])


@seasons
def test_it_is_the_equation(season):
    """y_t = a_t + scale (W body(z) + b), z normalised; a plain sum without the scale is something else."""
    net = forecaster(season=season)
    net.head.bias.set_value(jnp.array([0.2, -0.4]))
    anchors = XS[np.maximum(np.arange(T) + 1 - season, 0)]
    zs = (XS - MEAN) / SCALE
    zs = zs if season == 1 else np.concatenate([zs, (anchors - MEAN) / SCALE], axis=1)
    body, hs = net.body(zs)
    change = np.asarray(hs) @ np.asarray(net.head.kernel.get_value()) + [0.2, -0.4]
    state, ys = net(XS)
    np.testing.assert_allclose(ys, anchors + SCALE * change, rtol=1e-12)
    assert not np.allclose(ys, anchors + change)
    jax.tree.map(lambda a, b: np.testing.assert_allclose(a, b, rtol=1e-12), state.body, body)
    np.testing.assert_array_equal(state.past, XS[-season:])


def test_a_head_of_zeros_is_seasonal_naive():
    """The last season again and again, freely too."""
    net = forecaster(season=3)
    net.head.kernel.set_value(jnp.zeros((4, D)))
    np.testing.assert_array_equal(net.forecast(XS, 7)[1], XS[-3:][np.arange(7) % 3])


@pytest.mark.parametrize("free", [0, 4])
def test_a_head_of_zeros_says_what_was_last_seen(free):
    net = forecaster(free)
    net.head.kernel.set_value(jnp.zeros((4, D)))
    seen = np.minimum(np.arange(T), T - free - 1)
    np.testing.assert_array_equal(net(XS)[1], XS[seen])
    np.testing.assert_array_equal(net.forecast(XS, 3)[1], np.repeat(XS[-1:], 3, axis=0))


@pytest.mark.parametrize("free", [0, 4])
def test_units_do_not_matter(free):
    """A series in other units, with its statistics, has its forecasts in those units; without them, it has not."""
    factor, shift = np.array([10.0, 0.01]), np.array([-5.0, 3.0])
    other = forecaster(free, shift + factor * MEAN, factor * SCALE)
    want = shift + factor * np.asarray(forecaster(free)(XS)[1])
    np.testing.assert_allclose(other(shift + factor * XS)[1], want, rtol=1e-10)
    assert not np.allclose(forecaster(free)(shift + factor * XS)[1], want)


@seasons
@pytest.mark.parametrize("free", [1, 4, T - 1])
def test_freely_it_does_not_look(free, season):
    """Whatever stands in the last steps, NaN included, changes no bit; one step earlier it does."""
    run, plain = jax.jit(forecaster(free, season=season).__call__), forecaster(season=season)
    want = run(XS)
    for filler in (np.nan, 1e9):
        changed = XS.copy()
        changed[T - free :] = filler
        jax.tree.map(np.testing.assert_array_equal, run(changed), want)
    changed[T - free - 1] = 0
    assert not np.allclose(run(changed)[1][T - free - 1 :], want[1][T - free - 1 :])
    np.testing.assert_allclose(want[1][: T - free], plain(XS)[1][: T - free], rtol=1e-12)
    np.testing.assert_allclose(want[1][T - free - 1 :], plain.forecast(XS[: T - free], free + 1)[1], rtol=1e-12)


def test_nothing_leaks_into_the_gradient_either():
    """NaN in the steps it does not look at: the parameters' gradient stays what it was, bit for bit."""
    pure = Pure(lambda rngs: Forecaster(stacked(GRU, D, 3, rngs=rngs), MEAN, SCALE, free=3, rngs=rngs))
    params = pure.init(jax.random.key(0))
    gradient = jax.jit(jax.grad(lambda params, xs: jnp.sum(jnp.square(pure.apply(params, xs)[1]))))
    dirty = XS.copy()
    dirty[-3:] = np.nan
    jax.tree.map(np.testing.assert_array_equal, gradient(params, dirty), gradient(params, XS))
    dirty[-4:] = np.nan
    assert np.isnan(jax.tree.leaves(gradient(params, dirty))[0]).any()


@seasons
def test_a_forecast_is_fed_back_by_hand(season):
    """Each value from the whole series so far, nothing carried."""
    net, series = forecaster(season=season), XS
    for _ in range(4):
        series = np.concatenate([series, net(series)[1][-1:]])
    state, got = net.forecast(XS, 4)
    np.testing.assert_allclose(got, series[T:], rtol=1e-12)
    jax.tree.map(lambda a, b: np.testing.assert_allclose(a, b, rtol=1e-12), state, net(series[:-1])[0])
    assert np.ptp(got, axis=0).min() > 1e-3
    for steps in (0, 1):
        np.testing.assert_allclose(net.forecast(XS, steps)[1], got[:steps], rtol=1e-12)


@seasons
@pytest.mark.parametrize("padding", [0, 2])
def test_states_go_on(season, padding):
    """From a part of the series to the next, whatever padding the part ended in."""
    net = forecaster(season=season)
    early, _ = net(XS[: 5 + padding], length=5 if padding else None)
    np.testing.assert_allclose(net(XS[5:], early)[1], net(XS)[1][5:], rtol=1e-12)
    np.testing.assert_allclose(net.forecast(XS[5:], 2, early)[1], net.forecast(XS, 2)[1], rtol=1e-12)
    assert not np.allclose(net(XS[5:])[1], net(XS)[1][5:])


def test_padding_reaches_nothing():
    """A squared error of the valid steps, NaN behind them: gradients as without, bit for bit."""
    pure = Pure(lambda rngs: Forecaster(stacked(GRU, D, 3, rngs=rngs), MEAN, SCALE, rngs=rngs))
    params, length = pure.init(jax.random.key(0)), 6

    def loss(params, xs):
        ys = pure.apply(params, xs, length=length)[1]
        scored = (jnp.arange(T) < length - 1)[:, None]
        targets = jnp.where(scored, jnp.roll(xs, -1, axis=0), jnp.zeros_like(xs))  # as `step_loss` has them
        return jnp.sum(jnp.where(scored, jnp.square(ys - targets), jnp.zeros_like(ys)))

    gradient, dirty = jax.jit(jax.grad(loss)), XS.copy()
    dirty[length:] = np.nan
    jax.tree.map(np.testing.assert_array_equal, gradient(params, dirty), gradient(params, XS))
    dirty[length - 2] = np.nan
    assert np.isnan(jax.tree.leaves(gradient(params, dirty))[0]).any()


def test_refused():
    body = stacked(LSTM, D, 4, rngs=nnx.Rngs(0))
    both = stacked(LSTM, D, 4, bidirectional=True, rngs=nnx.Rngs(0))
    wrong = {
        "1 means, 2 scales and a body of 2 inputs": lambda: Forecaster(body, MEAN[:1], SCALE, rngs=nnx.Rngs(0)),
        "leave out columns that are constant": lambda: Forecaster(body, MEAN, (1.0, 0.0), rngs=nnx.Rngs(0)),
        "the body runs backwards too": lambda: Forecaster(both, MEAN, SCALE, rngs=nnx.Rngs(0)),
        "free running of sequences of several lengths": lambda: forecaster(2)(XS, length=5),
        "free is 9 for 9 steps": lambda: forecaster(T)(XS),
    }
    for says, make in wrong.items():
        with pytest.raises(ValueError) as error:
            make()
        assert says in str(error.value) and "\n" not in str(error.value)
