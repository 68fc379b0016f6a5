"""Backpropagation through time as a tutorial writes it out, for a language model of characters."""

from functools import partial

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax.nn import log_softmax

import rnnx
from rnnx.cells import Elman, Readout, elman
from rnnx.cells.wrappers.readout import Params
from rnnx.gradients import BPTT
from rnnx.types import Example

V, N, T = 5, 6, 12  # letters of the alphabet, units, length of the text
MODEL = Readout(Elman(V, N), V)


def written_out(W_x, W_h, b, W_y, c, letters, targets):
    """(loss, gradients in the order of the weights), with softmax and tanh differentiated on paper."""
    h, steps, loss = np.zeros(N), [], 0.0
    for letter, target in zip(letters, targets, strict=True):
        before, x = h, np.eye(V)[letter]
        h = np.tanh(W_x @ x + W_h @ before + b)
        scores = W_y @ h + c
        p = np.exp(scores - scores.max())
        p /= p.sum()
        loss -= np.log(p[target])
        steps.append((x, before, h, p, target))

    dW_x, dW_h, db, dW_y, dc = (np.zeros_like(a) for a in (W_x, W_h, b, W_y, c))
    dh_next = np.zeros(N)
    for x, before, h, p, target in reversed(steps):
        dy = p - np.eye(V)[target]
        dW_y += np.outer(dy, h)
        dc += dy
        dh = W_y.T @ dy + dh_next
        da = (1 - h**2) * dh
        dW_x += np.outer(da, x)
        dW_h += np.outer(da, before)
        db += da
        dh_next = W_h.T @ da
    return loss, (dW_x, dW_h, db, dW_y, dc)


def in_rnnx(W_x, W_h, b, W_y, c):
    return Params(elman.Params(W_x.T[:, None], W_h.T[:, None], b[None]), W_y.T, c)


def cross_entropy(scores, target):
    return -log_softmax(scores)[target]


@pytest.fixture(scope="module")
def text():
    draws = np.random.default_rng(0)
    shapes = [(N, V), (N, N), (N,), (V, N), (V,)]
    weights = [draws.normal(size=shape) * size for shape, size in zip(shapes, (0.5, 0.4, 0.3, 2.0, 1.0), strict=True)]
    letters, targets = draws.integers(V, size=(2, T))
    return weights, letters, targets


def same(got, want):
    jax.tree.map(lambda a, b: np.testing.assert_allclose(a, b, rtol=1e-12, atol=1e-12), got, want)


def clipped(gradients):
    return jax.tree.map(lambda g: np.clip(g, -5, 5), gradients)


def test_gradient_of_the_scan(text):
    weights, letters, targets = text
    loss, gradients = written_out(*weights, letters, targets)

    def total(params):
        _, ys = rnnx.scan(MODEL, params, jax.nn.one_hot(letters, V))
        return jnp.sum(jax.vmap(cross_entropy)(ys, targets))

    got_loss, got = jax.jit(jax.value_and_grad(total))(in_rnnx(*weights))
    np.testing.assert_allclose(got_loss, loss, rtol=1e-12)
    same(got, in_rnnx(*gradients))
    same(clipped(got), in_rnnx(*clipped(gradients)))


def test_the_estimator(text):
    weights, letters, targets = text
    loss, gradients = written_out(*weights, letters, targets)
    batch = Example(jax.nn.one_hot(letters, V)[None], targets[None], np.ones((1, T)))
    got = jax.jit(partial(BPTT(), MODEL, cross_entropy))(in_rnnx(*weights), batch)
    np.testing.assert_allclose(got.loss, loss, rtol=1e-12)
    same(clipped(got.gradients), in_rnnx(*clipped(gradients)))


def test_clipping_changes_these_gradients(text):
    """Control: without it, the comparisons of clipped gradients would say nothing."""
    weights, letters, targets = text
    _, gradients = written_out(*weights, letters, targets)
    assert any(np.any(np.abs(g) > 5) for g in gradients) and any(np.any(np.abs(g) < 5) for g in gradients)
    with pytest.raises(AssertionError):
        same(clipped(gradients), gradients)


@pytest.mark.parametrize("xs, hs", [([2, -1, 3], [2, 0, 3]), ([-1, 2, 3], [-1, 1.5, 3.75])])
def test_leaky_sum_by_hand(xs, hs):
    """h_t = h_{t-1} / 2 + x_t: order matters."""
    params = elman.Params(jnp.ones((1, 1, 1)), jnp.full((1, 1, 1), 0.5), jnp.zeros((1, 1)))
    final, ys = rnnx.scan(Elman(1, 1, "identity"), params, jnp.array(xs, float)[:, None])
    assert ys[:, 0].tolist() == hs and final.tolist() == hs[-1:]
