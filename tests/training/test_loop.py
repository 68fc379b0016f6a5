"""S steps of K seeds in one call are S calls of one step and K runs of one seed; which state was best is remembered."""

from dataclasses import replace

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from plain_tasks import LENGTHS, Numbered, Tape

from rnnx.cells import GRU
from rnnx.networks import LanguageModel, Pure, Tagger, stacked
from rnnx.tasks.task import cross_entropy
from rnnx.training import Best, Clip, Epochs, Learner, OfNetwork, Rule, Streams, steps_of

SEEDS = (3, 0, 11)


def loss(y, target):
    return jnp.sum(jnp.square(y - target - 0.3))


def tagger():
    network = Pure(lambda rngs: Tagger(stacked(GRU, 1, 3, dropout=0.2, rngs=rngs), 1, rngs=rngs))
    task = Numbered()
    rule = Rule("adam", 0.01, schedule="linear", steps=20, noise=1e-4, options=(("eps", 1e-4),))
    return Learner(OfNetwork(network, loss), rule, Clip(1.0)), Epochs(task, LENGTHS, 8), LENGTHS


def streams():
    tape, task = np.arange(43) % 5, Tape()
    network = Pure(lambda rngs: LanguageModel(stacked(GRU, 3, 3, rngs=rngs), 5, rngs=rngs))
    example = jax.eval_shape(lambda: task.example(tape, 0))
    rule = Rule("sgd", 0.3)
    return Learner(OfNetwork(network, cross_entropy), rule, carry=2, example=example), Streams(task, tape, 2), tape


def starts(learner, seeds):
    """New ones each time: they are used up."""
    return jax.vmap(learner.init)(jnp.stack([jax.random.key(seed) for seed in seeds]))


def plain(tree):
    return jax.tree.map(lambda a: jax.random.key_data(a) if a.dtype == jax.random.key(0).dtype else a, tree)


def close(got, want):
    jax.tree.map(lambda a, b: np.testing.assert_allclose(a, b, rtol=1e-10, atol=1e-13), plain(got), plain(want))


@pytest.mark.parametrize("make", [tagger, streams], ids=["epochs", "streams"])
def test_steps_and_seeds(make):
    """Parameters, moments, keys, carried states and every metric, to 1e-10; across the end of an epoch."""
    learner, plan, data = make()
    run, first, count = steps_of(learner, plan), plan.per_epoch - 2, 4
    whole, metrics = run(starts(learner, SEEDS), data, SEEDS, first, count)
    states, told = starts(learner, SEEDS), []
    for step in range(first, first + count):
        states, one = run(states, data, SEEDS, step, 1)
        told.append(one)
    close(whole, states)
    close(metrics, jax.tree.map(lambda *a: np.concatenate(a), *told))
    for k, seed in enumerate(SEEDS):
        alone, one = run(starts(learner, (seed,)), data, (seed,), first, count)
        close(alone, jax.tree.map(lambda a, k=k: a[k : k + 1], whole))
        close(one, jax.tree.map(lambda a, k=k: a[:, k : k + 1], metrics))
    assert metrics.loss.shape == (count, 3) and whole.step.tolist() == [count] * 3
    ends = np.stack([np.asarray(leaf[:, ..., 0]).reshape(3, -1)[:, 0] for leaf in jax.tree.leaves(whole.params)])
    assert all(len(set(row)) == 3 for row in ends.tolist())


def test_by_hand():
    """As plain calls of `update` on what the plan draws; one batch later is another run."""
    learner, plan, data = tagger()
    learner = replace(learner, clip=Clip())
    update, got = jax.jit(learner.update), {}
    for off in (0, 1):
        state = learner.init(jax.random.key(5))
        for step in range(3):
            state, metrics = update(state, plan.fetch(data, plan.draw(5, step + off)))
        got[off] = state, metrics
    whole, metrics = steps_of(learner, plan)(starts(learner, (5,)), data, (5,), 0, 3)
    close(jax.tree.map(lambda a: a[0], whole), got[0][0])
    close(metrics.loss[2, 0], got[0][1].loss)
    assert abs(metrics.loss[2, 0] - got[1][1].loss) > 1e-6


def test_seeds_do_not_touch_each_other():
    """Parameters of NaN in one leave the others what they were, bit for bit."""
    learner, plan, data = tagger()
    run = steps_of(learner, plan)
    want, _ = run(starts(learner, SEEDS), data, SEEDS, 0, 3)
    spoilt = starts(learner, SEEDS)
    spoilt = spoilt._replace(params=jax.tree.map(lambda a: a.at[1].set(jnp.nan), spoilt.params))
    got, _ = run(spoilt, data, SEEDS, 0, 3)
    for a, b in zip(jax.tree.leaves(got.params), jax.tree.leaves(want.params), strict=True):
        np.testing.assert_array_equal(a[::2], b[::2])
        assert np.isnan(a[1]).all() and np.isfinite(b).all()


def test_a_rate_of_its_own_for_every_seed():
    """`rate` multiplies the rule's: 0 moves nothing, 2 is the double for sgd."""
    learner, plan, data = streams()
    run, begun = steps_of(learner, plan), starts(learner, (1, 1, 1))
    begun = begun._replace(rate=jnp.array([0.0, 1.0, 2.0]))
    before = jax.tree.map(np.array, begun.params)
    after, metrics = run(begun, data, (1, 1, 1), 0, 1)
    np.testing.assert_allclose(metrics.learning_rate[0], [0.0, 0.3, 0.6], rtol=1e-6)
    for a, b in zip(jax.tree.leaves(before), jax.tree.leaves(after.params), strict=True):
        moved = np.asarray(b - a)
        assert not np.any(moved[0]) and np.any(moved[1])
        np.testing.assert_allclose(moved[2], 2 * moved[1], rtol=1e-6, atol=1e-12)


def test_batches_of_other_widths_are_run_apart():
    """Told in one line; each width by itself gives what whole batches give."""
    learner, _, data = tagger()
    plan = Epochs(Numbered(), LENGTHS, 8, buckets=3)
    widths = [plan.width(step) for step in range(plan.per_epoch)]
    step = next(i for i in range(len(widths) - 1) if widths[i] != widths[i + 1])
    run = steps_of(learner, plan)
    with pytest.raises(ValueError, match=f"steps {step} to {step + 1} are of widths .*; run them apart"):
        run(starts(learner, SEEDS), data, SEEDS, step, 2)
    short = min(range(len(widths)), key=widths.__getitem__)
    quiet = replace(learner, model=OfNetwork(Pure(lambda r: Tagger(stacked(GRU, 1, 3, rngs=r), 1, rngs=r)), loss))
    got, _ = steps_of(quiet, plan)(starts(quiet, (4,)), data, (4,), short, 1)
    want, _ = jax.jit(quiet.update)(quiet.init(jax.random.key(4)), plan.fetch(data, plan.draw(4, short)))
    close(jax.tree.map(lambda a: a[0], got), want)
    assert widths[short] < 12


# --------------------------------------------------------------------------------------------------- best


def test_the_best_look_of_every_seed():
    """Value, step, looks since and parameters, seed by seed; equal is not better, and a NaN never is."""
    looks = [[3.0, np.nan, 1.0], [2.0, 5.0, 1.0], [np.nan, 6.0, 0.5], [4.0, 5.0, 0.7]]
    best = Best.none({"w": jnp.zeros((3, 2))})
    assert not best.exhausted(1)
    for i, values in enumerate(looks):
        best = best.look(np.array(values), 10 * (i + 1), {"w": jnp.full((3, 2), float(i + 1))})
    assert best.value.tolist() == [2.0, 5.0, 0.5] and best.step.tolist() == [20, 20, 30]
    assert best.since.tolist() == [2, 2, 1]
    assert best.params["w"].tolist() == [[2.0, 2.0], [2.0, 2.0], [3.0, 3.0]]
    assert best.exhausted(1) and not best.exhausted(2) and not best.exhausted(0)
    worse = best.look(np.full(3, np.nan), 50, {"w": jnp.full((3, 2), 9.0)})
    assert worse.params is best.params and worse.exhausted(2) and worse.value.tolist() == best.value.tolist()


def test_a_seed_that_never_has_a_number_keeps_where_it_began():
    best = Best.none({"w": jnp.arange(2.0)})
    best = best.look(np.array([np.nan, 1.0]), 10, {"w": jnp.full(2, 7.0)})
    assert best.params["w"].tolist() == [0.0, 7.0] and best.value.tolist() == [np.inf, 1.0]


def test_the_best_outlives_the_states_it_came_from():
    """States are used up by the next run; what was kept is not."""
    learner, plan, data = streams()
    run, states = steps_of(learner, plan), starts(learner, SEEDS)
    want = jax.tree.map(np.array, states.params)
    best = Best.none(states.params)
    states, _ = run(states, data, SEEDS, 0, 2)
    later = jax.tree.map(np.array, states.params)
    better = best.look(np.array([1.0, np.inf, 0.0]), 2, states.params)
    for i in range(3):
        states, _ = run(states, data, SEEDS, 2 + i, 1)
    jax.tree.map(np.testing.assert_array_equal, best.params, want)
    for kept, old, new in zip(*(jax.tree.leaves(t) for t in (better.params, want, later)), strict=True):
        np.testing.assert_array_equal(kept, np.stack([new[0], old[1], new[2]]))
