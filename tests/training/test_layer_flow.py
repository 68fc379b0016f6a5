"""The flow of each layer: that of the same cell with its readout, and of two layers by `jax.grad`."""

from functools import partial

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from rnnx.cells import GRU, Elman, Readout
from rnnx.cells.wrappers import readout
from rnnx.diagnostics import flow
from rnnx.networks import Pure, Tagger, stacked
from rnnx.training import OfCell, OfNetwork, layer_flow
from rnnx.types import Example, step_loss

B, T, D, N, O = 3, 6, 2, 3, 2  # noqa: E741
DRAWS = np.random.default_rng(0)
BATCH = Example(DRAWS.normal(size=(B, T, D)), DRAWS.normal(size=(B, T, O)), DRAWS.random((B, T)), np.array([6, 2, 4]))


def loss(y, target):
    return jnp.sum(jnp.square(y - target))


def close(got, want, rtol=1e-9):
    jax.tree.map(lambda a, b: np.testing.assert_allclose(a, b, rtol=rtol, atol=1e-9), got, want)


def network(**how):
    return Pure(lambda rngs: Tagger(stacked(GRU, D, N, rngs=rngs, **how), O, rngs=rngs))


@pytest.mark.parametrize("length", [BATCH.length, None], ids=["lengths", "whole"])
def test_one_layer_is_a_cell_with_a_readout(length):
    """States, inputs and the cell's parameters, by lag; from other states or of another loss, another flow."""
    pure, batch = network(), BATCH._replace(length=length)
    params = pure.init(jax.random.key(0))
    own = pure.merge(params).body.layers[0].params.get_value()
    head = params["head"]
    joined = readout.Params(own, head["kernel"].get_value(), head["bias"].get_value())
    want = flow(Readout(GRU(D, N), O), joined, batch, loss)
    found = layer_flow(OfNetwork(pure, loss), params, batch)
    assert list(found) == ["body.layers.0"]
    got = found["body.layers.0"]
    close((got.state, got.inputs, got.leaves, got.params), (want.state, want.inputs, want.leaves, want.params.cell))
    cell = layer_flow(OfCell(Readout(GRU(D, N), O), loss), joined, batch)
    close(cell["cell"], want)
    states = np.ones((B, N))
    got = layer_flow(OfNetwork(pure, loss), params, batch, (states,))["body.layers.0"].state
    close(got, flow(Readout(GRU(D, N), O), joined, batch, loss, states).state)
    assert np.nanmax(np.abs(got.mean - want.state.mean)) > 1e-2
    other = layer_flow(OfNetwork(pure, lambda y, t: jnp.sum(jnp.abs(y - t))), params, batch)["body.layers.0"]
    assert np.nanmax(np.abs(other.state.mean - want.state.mean)) > 1e-2


def written_out(params, example, perturbations, length):
    """The loss of two bidirectional Elman layers, residual from the second on, with a number added to every state."""
    module = NET.merge(params)

    def through(layer, xs, added):
        w_x, w_h, b = layer.params.get_value()
        h, hs = jnp.zeros(N), [None] * length
        for t in range(length)[:: -1 if layer.reverse else 1]:
            h = jnp.tanh(xs[t] @ w_x[:, 0] + h @ w_h[:, 0] + b[0]) + added[t]
            hs[t] = h
        return jnp.stack(hs)

    ys = example.xs[:length]
    for i, both in enumerate(module.body.layers):
        parts = [through(layer, ys, perturbations[i][j]) for j, layer in enumerate((both.forward, both.backward))]
        out = jnp.concatenate(parts, axis=1)
        ys = out if i == 0 else ys + out
    told = module.head(ys)
    return jnp.sum(
        jax.vmap(partial(step_loss, loss))(told, example.targets[:length], jnp.asarray(example.weights[:length]))
    )


NET = Pure(lambda rngs: Tagger(stacked(Elman, D, N, 2, bidirectional=True, residual=True, rngs=rngs), O, rngs=rngs))


def test_two_layers_in_both_directions():
    """The norm of dL/dh_t of every layer and lag; the gradient of all that is added to h_t, by jax alone.

    But for the path through the other layers: dL/dh_t within a layer is what its own output and its own later steps
    send back, which is all there is, as nothing above h_t goes round it.
    """
    params = NET.init(jax.random.key(0))
    found = layer_flow(OfNetwork(NET, loss), params, BATCH)
    zeros = [[np.zeros((T, N))] * 2] * 2
    gradient = jax.jit(jax.grad(written_out, argnums=2), static_argnums=3)
    names = [[f"body.layers.{i}.{way}" for way in ("forward", "backward")] for i in (0, 1)]
    assert sorted(found) == sorted(sum(names, []))
    norms = {name: np.full((B, T), np.nan) for name in found}
    for b in range(B):
        length = int(BATCH.length[b])
        got = gradient(params, jax.tree.map(lambda a, b=b: a[b], BATCH), zeros, length)
        for i in (0, 1):
            for j in (0, 1):
                size = np.linalg.norm(got[i][j][:length], axis=1)
                norms[names[i][j]][b, :length] = size[::-1] if j == 0 else size  # by lag, from where the layer ends
    for name, by_lag in norms.items():
        close(found[name].state.mean, np.log10(np.nanmean(by_lag, axis=0)))
    turned = np.log10(np.nanmean(norms[names[1][1]], axis=0))[::-1]
    assert np.abs(found[names[1][1]].state.mean - turned).max() > 1e-2


def test_seeds():
    """By `vmap`, and what is dropped while training is not dropped here."""
    pure = network(layers=2, dropout=0.5)
    model = OfNetwork(pure, loss)
    params = jax.vmap(pure.init)(jax.random.split(jax.random.key(0), 2))
    many = jax.vmap(lambda p: layer_flow(model, p, BATCH))(params)
    plain = OfNetwork(network(layers=2), loss)
    one = layer_flow(plain, jax.tree.map(lambda a: a[1], params), BATCH)
    close(jax.tree.map(lambda a: a[1], many), one)
