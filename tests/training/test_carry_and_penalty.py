"""What the learner adds to an update: states that go on, a penalty, and what is dropped while it trains."""

from functools import partial

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from rnnx.cells import GRU, Elman, Readout
from rnnx.gradients import norm_penalty
from rnnx.networks import LanguageModel, Pure, Tagger, stacked
from rnnx.scans import scan
from rnnx.tasks.task import cross_entropy
from rnnx.training import Learner, OfCell, OfNetwork, Rule
from rnnx.types import Example, step_loss

B, T, V, N = 3, 4, 5, 4
TEXT = np.random.default_rng(0).integers(V, size=(B, 3 * T + 1)).astype(np.int32)
KEY = jax.random.key(0)


def language(rngs, **how):
    return LanguageModel(stacked(GRU, N, N, 2, rngs=rngs, **how), V, rngs=rngs)


def window(first, steps):
    read = TEXT[:, first : first + steps + 1]
    return Example(read[:, :-1], read[:, 1:], np.full((B, steps), 1 / steps))


ONE = jax.tree.map(lambda a: a[0], window(0, T))
CARRY = Learner(OfNetwork(Pure(language), cross_entropy), Rule("sgd", 0.0), carry=B, example=ONE)
update = jax.jit(CARRY.update)


def close(got, want, rtol=1e-10):
    jax.tree.map(lambda a, b: np.testing.assert_allclose(a, b, rtol=rtol, atol=1e-14), got, want)


def test_batches_that_follow_are_one_long_sequence():
    """At a learning rate of 0: states and mean loss after three windows; without carrying they are not."""
    state, losses = CARRY.init(KEY), []
    start = state.states
    for i in range(3):
        state, metrics = update(state, window(i * T, T), jnp.asarray(i == 0))
        losses.append(metrics.loss)
    whole, told = update(CARRY.init(KEY), window(0, 3 * T), jnp.asarray(True))
    close((state.states, np.mean(losses)), (whole.states, told.loss))
    late, again = update(state._replace(states=start), window(2 * T, T), jnp.asarray(False))
    assert abs(again.loss - losses[2]) > 1e-4 and not np.allclose(
        *(jax.tree.leaves(s.states)[0] for s in (late, state))
    )


def test_where_a_text_begins_states_start_afresh():
    """Whatever was carried before, NaN included."""
    first = CARRY.init(KEY)
    spoilt = first._replace(states=jax.tree.map(lambda a: jnp.full_like(a, jnp.nan), first.states))
    got, want = (update(state, window(0, T), jnp.asarray(True)) for state in (spoilt, first))
    close((got[0].states, got[1].loss), (want[0].states, want[1].loss))
    assert np.isnan(update(spoilt, window(0, T), jnp.asarray(False))[1].loss)
    assert all(leaf.shape == (B, N) for leaf in jax.tree.leaves(first.states))


def test_no_gradient_flows_through_what_is_carried():
    """The second window's gradient is that of its own loss, its first states being constants."""
    learn = Learner(CARRY.model, Rule("sgd", 1.0), carry=B, example=ONE)
    state, _ = update(CARRY.init(KEY), window(0, T), jnp.asarray(True))
    after, _ = jax.jit(learn.update)(state, window(T, T), jnp.asarray(False))

    def by_hand(params, states):
        def one(example, state):
            ys = learn.model.network.apply(params, example.xs, state)[1]
            return jnp.mean(jax.vmap(cross_entropy)(ys, example.targets))

        return jnp.mean(jax.vmap(one)(window(T, T), states))

    gradient = jax.jit(jax.grad(by_hand))
    want = gradient(state.params, state.states)
    close(after.params, jax.tree.map(jnp.subtract, state.params, want))
    other = gradient(state.params, jax.tree.map(jnp.zeros_like, state.states))
    assert np.abs(jax.tree.leaves(other)[0] - jax.tree.leaves(want)[0]).max() > 1e-6


# ------------------------------------------------------------------------------------------------ penalty


def loss(y, target):
    return jnp.sum(jnp.square(y - target))


DRAWS = np.random.default_rng(1)
BATCH = Example(DRAWS.normal(size=(B, T, 2)), DRAWS.normal(size=(B, T, 1)), np.ones((B, T)), np.array([4, 2, 3]))


@pytest.mark.parametrize("squared", [True, False])
def test_a_penalty_adds_its_gradient(squared):
    """Of a cell: one step of sgd at rate 1 goes down the loss and 0.7 Omega."""
    cell = Readout(Elman(2, N), 1)
    learn, plain = (Learner(OfCell(cell, loss), Rule("sgd", 1.0), penalty=much, squared=squared) for much in (0.7, 0.0))
    state = learn.init(KEY)
    omega, more = jax.jit(jax.value_and_grad(lambda p: norm_penalty(cell, p, BATCH, loss, squared=squared)))(
        state.params
    )
    (got, metrics), (without, bare) = jax.jit(learn.update)(state, BATCH), jax.jit(plain.update)(state, BATCH)
    close(got.params, jax.tree.map(lambda p, m: p - 0.7 * m, without.params, more))
    close((metrics.penalty, metrics.loss), (omega, bare.loss))
    assert bare.penalty == 0 and omega > 1e-3 and np.abs(more.cell.w_h).max() > 1e-3


def test_the_penalty_starts_where_the_batch_does():
    """With carried states it is Omega from those; afresh it is another number."""
    cell = Readout(Elman(2, N), 1)
    example = jax.tree.map(lambda a: a[0], BATCH)
    learn = Learner(OfCell(cell, loss), Rule("sgd", 0.0), penalty=0.5, carry=B, example=example)
    run = jax.jit(learn.update)
    state, first = run(learn.init(KEY), BATCH, jnp.asarray(True))
    _, second = run(state, BATCH, jnp.asarray(False))
    want = norm_penalty(cell, state.params, BATCH, loss, state.states)
    np.testing.assert_allclose(second.penalty, want, rtol=1e-10)
    np.testing.assert_allclose(first.penalty, norm_penalty(cell, state.params, BATCH, loss), rtol=1e-10)
    assert abs(first.penalty - second.penalty) > 1e-4


def deltas_by_hand(params, network):
    """{layer: (xs, dL/dys)} of a tagger of two forward layers without anything between, by jax alone."""
    module = network.merge(params)
    layers = module.body.layers

    def top(example, tap_low, tap_high):
        low = scan(layers[0].cell, layers[0].params.get_value(), example.xs, length=example.length)[1] + tap_low
        high = scan(layers[1].cell, layers[1].params.get_value(), low, length=example.length)[1] + tap_high
        return jnp.sum(jax.vmap(partial(step_loss, loss))(module.head(high), example.targets, example.scored())), low

    zeros = jnp.zeros((T, N))
    (low, high), read = jax.vmap(jax.grad(top, (1, 2), has_aux=True), (0, None, None))(BATCH, zeros, zeros)
    return (BATCH.xs, low), (read, high)


def test_the_penalty_of_a_network_is_that_of_its_layers():
    """Omega of each layer, with the gradient it gets in the network; its derivative moves recurrent layers alone."""
    network = Pure(lambda rngs: Tagger(stacked(Elman, 2, N, 2, rngs=rngs), 1, rngs=rngs))
    model, params = OfNetwork(network, loss), network.init(KEY)
    got, gradient = jax.jit(jax.value_and_grad(partial(model.penalty, batch=BATCH, states=None, squared=True)))(params)
    given = jax.jit(partial(deltas_by_hand, network=network))(params)
    layers = network.merge(params).body.layers

    def omega(own, i):
        batch = Example(*given[i], np.ones((B, T)), BATCH.length)
        return norm_penalty(layers[i].cell, own, batch, lambda y, g: jnp.sum(y * g))

    want = [jax.value_and_grad(omega)(layers[i].params.get_value(), i) for i in (0, 1)]
    np.testing.assert_allclose(got, want[0][0] + want[1][0], rtol=1e-10)
    for i in (0, 1):
        close(gradient["body"]["layers"][i]["params"].get_value(), want[i][1])
        assert np.abs(want[i][1].w_h).max() > 1e-3
    assert not any(np.any(leaf) for leaf in jax.tree.leaves(gradient["head"]))


# ------------------------------------------------------------------------------------------------ dropout


def test_what_is_dropped_depends_on_the_key_and_the_step():
    """With a rate, losses of the same batch differ from step to step; without one they are those of evaluation."""
    for rate in (0.0, 0.5):
        network = Pure(lambda rngs, rate=rate: Tagger(stacked(GRU, 2, N, dropout=rate, rngs=rngs), 1, rngs=rngs))
        learn = Learner(OfNetwork(network, loss), Rule("sgd", 0.0))
        run, state = jax.jit(learn.update), learn.init(KEY)
        still = learn.model.estimate(state.params, BATCH).loss
        losses = []
        for _ in range(3):
            state, metrics = run(state, BATCH)
            losses.append(float(metrics.loss))
        assert len({round(x, 12) for x in losses}) == (3 if rate else 1)
        assert np.allclose(losses, still, rtol=1e-12) == (rate == 0)
        again = run(learn.init(KEY), BATCH)[1].loss
        assert again == losses[0]


def test_examples_of_a_batch_drop_different_units():
    """The same example three times: three losses."""
    network = Pure(lambda rngs: Tagger(stacked(GRU, 2, N, dropout=0.5, rngs=rngs), 1, rngs=rngs))
    model, params = OfNetwork(network, loss), network.init(KEY)
    same = jax.tree.map(lambda a: np.repeat(a[:1], B, axis=0), BATCH)
    parts = [
        model.estimate(params, same._replace(weights=same.weights * (np.arange(B) == i)[:, None]), key=KEY).loss
        for i in range(B)
    ]
    assert len({round(float(part), 9) for part in parts}) == B
