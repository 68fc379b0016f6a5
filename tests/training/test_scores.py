"""Scores against NumPy, whatever the batches they are added over."""

from dataclasses import dataclass
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from rnnx.cells import GRU
from rnnx.networks import Classifier, LanguageModel, Pure, Tagger, stacked
from rnnx.tasks.task import cross_entropy, is_likeliest
from rnnx.training import OfNetwork, evaluate, scores
from rnnx.types import Example

B, T, D, O = 6, 5, 2, 3  # noqa: E741
DRAWS = np.random.default_rng(0)


@dataclass(frozen=True)
class Named:
    def loss(self, y: Any, target: Any) -> Any:
        return cross_entropy(y, target)

    def correct(self, y: Any, target: Any) -> Any:
        return is_likeliest(y, target)


TASK = Named()
LENGTH = np.array([5, 3, 4, 5, 1, 2])
WEIGHTS = DRAWS.random((B, T)) * (DRAWS.random((B, T)) < 0.6)
WEIGHTS[3] = 0  # an example that fills up a batch
WEIGHTS[0, -1], WEIGHTS[4, 0] = 0.5, 0.3
BATCH = Example(DRAWS.normal(size=(B, T, D)), DRAWS.integers(O, size=(B, T)), WEIGHTS, LENGTH)
NETWORK = Pure(lambda rngs: Tagger(stacked(GRU, D, 4, rngs=rngs), O, rngs=rngs))
MODEL, PARAMS = OfNetwork(NETWORK, TASK.loss), NETWORK.init(jax.random.key(0))
run = jax.jit(lambda params, batch, states: scores(MODEL, TASK, params, batch, states))


def by_hand(ys, batch):
    """(examples, weighted loss, scored steps, their plain loss, how many are right), step by step."""
    told = np.zeros(5)
    for b in range(len(ys)):
        told[0] += any(batch.weights[b, t] != 0 for t in range(batch.length[b]))
        for t in range(batch.length[b]):
            if batch.weights[b, t] != 0:
                y, target = np.asarray(ys[b, t]), batch.targets[b, t]
                loss = np.log(np.sum(np.exp(y))) - y[target]
                told[1:] += [batch.weights[b, t] * loss, 1, loss, np.argmax(y) == target]
    return told


def answers(batch):
    return jax.vmap(lambda xs, length: NETWORK.apply(PARAMS, xs, length=length)[1])(batch.xs, batch.length)


def test_scores_and_means():
    """With lengths, weights and an example that does not count; NaN and nonsense where nothing is asked."""
    found, finals = run(PARAMS, BATCH, None)
    want = by_hand(answers(BATCH), BATCH)
    np.testing.assert_allclose(found, want, rtol=1e-12)
    means = found.means()
    assert want[0] == 5 and 0 < want[4] < want[2]
    np.testing.assert_allclose(means["loss"], want[1] / 5, rtol=1e-12)
    np.testing.assert_allclose(means["step_loss"], want[3] / want[2], rtol=1e-12)
    np.testing.assert_allclose(means["accuracy"], want[4] / want[2], rtol=1e-12)
    asked = (WEIGHTS != 0) & (np.arange(T) < LENGTH[:, None])
    dirty = BATCH._replace(
        xs=np.where((np.arange(T) < LENGTH[:, None])[..., None], BATCH.xs, np.nan),
        targets=np.where(asked, BATCH.targets, (BATCH.targets + 1) % O),
    )
    jax.tree.map(np.testing.assert_array_equal, run(PARAMS, dirty, None), (found, finals))
    wrong = run(PARAMS, BATCH._replace(targets=(BATCH.targets + 1) % O), None)[0]
    assert wrong.correct != found.correct


def test_batches_add_up():
    """As one batch of all examples, in float64 whatever was computed in; the mean of means is another number."""
    halves = [jax.tree.map(lambda a, s=s: a[s], BATCH) for s in (slice(0, 2), slice(2, 6))]
    got = evaluate(run, PARAMS, [(half, False) for half in halves])
    np.testing.assert_allclose(got, by_hand(answers(BATCH), BATCH), rtol=1e-12)
    assert all(np.asarray(number).dtype == np.float64 for number in got)
    apart = [run(PARAMS, half, None)[0].means()["step_loss"] for half in halves]
    assert abs(np.mean(apart) - got.means()["step_loss"]) > 1e-6

    def small(params, batch, states):
        del params, states
        return jax.tree.map(lambda a: jnp.float32(a) / 3, batch), None

    many = evaluate(small, None, [({"a": 1.0}, False)] * 10)
    assert many["a"] == 10 * np.float64(np.float32(1) / np.float32(3))


def test_states_go_on_where_they_are_told_to():
    """A text in two windows is one text; not where the second starts afresh."""
    network = Pure(lambda rngs: LanguageModel(stacked(GRU, 3, 3, rngs=rngs), O, rngs=rngs))
    model, params = OfNetwork(network, TASK.loss), network.init(jax.random.key(1))
    text = DRAWS.integers(O, size=(2, 9)).astype(np.int32)
    of = jax.jit(lambda params, batch, states: scores(model, TASK, params, batch, states))

    def window(first, steps):
        read = text[:, first : first + steps + 1]
        return Example(read[:, :-1], read[:, 1:], np.full((2, steps), 1.0))

    whole = evaluate(of, params, [(window(0, 8), False)])
    going = evaluate(of, params, [(window(0, 4), False), (window(4, 4), True)])
    afresh = evaluate(of, params, [(window(0, 4), False), (window(4, 4), False)])
    np.testing.assert_allclose(going.loss, whole.loss, rtol=1e-12)
    assert abs(afresh.loss - whole.loss) > 1e-6 and going.steps == whole.steps == 16


def test_one_answer_for_a_sequence():
    """A classifier is asked once an example: its accuracy is over examples."""
    network = Pure(lambda rngs: Classifier(stacked(GRU, D, 4, rngs=rngs), O, pool="mean", rngs=rngs))
    params = network.init(jax.random.key(0))
    last = (np.arange(T) == LENGTH[:, None] - 1).astype(float)
    found, _ = scores(OfNetwork(network, TASK.loss), TASK, params, BATCH._replace(weights=last))
    ys = jax.vmap(lambda xs, length: network.apply(params, xs, length=length)[1])(BATCH.xs, LENGTH)
    right = np.argmax(ys, axis=1) == BATCH.targets[np.arange(B), LENGTH - 1]
    assert [int(n) for n in (found.examples, found.steps, found.correct)] == [B, B, right.sum()] and 0 < right.sum() < B
    np.testing.assert_allclose(found.loss, found.step_loss, rtol=1e-12)


def test_nothing_to_evaluate():
    with pytest.raises(ValueError, match="evaluate: no batches; give at least one"):
        evaluate(run, PARAMS, [])
