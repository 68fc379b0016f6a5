"""An update that is not finite is never made: kept out of one seed, or for good, and never of another."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from rnnx.cells import CELLS, Readout
from rnnx.tasks import Adding, batch
from rnnx.training import Learner, OfCell, Rule

TASK = Adding(5)
STEPS, SEEDS = 5, 2


def learner(cell: str, policy: str) -> Learner:
    return Learner(OfCell(Readout(CELLS[cell](2, 3), 1), TASK.loss), Rule("adam", 0.01), on_nonfinite=policy)


def batches(bad_step: int | None, value: float):
    """[STEPS, SEEDS, B, ...]; the second seed meets `value` in one entry of an input."""
    keys = jax.random.split(jax.random.key(3), STEPS * SEEDS).reshape(STEPS, SEEDS)
    drawn = jax.vmap(jax.vmap(lambda key: batch(TASK, (), key, 2)))(keys)
    if bad_step is None:
        return drawn
    return drawn._replace(xs=drawn.xs.at[bad_step, 1, 0, 2, 0].set(value))


def trained(cell: str, policy: str, bad_step: int | None, value: float = np.nan):
    """(states before each step and after the last, metrics)"""
    learn = learner(cell, policy)
    update, states = jax.jit(jax.vmap(learn.update)), jax.vmap(learn.init)(jax.random.split(jax.random.key(0), SEEDS))
    seen, told = [states], []
    drawn = batches(bad_step, value)
    for step in range(STEPS):
        states, metrics = update(states, jax.tree.map(lambda a, step=step: a[step], drawn))
        seen.append(states)
        told.append(metrics)
    return seen, told


def same(a, b, seed: int) -> bool:
    """Parameters and optimizer of one seed, bit for bit."""
    pairs = zip(jax.tree.leaves((a.params, a.optimizer)), jax.tree.leaves((b.params, b.optimizer)), strict=True)
    return all(np.array_equal(x[seed], y[seed]) for x, y in pairs)


@pytest.mark.parametrize("bad_step", [0, 2, STEPS - 1])
@pytest.mark.parametrize("cell", ["elman", "lstm", "gru"])
def test_stop_keeps_the_state_from_before(cell, bad_step):
    seen, told = trained(cell, "stop", bad_step)
    clean, _ = trained(cell, "stop", None)
    for step in range(STEPS + 1):
        assert same(seen[step], clean[step], 0), "the other seed goes on as ever"
        assert same(seen[step], clean[min(step, bad_step)], 1)
        assert all(np.isfinite(leaf).all() for leaf in jax.tree.leaves(seen[step].params))
    assert seen[-1].step.tolist() == [STEPS, bad_step] and seen[-1].left_out.tolist() == [0, STEPS - bad_step]
    assert [bool(m.finite[1]) for m in told][: bad_step + 1] == [True] * bad_step + [False]


def test_skip_leaves_out_one_update():
    seen, told = trained("gru", "skip", 2)
    assert same(seen[3], seen[2], 1) and not same(seen[4], seen[3], 1) and not same(seen[3], seen[2], 0)
    assert seen[-1].step.tolist() == [STEPS, STEPS] and seen[-1].left_out.tolist() == [0, 1]
    assert [bool(m.finite[1]) for m in told] == [True, True, False, True, True]


def test_infinity_counts_and_zero_does_not():
    """An infinite input makes the loss or its gradient infinite; a gradient of exactly zero, log10 -inf, is fine."""
    seen, _ = trained("elman", "skip", 1, np.inf)
    assert seen[-1].left_out.tolist() == [0, 1]
    learn = Learner(OfCell(Readout(CELLS["gru"](2, 3), 1), lambda y, target: 0 * y[0]), Rule("sgd", 0.1))
    state, metrics = jax.jit(learn.update)(learn.init(jax.random.key(0)), batch(TASK, (), jax.random.key(1), 2))
    assert metrics.gradient.log10_norm == -jnp.inf and metrics.finite and state.left_out == 0 and state.step == 1


def test_an_unknown_policy_is_refused():
    with pytest.raises(ValueError, match="Learner.on_nonfinite got 'hide'; write one of stop, skip"):
        learner("gru", "hide")
