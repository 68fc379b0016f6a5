"""A layer is `rnnx.scan`, two are `rnnx.bidirectional`; padding reaches nothing; a key, and only a key, draws masks."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from flax import nnx

import rnnx
from rnnx.cells import GRU, LSTM, DropConnect, Dropout, Elman, Zoneout
from rnnx.networks import Bidirectional, Pure, Recurrent, Watch

T, D, N = 6, 2, 3
XS = np.random.default_rng(0).normal(size=(T, D))
RESETS = np.arange(T) == 2
CELLS = {"lstm": LSTM(D, N), "elman": Elman(D, N, bias_init="normal:0.5")}


def close(got, want, rtol=1e-12):
    jax.tree.map(lambda a, b: np.testing.assert_allclose(a, b, rtol=rtol, atol=1e-14), got, want)


def apart(got, want):
    return max(float(np.abs(a - b).max()) for a, b in zip(*map(jax.tree.leaves, (got, want)), strict=True))


@pytest.mark.parametrize("reverse", [False, True], ids=["forward", "reverse"])
@pytest.mark.parametrize("name", CELLS)
def test_a_layer_is_a_scan(name, reverse):
    """With and without resets, at every length, from any state; as a control the other direction differs."""
    layer = Recurrent(CELLS[name], reverse=reverse, rngs=nnx.Rngs(0))
    params, start = layer.params.get_value(), jax.tree.map(lambda a: a + 0.3, layer(XS[:0])[0])

    @jax.jit
    def both(xs, state, resets, length):
        how = {"resets": resets, "length": length}
        want = rnnx.scan(layer.cell, params, xs, state, reverse=reverse, **how)
        other = rnnx.scan(layer.cell, params, xs, state, reverse=not reverse, **how)
        return layer(xs, state, **how), want, other

    for resets in (RESETS, np.zeros(T, bool)):
        for length in (0, 1, 4, T):
            got, want, other = both(XS, start, resets, length)
            close(got, want)
            assert length < 2 or apart(got, other) > 1e-3
    close(layer(XS), rnnx.scan(layer.cell, params, XS, reverse=reverse))


def test_two_directions():
    """As `rnnx.bidirectional`, cells of different widths and kinds; states are pairs, and carried."""
    layer = Bidirectional(LSTM(D, N), GRU(D, 4), rngs=nnx.Rngs(1))
    assert (layer.inputs, layer.outputs, layer.directions) == (D, 7, ((N, False), (4, True)))
    assert not layer.causal and layer.forward.causal and not layer.backward.causal
    params = (layer.forward.params.get_value(), layer.backward.params.get_value())
    cells, how = (layer.forward.cell, layer.backward.cell), {"length": np.array(5), "resets": RESETS}
    first, ys = layer(XS, **how)
    close((first, ys), rnnx.bidirectional(cells, params, XS, **how))
    again = layer(XS, first, **how)
    close(again, rnnx.bidirectional(cells, params, XS, first, **how))
    assert apart(again[1], ys) > 1e-3
    swapped = (params[0], jax.tree.map(lambda a: -a, params[1]))
    assert apart(ys, rnnx.bidirectional(cells, swapped, XS, **how)[1]) > 1e-3


def test_unlike_directions_are_refused():
    with pytest.raises(ValueError, match="forward cell reads 2 inputs, the backward one 3"):
        Bidirectional(GRU(2, 4), GRU(3, 4), rngs=nnx.Rngs(0))


@pytest.mark.parametrize("two", [False, True], ids=["one", "two"])
def test_padding_reaches_nothing(two):
    """Bit for bit: neither outputs, nor states, nor gradients; the same NaN one step earlier reaches all of them."""

    def build(rngs):
        return Bidirectional(*CELLS.values(), rngs=rngs) if two else Recurrent(CELLS["lstm"], reverse=True, rngs=rngs)

    pure, length = Pure(build), 4
    params = pure.init(jax.random.key(0))

    @jax.jit
    def told(params, xs):
        def loss(params):
            state, ys = pure.apply(params, xs, length=length)
            return jnp.sum(jnp.square(ys)), (state, ys)

        return jax.grad(loss, has_aux=True)(params)

    padded, counts = XS.copy(), XS.copy()
    padded[length:], counts[length - 1 :] = np.nan, np.nan
    clean, dirty = told(params, XS), told(params, padded)
    jax.tree.map(np.testing.assert_array_equal, clean, dirty)
    assert np.all(clean[1][1][length:] == 0) and np.all(clean[1][1][:length] != 0)
    assert all(np.isnan(leaf).any() for leaf in jax.tree.leaves(told(params, counts)[0]))


RANDOM = {
    "zoneout": Zoneout(LSTM(D, N), (0.5, 0.5)),
    "dropout": Dropout(LSTM(D, N), 0.5, 0.5),
    "dropconnect": DropConnect(LSTM(D, N), 0.5),
}


@pytest.mark.parametrize("name", RANDOM)
def test_masks_come_with_a_key_only(name):
    """Without one two runs are alike and those of evaluation; with one they differ from key to key, and from that."""
    layer = Recurrent(RANDOM[name], rngs=nnx.Rngs(0))
    run = jax.jit(lambda xs, key: layer(xs, key=key)[1])
    still = layer(XS)[1]
    close(still, rnnx.scan(layer.cell, layer.params.get_value(), XS)[1])
    drawn = [run(XS, jax.random.key(seed)) for seed in (0, 1, 0)]
    np.testing.assert_array_equal(drawn[0], drawn[2])
    assert apart(drawn[0], drawn[1]) > 1e-3 and apart(drawn[0], still) > 1e-3


def test_a_key_means_nothing_to_a_cell_without_masks():
    layer = Recurrent(LSTM(D, N), rngs=nnx.Rngs(0))
    np.testing.assert_array_equal(layer(XS)[1], layer(XS, key=jax.random.key(0))[1])


def test_a_watch_notes_and_adds():
    """Each layer in the order of the network: what it read, what it said; zeros change nothing, others arrive."""
    layer = Bidirectional(*CELLS.values(), rngs=nnx.Rngs(0))
    plain = layer(XS)[1]
    watch = Watch()
    np.testing.assert_array_equal(layer(XS, watch=watch)[1], plain)
    assert [seen.layer for seen in watch.seen] == [layer.forward, layer.backward]
    for seen, part in zip(watch.seen, (plain[:, :N], plain[:, N:]), strict=True):
        np.testing.assert_array_equal(seen.xs, XS)
        np.testing.assert_array_equal(seen.ys, part)
    zeros = (jnp.zeros((T, N)), jnp.zeros((T, N)))
    np.testing.assert_array_equal(layer(XS, watch=Watch(zeros))[1], plain)
    close(layer(XS, watch=Watch((zeros[0], zeros[1] + 1)))[1], plain + np.repeat([[0.0, 1.0]], N, axis=1))
