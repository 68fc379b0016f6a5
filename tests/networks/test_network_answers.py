"""Classifier and Tagger: pools against NumPy at every length, and what the heads add."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from flax import nnx

from rnnx.cells import GRU
from rnnx.networks import POOLS, Classifier, Pure, Recurrent, Tagger, stacked

T, D, N, O = 5, 2, 3, 4  # noqa: E741
XS = np.random.default_rng(0).normal(size=(T, D))


def pooled(pool, ys, length, widths):
    """The summary of the valid steps, from the definition; widths: (forward units, backward units)."""
    if length == 0:
        return np.zeros(ys.shape[1])
    valid = ys[:length]
    if pool == "last":
        return np.concatenate([valid[-1, : widths[0]], valid[0, widths[0] :]])
    return valid.mean(axis=0) if pool == "mean" else valid.max(axis=0)


@pytest.mark.parametrize("two", [False, True], ids=["one", "two"])
@pytest.mark.parametrize("pool", POOLS)
def test_pools(pool, two):
    """Every length, 0 and the whole included, NaN in the padding; the other pools are told apart."""
    body = stacked(GRU, D, N, 2, bidirectional=two, rngs=nnx.Rngs(0))
    net = Classifier(body, O, pool=pool, rngs=nnx.Rngs(1))
    kernel, bias = np.asarray(net.head.kernel.get_value()), np.arange(O) + 0.5
    net.head.bias.set_value(jnp.asarray(bias))
    run = jax.jit(lambda xs, length: (net(xs, length=length)[1], body(xs, length=length)[1]))
    widths = (N, N if two else 0)
    for length in range(T + 1):
        xs = np.where(np.arange(T)[:, None] < length, XS, np.nan)
        got, ys = run(xs, length)
        for other in POOLS:
            want = pooled(other, np.asarray(ys), length, widths) @ kernel + bias
            assert np.allclose(got, want, rtol=1e-12) == (other == pool or length < 2)
    np.testing.assert_allclose(net(XS)[1], run(XS, T)[0], rtol=1e-13)
    for beyond, same in ((T + 3, T), (-2, 0)):  # as `rnnx.scan` counts them
        np.testing.assert_array_equal(run(XS, beyond)[0], run(XS, same)[0])


@pytest.mark.parametrize("pool", POOLS)
def test_gradients_stay_numbers(pool):
    """At length 0 nothing but the bias learns, and there is no NaN; at length 1 the body does."""
    pure = Pure(lambda rngs: Classifier(stacked(GRU, D, N, bidirectional=True, rngs=rngs), O, pool=pool, rngs=rngs))
    params = pure.init(jax.random.key(0))
    gradient = jax.jit(jax.grad(lambda params, length: jnp.sum(pure.apply(params, XS, length=length)[1])))
    for length, moves in ((0, False), (1, True)):
        got = gradient(params, length)
        assert all(np.isfinite(leaf).all() for leaf in jax.tree.leaves(got))
        assert any(np.any(leaf != 0) for leaf in jax.tree.leaves(got["body"])) == moves
        np.testing.assert_array_equal(got["head"]["bias"].get_value(), np.ones(O))


@pytest.mark.parametrize("pool", POOLS)
def test_a_sequence_of_no_steps(pool):
    """Its arrays being empty, too."""
    net = Classifier(stacked(GRU, D, N, rngs=nnx.Rngs(0)), O, pool=pool, rngs=nnx.Rngs(1))
    np.testing.assert_array_equal(net(XS[:0])[1], net(XS, length=0)[1])


def test_an_unknown_pool_is_told_in_one_line():
    with pytest.raises(ValueError, match="Classifier.pool got 'man'; did you mean 'mean'?"):
        Classifier(Recurrent(GRU(D, N), rngs=nnx.Rngs(0)), O, pool="man", rngs=nnx.Rngs(0))


def test_a_tagger_is_a_linear_function_of_every_step():
    """With the bias it is told to start from, 0 by default."""
    body = stacked(GRU, D, N, bidirectional=True, rngs=nnx.Rngs(0))
    for start in (0.0, -3.5):
        net = Tagger(body, O, **({"bias": start} if start else {}), rngs=nnx.Rngs(1))
        state, ys = net(XS, length=np.array(4))
        own, hs = body(XS, length=np.array(4))
        np.testing.assert_allclose(ys, np.asarray(hs) @ np.asarray(net.head.kernel.get_value()) + start, rtol=1e-12)
        jax.tree.map(np.testing.assert_array_equal, state, own)
    assert np.abs(net.head.kernel.get_value()).min() > 0  # a kernel of zeros would show nothing
