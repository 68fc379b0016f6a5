"""Layers on layers against the composition written out in NumPy, and dropout by its mean and its zeros."""

import itertools

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from flax import nnx

from rnnx.cells import GRU, LSTM, Elman
from rnnx.networks import Bidirectional, Pure, Recurrent, Stacked, stacked

T, N = 5, 4
XS = np.random.default_rng(0).normal(size=(T, N))


def elman(layer, xs):
    """h_t = tanh(W x_t + R h_{t-1} + b), in the direction of the layer."""
    w_x, w_h, b = (np.asarray(leaf) for leaf in layer.params.get_value())
    h, hs = np.zeros(w_h.shape[0]), np.zeros((len(xs), w_h.shape[0]))
    for t in range(len(xs))[:: -1 if layer.reverse else 1]:
        h = np.tanh(xs[t] @ w_x[:, 0] + h @ w_h[:, 0] + b[0])
        hs[t] = h
    return hs


def normed(norm, xs):
    centred = xs - xs.mean(axis=1, keepdims=True)
    scaled = centred / np.sqrt((centred**2).mean(axis=1, keepdims=True) + 1e-6)
    return scaled * np.asarray(norm.scale.get_value()) + np.asarray(norm.bias.get_value())


def by_hand(net, xs, residual, norm):
    read = xs
    for i, layer in enumerate(net.layers):
        parts = (layer.forward, layer.backward) if isinstance(layer, Bidirectional) else (layer,)
        out = np.concatenate([elman(part, read) for part in parts], axis=1)
        xs = xs + out if residual and out.shape == xs.shape else out
        read = normed(net.norms[i], xs) if norm else xs
    return read


def shaken(net):
    """Norms and biases start from values at which an error would not show."""
    draws = np.random.default_rng(1)
    for norm in net.norms:
        norm.scale.set_value(jnp.asarray(draws.normal(size=norm.scale.shape)))
        norm.bias.set_value(jnp.asarray(draws.normal(size=norm.bias.shape)))
    return net


def deep(residual=False, norm=False, two=False, **how):
    def make(inputs, units):
        return Elman(inputs, units, bias_init="normal:0.5")

    return shaken(
        stacked(make, N, N, layers=3, bidirectional=two, residual=residual, norm=norm, rngs=nnx.Rngs(0), **how)
    )


@pytest.mark.parametrize("two", [False, True], ids=["one", "two"])
def test_it_is_the_composition(two):
    """All four of residual and norm; each is told apart from the other three."""
    for residual, norm in itertools.product((False, True), repeat=2):
        net = deep(residual, norm, two)
        got = jax.jit(lambda xs, net=net: net(xs)[1])(XS)
        for other in itertools.product((False, True), repeat=2):
            if norm >= other[1]:
                close = np.allclose(got, by_hand(net, XS, *other), rtol=1e-10)
                assert close == (other == (residual, norm)), (residual, norm, other)


def test_widths():
    """The upper layers read what the lower ones say, both directions of it; the state is a tuple of theirs."""
    one, two = (stacked(LSTM, 3, N, layers=3, bidirectional=b, rngs=nnx.Rngs(0)) for b in (False, True))
    assert [layer.inputs for layer in one.layers] == [3, N, N] and (one.inputs, one.outputs) == (3, N)
    assert [layer.inputs for layer in two.layers] == [3, 2 * N, 2 * N] and (two.inputs, two.outputs) == (3, 2 * N)
    assert one.directions == ((N, False),) and two.directions == ((N, False), (N, True))
    state, _ = one(np.ones((2, 3)))
    assert len(state) == 3 and [leaf.shape for leaf in jax.tree.leaves(state)] == [(N,)] * 6


def test_causal_says_what_the_outputs_show():
    """Also where the layer that runs backwards is hidden in the middle, or in a stack within the stack."""

    def layer(reverse):
        return Recurrent(GRU(N, N), reverse=reverse, rngs=nnx.Rngs(0))

    hidden = Stacked([layer(True), layer(False)], rngs=nnx.Rngs(0))
    nets = {
        "forward": Stacked([layer(False), layer(False)], rngs=nnx.Rngs(0)),
        "middle": Stacked([layer(False), layer(True), layer(False)], rngs=nnx.Rngs(0)),
        "within": Stacked([hidden, layer(False)], rngs=nnx.Rngs(0)),
        "two": Stacked([Bidirectional(GRU(N, N), GRU(N, N), rngs=nnx.Rngs(0))], rngs=nnx.Rngs(0)),
    }
    later = XS.copy()
    later[-1] += 1
    for name, net in nets.items():
        ahead = np.abs(np.asarray(net(XS)[1] - net(later)[1])[:-1]).max()
        assert net.causal == (ahead == 0) == (name == "forward"), name


def test_lengths_and_padding():
    """A shorter sequence is a prefix alone, NaN behind it reaching nothing, the gradients of norms included."""
    pure = Pure(lambda rngs: stacked(GRU, N, N, 2, bidirectional=True, residual=True, norm=True, rngs=rngs))
    params, length = pure.init(jax.random.key(0)), 3
    dirty = XS.copy()
    dirty[length:] = np.nan

    @jax.jit
    def told(params, xs, length):
        def loss(params):
            state, ys = pure.apply(params, xs, length=length)
            valid = (jnp.arange(len(xs)) < length)[:, None]
            return jnp.sum(jnp.where(valid, jnp.square(ys), jnp.zeros_like(ys))), (state, ys)

        return jax.grad(loss, has_aux=True)(params)

    got, (state, ys) = told(params, dirty, length)
    want, (alone, short) = told(params, XS[:length], length)
    jax.tree.map(lambda a, b: np.testing.assert_allclose(a, b, rtol=1e-10), (got, state), (want, alone))
    np.testing.assert_allclose(ys[:length], short, rtol=1e-12)
    assert all(np.isnan(leaf).any() for leaf in jax.tree.leaves(told(params, dirty, length + 1)[0]))


def test_states_are_carried():
    """Two halves are the whole; without the state they are not."""
    net = deep(residual=True, norm=True)
    run = jax.jit(lambda xs, state: net(xs, state))
    zero = jax.tree.map(jnp.zeros_like, net(XS)[0])
    state, early = run(XS[:3], zero)
    whole = np.asarray(net(XS)[1])
    np.testing.assert_allclose(np.concatenate([early, run(XS[3:], state)[1]]), whole, rtol=1e-12)
    assert not np.allclose(run(XS[3:], zero)[1], whole[3:])


def test_dropout_is_off_without_a_key():
    with_rates, without = deep(residual=True, dropout=0.5, input_dropout=0.5), deep(residual=True)
    np.testing.assert_array_equal(with_rates(XS)[1], without(XS)[1])
    np.testing.assert_array_equal(without(XS, key=jax.random.key(0))[1], without(XS)[1])
    assert not np.allclose(with_rates(XS, key=jax.random.key(0))[1], without(XS)[1])


def test_dropout_keeps_the_mean():
    """Of one layer's outputs a quarter are 0 and the others 4/3 as large, anew at each step and key."""
    rate, draws = 0.25, 4000
    net, plain = deep(dropout=rate), np.asarray(deep()(XS)[1])
    top = Stacked([net.layers[0]], dropout=rate, rngs=nnx.Rngs(0))
    plain = np.asarray(top(XS)[1])
    got = np.asarray(jax.jit(jax.vmap(lambda key: top(XS, key=key)[1]))(jax.random.split(jax.random.key(0), draws)))
    kept = got != 0
    np.testing.assert_allclose(got[kept], np.broadcast_to(plain / (1 - rate), got.shape)[kept], rtol=1e-12)
    deviation = np.sqrt(rate * (1 - rate) / draws)
    assert np.all(np.abs(kept.mean(axis=0) - (1 - rate)) < 5 * deviation)
    pairs = np.mean(kept[:, 0] & kept[:, 1])  # independent from step to step: not one mask a sequence
    assert abs(pairs - (1 - rate) ** 2) < 0.02 < abs(pairs - (1 - rate))


def test_input_dropout_falls_on_the_input():
    """A network that reads nothing else then says the same as one whose inputs are masked by hand."""
    rate = 0.5
    net = Stacked([Recurrent(Elman(N, N, "identity"), rngs=nnx.Rngs(0))], input_dropout=rate, rngs=nnx.Rngs(0))
    many = jax.jit(jax.vmap(lambda key: net(XS, key=key)[1]))(jax.random.split(jax.random.key(1), 4000))
    plain, spread = np.asarray(net(XS)[1]), np.std(many, axis=0) / np.sqrt(4000)
    assert np.all(np.abs(np.mean(many, axis=0) - plain) < 5 * spread)  # the cell is linear
    w = np.asarray(net.layers[0].params.get_value().w_x[:, 0])
    first = {tuple(np.round(row, 9)) for row in np.asarray(many)[:, 0]}
    masks = itertools.product((0.0, 1 / (1 - rate)), repeat=N)
    assert first == {tuple(np.round((np.array(mask) * XS[0]) @ w, 9) + 0.0) for mask in masks}


@pytest.mark.parametrize(
    "make, says",
    [
        (lambda r: Stacked([], rngs=r), "no layers"),
        (lambda r: Stacked([Recurrent(GRU(2, 3), rngs=r), Recurrent(GRU(2, 3), rngs=r)], rngs=r), "give it inputs=3"),
        (lambda r: stacked(GRU, 2, 3, dropout=1.0, rngs=r), "dropout is 1.0"),
        (lambda r: stacked(GRU, 2, 3, input_dropout=-0.1, rngs=r), "input_dropout is -0.1"),
        (lambda r: stacked(GRU, 3, 1, norm=True, rngs=r), "norm of a layer of 1 output, which would always say 0"),
        (lambda r: stacked(GRU, 2, 3, layers=0, rngs=r), "layers is 0; write at least 1"),
    ],
)
def test_refused(make, says):
    with pytest.raises(ValueError) as error:
        make(nnx.Rngs(0))
    assert says in str(error.value) and "\n" not in str(error.value)
