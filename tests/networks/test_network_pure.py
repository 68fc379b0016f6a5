"""A network as pure functions, and each of its layers alone with its own part of the backward pass."""

from functools import partial

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from flax import nnx

from rnnx.cells import GRU, LSTM, Elman
from rnnx.gradients import BPTT
from rnnx.networks import Classifier, Forecaster, LanguageModel, Pure, Tagger, Watch, alone, stacked
from rnnx.networks.alone import dot, layers_alone, recurrent_layers
from rnnx.types import Example, step_loss

B, T, D, O = 3, 6, 2, 3  # noqa: E741
DRAWS = np.random.default_rng(0)
XS = DRAWS.normal(size=(B, T, D))


def tagger(rngs, cell=GRU, **how):
    how = {"layers": 2, "bidirectional": True, "residual": True, "rngs": rngs, **how}
    return Tagger(stacked(cell, D, 4, **how), O, rngs=rngs)


def test_seeds_jit_and_grad():
    """K seeds by `vmap` are K modules built one by one; the gradient has the structure of the parameters."""
    pure, keys = Pure(tagger), jax.random.split(jax.random.key(0), 3)
    params = jax.vmap(pure.init)(keys)
    ys = jax.jit(jax.vmap(lambda p: pure.apply(p, XS[0])[1]))(params)
    for k in range(3):
        np.testing.assert_allclose(ys[k], tagger(nnx.Rngs(params=keys[k]))(XS[0])[1], rtol=1e-12)
    assert not np.allclose(ys[0], ys[1])
    one = pure.init(keys[0])
    gradient = jax.grad(lambda p: jnp.sum(pure.apply(p, XS[0])[1]))(one)
    assert jax.tree.structure(gradient) == jax.tree.structure(one) == jax.tree.structure(pure.shapes)
    assert jax.tree.map(lambda a: (a.shape, a.dtype), one) == jax.tree.map(lambda a: (a.shape, a.dtype), pure.shapes)


def test_building_computes_nothing():
    """Until `init` asks: not even the key of the parameters is real."""
    met = []

    def build(rngs):
        met.append(rngs.params())
        return tagger(rngs)

    pure = Pure(build)
    assert len(met) == 1 and isinstance(met[0], jax.core.Tracer)
    pure.init(jax.random.key(0))
    assert len(met) == 2 and not isinstance(met[1], jax.core.Tracer)


def test_variables_that_are_no_parameters_are_refused():
    class Normed(nnx.Module):
        def __init__(self, rngs):
            self.body, self.after = tagger(rngs), nnx.BatchNorm(O, rngs=rngs)

    with pytest.raises(ValueError) as error:
        Pure(Normed)
    assert "after.mean, after.var" in str(error.value) and "\n" not in str(error.value)


def test_one_answer_stands_at_every_step():
    pure = Pure(lambda rngs: Classifier(stacked(GRU, D, 4, rngs=rngs), O, rngs=rngs))
    params, example = pure.init(jax.random.key(0)), Example(XS[0], np.zeros(T), np.ones(T), np.array(4))
    state, ys = pure.outputs(params, example)
    own, y = pure.apply(params, XS[0], length=4)
    np.testing.assert_array_equal(ys, np.repeat(y[None], T, axis=0))
    jax.tree.map(np.testing.assert_array_equal, state, own)


# -------------------------------------------------------------------------------------------- layers alone


def loss(y, target):
    return jnp.sum(jnp.square(y - target))


LENGTH = np.array([6, 1, 4])
TARGETS, WEIGHTS = DRAWS.normal(size=(B, T, O)), DRAWS.random((B, T)) * (DRAWS.random((B, T)) < 0.8)
PADDED = np.arange(T) >= LENGTH[:, None]
BATCH = Example(np.where(PADDED[..., None], np.nan, XS), np.where(PADDED[..., None], np.nan, TARGETS), WEIGHTS, LENGTH)
WHOLE = Example(XS, TARGETS, WEIGHTS)


def network_gradient(pure, params, batch, states=None):
    """Of the sum over the batch, by jax alone."""

    def total(params):
        def one(example, state):
            ys = pure.outputs(params, example, state)[1]
            return jnp.sum(jax.vmap(partial(step_loss, loss))(ys, example.targets, example.scored()))

        return jnp.sum(jax.vmap(one)(batch, states))

    return jax.grad(total)(params)


def blocks(pure, params, batch, states=None):
    """{layer: (its block of the network's gradient, the gradient of the layer alone)}, of the sum over the batch."""
    whole = recurrent_layers(pure, network_gradient(pure, params, batch, states))
    told = {}
    for path, layer in layers_alone(pure, params, batch, loss, states).items():
        _, gradients, _ = BPTT()(layer.cell, dot, layer.params, layer.batch, layer.states)
        told[path] = whole[path].params.get_value(), jax.tree.map(lambda g: B * g, gradients)
    return told


def difference(pair):
    return max(jax.tree.leaves(jax.tree.map(lambda a, b: np.abs(a - b).max(), *pair)))


BUILDS = {
    "tagger": tagger,
    "normed": partial(tagger, cell=LSTM, norm=True, layers=3),
    "forward": partial(tagger, cell=Elman, bidirectional=False),
    "classifier": lambda rngs: Classifier(
        stacked(GRU, D, 4, 2, bidirectional=True, residual=True, rngs=rngs), O, pool="max", rngs=rngs
    ),
}


@pytest.mark.parametrize("name", BUILDS)
def test_a_layers_gradient_alone_is_its_block(name):
    """With lengths 6, 1 and 4 and NaN in the padding, and without lengths: every layer, to 1e-10."""
    pure = Pure(BUILDS[name])
    params = pure.init(jax.random.key(0))
    of = jax.jit(partial(blocks, pure))
    for batch in (BATCH, WHOLE):
        told = of(params, batch)
        assert list(told) == list(recurrent_layers(pure, params)) and len(told) >= 2
        for path, pair in told.items():
            assert difference(pair) < 1e-10 < 1e-3 < difference((pair[0], jax.tree.map(jnp.zeros_like, pair[0]))), path


def test_from_the_states_that_were_carried():
    """Each layer starts where it did in the network; afresh it has another gradient."""
    pure = Pure(tagger)
    params = pure.init(jax.random.key(0))
    states = jax.vmap(lambda xs: pure.apply(params, xs)[0])(XS[::-1])
    whole = jax.jit(partial(blocks, pure))(params, BATCH, states)
    afresh = jax.jit(partial(blocks, pure))(params, BATCH)
    for path, pair in whole.items():
        assert difference(pair) < 1e-10 < 1e-3 < difference((pair[0], afresh[path][0])), path


def test_a_layer_in_the_wrong_order_is_caught(monkeypatch):
    """The control: backward layers as they stand in the sequence, or turned with their padding; forward ones agree."""
    pure = Pure(tagger)
    params = pure.init(jax.random.key(0))

    def with_padding(example):
        turned = jax.tree.map(lambda a: a[::-1], (example.xs, example.targets))
        return example._replace(xs=turned[0], targets=turned[1])

    for wrong in (lambda example: example, with_padding):
        monkeypatch.setattr(alone, "_turned", wrong)
        for path, pair in jax.jit(partial(blocks, pure))(params, BATCH._replace(xs=XS)).items():
            off = difference(pair)
            assert off > 1e-3 if path.endswith("backward") else off < 1e-10, path


def test_what_is_below_a_layer_does_not_hear_its_taps():
    """dL/dys of each layer is the gradient of its tap; of the top one it is the loss through the head alone."""
    pure = Pure(partial(tagger, bidirectional=False))
    params = pure.init(jax.random.key(0))
    got = layers_alone(pure, params, WHOLE, loss)
    head = params["head"]["kernel"].get_value()
    _, ys = jax.vmap(lambda xs: pure.apply(params, xs))(XS)
    want = np.einsum("bto,no->btn", 2 * WEIGHTS[..., None] * (ys - TARGETS), head)
    np.testing.assert_allclose(got["body.layers.1"].batch.targets, want, rtol=1e-10)
    np.testing.assert_array_equal(got["body.layers.0"].batch.xs, XS)


NETWORKS = {
    "tagger": tagger,
    "classifier": BUILDS["classifier"],
    "language_model": lambda rngs: LanguageModel(stacked(GRU, 3, 4, 2, rngs=rngs), D, rngs=rngs),
    "forecaster": lambda rngs: Forecaster(stacked(GRU, D, 4, 2, rngs=rngs), (0.0, 1.0), (1.0, 2.0), rngs=rngs),
}


@pytest.mark.parametrize("name", NETWORKS)
def test_taps_of_zeros_change_nothing(name):
    """In every kind of network; others do."""
    pure = Pure(NETWORKS[name])
    params = pure.init(jax.random.key(0))
    plain, watch = pure.apply(params, XS[0], length=4), Watch()
    pure.apply(params, XS[0], length=4, watch=watch)
    for value in (0.0, 0.1):
        taps = tuple(jnp.full_like(seen.ys, value) for seen in watch.seen)
        got = pure.apply(params, XS[0], length=4, watch=Watch(taps))
        same = jax.tree.map(lambda a, b: np.array_equal(a, b), got[1], plain[1])
        assert same == (value == 0.0)
    assert len(taps) == (4 if name in ("tagger", "classifier") else 2)
