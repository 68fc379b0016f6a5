"""Run by test_data_parallel.py in a process of its own, which has four devices: a batch divided among them."""

import jax
import jax.numpy as jnp
import numpy as np
from plain_tasks import LENGTHS, Numbered, Tape

import rnnx
from rnnx.cells import GRU, LSTM, Readout
from rnnx.networks import LanguageModel, Pure, Tagger, stacked
from rnnx.scans import Sequential
from rnnx.tasks.task import cross_entropy
from rnnx.training import Clip, Epochs, Fresh, Learner, OfCell, OfNetwork, Rule, Streams, learner, specs, steps_of

SEEDS, STEPS = (3, 11), 5
RULE = Rule("adam", 0.01, schedule="linear", steps=20, noise=1e-4, options=(("eps", 1e-3),))


def loss(y, target):
    return jnp.sum(jnp.square(y - target - 0.3))


def tagger(method=None):
    """Sequences of many lengths, of which a device's part has more or fewer steps than another's."""

    def body(rngs):
        return stacked(GRU, 1, 3, dropout=0.3, input_dropout=0.1, method=method, rngs=rngs)

    network = Pure(lambda rngs: Tagger(body(rngs), 1, rngs=rngs))
    given = Learner(OfNetwork(network, loss), RULE, Clip(1.0), penalty=0.5)
    return given, Epochs(Numbered(), LENGTHS, 8), LENGTHS


def streams():
    """States go on from batch to batch, and start afresh in between."""
    tape, task = np.arange(83) % 5, Tape()
    network = Pure(lambda rngs: LanguageModel(stacked(LSTM, 3, 3, dropout=0.3, rngs=rngs), 5, rngs=rngs))
    example = jax.eval_shape(lambda: task.example(tape, 0))
    given = Learner(OfNetwork(network, cross_entropy), Rule("sgd", 0.3), carry=4, example=example)
    plan = Streams(task, tape, 4)
    assert plan.per_epoch < STEPS
    return given, plan, tape


def drawn(cell=GRU):
    task = rnnx.tasks.Adding(6)
    return Learner(OfCell(Readout(cell(2, 4), 1), task.loss), RULE, Clip(1.0)), Fresh(task, 4), ()


def unfit():
    """Some batches have an example, on one of the devices, whose loss is not finite; their updates are left out."""
    task = rnnx.tasks.Adding(6)
    cell = Readout(GRU(2, 4), 1)

    def loss(y, target):
        return task.loss(y, target) + jnp.where(target > 1.6, jnp.nan, 0.0)

    return Learner(OfCell(cell, loss), RULE, Clip(1.0), on_nonfinite="skip"), Fresh(task, 4), ()


def run(case, count):
    """(states, metrics) after a few updates, on so many devices; 0 is without a mesh."""
    given, plan, data = case
    mesh = jax.make_mesh((count,), ("data",), axis_types=(jax.sharding.AxisType.Auto,)) if count else None
    states = jax.jit(jax.vmap(given.init))(jax.vmap(jax.random.key)(np.array(SEEDS, np.uint32)))
    if mesh is not None and states.states is not None:
        divided = jax.sharding.NamedSharding(mesh, specs(mesh).states)
        states = states._replace(states=jax.device_put(states.states, divided))
    states, metrics = steps_of(given, plan, mesh)(states, data, SEEDS, 0, STEPS)
    if mesh is not None and states.states is not None:
        assert all(leaf.sharding.shard_shape(leaf.shape)[1] == 4 // count for leaf in jax.tree.leaves(states.states))
    return jax.device_get((states._replace(key=jax.random.key_data(states.key)), metrics))


def worst(got, want):
    """The largest difference, relative to the largest number of each array."""
    pairs = zip(*([np.asarray(a, float) for a in jax.tree.leaves(tree)] for tree in (got, want)), strict=True)
    return max(float(np.max(np.abs(a - b), initial=0) / max(1e-3, np.max(np.abs(b), initial=0))) for a, b in pairs)


def own_kernel():
    """The compiled program of one update of an LSTM, on four devices, calls the CPU kernel; its numbers are right."""
    case = drawn(LSTM)
    given, plan, data = case
    mesh = jax.make_mesh((4,), ("data",), axis_types=(jax.sharding.AxisType.Auto,))

    def one(state, numbers):
        return given.update(state, plan.fetch(data, numbers, "data"), None, "data")

    divided = jax.shard_map(one, mesh=mesh, in_specs=jax.P(), out_specs=jax.P(), check_vma=False)
    told = jax.jit(divided).lower(given.init(jax.random.key(0)), plan.draw(0, 0)).as_text()
    return "rnnx" in told and "custom_call" in told, case


def main():
    jax.config.update("jax_enable_x64", True)
    jax.config.update("jax_numpy_dtype_promotion", "strict")
    cases = {
        "tagger": tagger(),
        "streams": streams(),
        "drawn": drawn(),
    }
    alone = {name: run(case, 0) for name, case in cases.items()}
    for name, case in cases.items():
        for count in (1, 2, 4) if name == "tagger" else (4,):
            error = worst(run(case, count), alone[name])
            assert error <= 1e-10, (name, count, error)

    alone_states, alone_metrics = run(unfit(), 0)
    states, metrics = run(unfit(), 4)
    assert 0 < np.sum(metrics.finite) < metrics.finite.size
    np.testing.assert_array_equal(metrics.finite, alone_metrics.finite)
    assert worst(states, alone_states) <= 1e-10

    # The controls: a sum in place of a mean; dropout that is the same on every device; a mean of means.
    whole = learner.mean
    learner.mean = lambda tree, axis: jax.lax.psum(tree, axis)
    assert worst(run(cases["drawn"], 4), alone["drawn"]) > 1e-3
    learner.mean = whole
    from rnnx.training import objectives

    objectives.own, kept = lambda tree, axis: tree[: len(tree) // 4], objectives.own
    assert worst(run(cases["tagger"], 4), alone["tagger"]) > 1e-3
    objectives.own = kept
    objectives.norm_penalty = lambda *args, axis=None, **how: rnnx.gradients.norm_penalty(*args, **how)
    assert worst(run(cases["tagger"], 4), alone["tagger"]) > 1e-6
    objectives.norm_penalty = rnnx.gradients.norm_penalty

    used, case = own_kernel()
    assert used, "the CPU kernel is not called on several devices"
    error = worst(run(tagger(Sequential()), 0), alone["tagger"])  # what four devices agree with
    assert error <= 1e-8, ("kernel", error)

    try:
        run((case[0], Fresh(case[1].task, 6), ()), 4)
    except ValueError as refused:
        assert "batches of 6 examples for 4 devices; write a multiple of 4" in str(refused)
    else:
        raise AssertionError("6 examples for 4 devices are not refused")
    print("all equal on", len(jax.devices()), "devices")


if __name__ == "__main__":
    main()
