"""What holds for every task and variant: shapes, purity, weights, padding, criterion, losses."""

import functools
import importlib
import math
import pathlib

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import rnnx.tasks as tasks
from rnnx.tasks import (
    TASKS,
    Adding,
    Agreement,
    Copy,
    DelayedXor,
    Digits,
    Memorisation,
    Multiplication,
    Parity,
    Sentiment,
    TemporalOrder,
    Text,
    last_scored,
    solved,
)
from rnnx.tasks.task import cross_entropy, is_likeliest, squared_error
from rnnx.types import Example

ALL = [
    *(Adding(20, variant) for variant in ("urnn", "tcn", "hs97", "pascanu", "plrnn")),
    *(Copy(12, variant) for variant in ("urnn", "tcn", "exprnn", "s4", "variable")),
    *(Multiplication(20, variant) for variant in ("pascanu", "hs97", "plrnn")),
    *(Memorisation(12, variant) for variant in ("mem5", "mem20")),
    *(TemporalOrder(20, variant) for variant in ("pascanu", "pascanu_three", "hs97", "hs97_three")),
    *(Parity(20, variant) for variant in ("end", "steps", "variable")),
    *(DelayedXor(20, variant) for variant in ("steps", "end")),
    *(Sentiment(14, variant) for variant in ("negation", "double", "decoy")),
    *(Agreement(14, variant) for variant in ("random", "opposite")),
    Agreement(14, attractors=3),
    *(Digits(8, variant) for variant in ("plain", "permuted", "bit_reversal")),
    *(Text(20, variant) for variant in ("characters", "bytes")),
]
FROM_FILES = {"images", "series", "recordings", "music"}  # the same is held of them in test_task_files.py
QUICK = {"xla_backend_optimization_level": "0"}  # compiles in a fifth of the time
batch = jax.jit(tasks.batch, static_argnums=(0, 3), compiler_options=QUICK)
each = pytest.mark.parametrize("task", ALL, ids=str)


def test_tasks_holds_every_task():
    """A flag names a task by this table: each module of the folder that defines one is in it."""
    folder = pathlib.Path(tasks.__file__).parent
    modules = {path.stem for path in folder.glob("*.py")} - {"__init__", "task", "marked"}
    assert set(TASKS) == modules
    for name, cls in TASKS.items():
        assert getattr(importlib.import_module(f"rnnx.tasks.{name}"), cls.__name__) is cls
    assert {type(task) for task in ALL} == {cls for name, cls in TASKS.items() if name not in FROM_FILES}


@functools.cache
def drawn(task, seed: int = 0, split: str = "train") -> Example:
    """200 examples, as NumPy arrays."""
    return jax.tree.map(np.asarray, batch(task, task.load(split), jax.random.key(seed), 200))


def same(a, b) -> bool:
    return jax.tree.all(jax.tree.map(np.array_equal, a, b))


@each
def test_shapes_and_kinds(task):
    """What `steps`, `inputs` and `outputs` say is what a batch holds, and its loss takes."""
    xs, targets, weights, length = drawn(task)
    assert xs.shape == (200, task.steps, task.inputs) and np.issubdtype(xs.dtype, np.floating)
    assert targets.shape == weights.shape == (200, task.steps) and weights.dtype == xs.dtype
    assert np.issubdtype(targets.dtype, np.floating if task.outputs == 1 else np.integer)
    assert length is None or (length.shape == (200,) and np.issubdtype(length.dtype, np.integer))
    y, target = jnp.zeros(task.outputs), jnp.asarray(targets[0, -1])
    for judge, kind in ((task.loss, y.dtype), (task.correct, bool)):
        told = jax.eval_shape(judge, y, target)
        assert told.shape == () and told.dtype == kind


@each
def test_examples_are_a_pure_function_of_the_key(task):
    """The same key gives the same batch; another key, and another example of the batch, another one."""
    one, other = drawn(task), drawn(task, 1)
    assert same(one, drawn.__wrapped__(task)) and not same(one.xs, other.xs)
    few = isinstance(task, Memorisation) and task.variant == "mem5"  # there are 32
    assert len({x.tobytes() for x in one.xs}) > (25 if few else 100)
    assert same(task.load(), task.load())


@pytest.mark.parametrize("name", [name for name in TASKS if name not in FROM_FILES])
def test_a_batch_is_its_samples_and_jit_changes_nothing(name):
    """`batch` splits the key and maps `sample`, no more."""
    task = TASKS[name](8)
    key = jax.random.split(jax.random.key(0), 200)[7]
    eager, jitted = task.sample(task.load(), key), jax.tree.map(lambda a: a[7], drawn(task))
    assert jax.tree.all(jax.tree.map(lambda a, b: np.allclose(a, b, rtol=1e-6), eager, jitted))


@each
def test_weights_sum_to_one_over_valid_steps(task):
    """So that losses of different lengths compare; nothing in the padding is scored."""
    examples = drawn(task)
    np.testing.assert_allclose(np.sum(examples.weights, axis=1), 1, rtol=1e-6)
    assert np.all(examples.weights >= 0)
    if examples.length is not None:
        padding = np.arange(task.steps) >= examples.length[:, None]
        assert not np.any(np.where(padding, examples.weights, 0))
        assert len(np.unique(examples.length)) > 1 and np.max(examples.length) <= task.steps


@each
def test_last_scored_keeps_one_step(task):
    """Gradient flow of the last step alone: weight 1 there, 0 elsewhere, all else as it was."""
    examples = drawn(task)
    last = jax.vmap(last_scored)(examples)
    end = np.full(200, task.steps) if examples.length is None else examples.length
    np.testing.assert_array_equal(last.weights, np.arange(task.steps) == end[:, None] - 1)
    assert last.weights.dtype == examples.weights.dtype and same(last[:2], examples[:2])


@each
def test_a_perfect_predictor_solves_it_and_chance_does_not(task):
    """The criterion lies between what knows the answer and what knows nothing."""
    examples = drawn(task, 2, "test")
    assert solved(task, *judged(task, examples, perfect(task, examples.targets)))
    chance = np.full((200, task.steps, task.outputs), np.mean(examples.targets) if task.outputs == 1 else 0.0)
    loss, accuracy = judged(task, examples, chance)
    assert not solved(task, loss, accuracy) and not solved(task, task.chance, accuracy)
    assert task.criterion.quantity in ("loss", "accuracy") and task.criterion.examples >= 100


def perfect(task, targets):
    if task.outputs == 1:
        return targets[..., None]
    return 100.0 * (targets[..., None] == np.arange(task.outputs))


def judged(task, examples: Example, ys) -> tuple[float, float]:
    """Mean loss, and accuracy over scored steps."""
    each_step = jax.vmap(jax.vmap(lambda y, target: (task.loss(y, target), task.correct(y, target))))
    both = jax.jit(each_step, compiler_options=QUICK)
    losses, right = map(np.asarray, both(ys.astype(examples.xs.dtype), examples.targets))
    scored = examples.weights != 0
    return float(np.mean(np.sum(examples.weights * losses, axis=1))), float(np.sum(right & scored) / np.sum(scored))


def test_solved_reads_the_criterion():
    """Strictly below for a loss; at least for an accuracy."""
    assert solved(Adding(20), 0.0166, 0.0) and not solved(Adding(20), 1 / 60, 1.0)
    assert solved(Copy(5), 9.0, 0.999) and not solved(Copy(5), 0.0, 0.9989)


def test_losses_of_one_step():
    """The three that tasks share, by hand."""
    assert squared_error(jnp.array([0.25]), jnp.array(1.0)) == 0.5625
    y = jnp.array([0.0, math.log(3.0), -jnp.inf])
    assert abs(cross_entropy(y, 1) - math.log(4 / 3)) < 1e-12 and cross_entropy(y, 2) == jnp.inf
    assert abs(cross_entropy(jnp.array([1000.0, 0.0]), 1) - 1000) < 1e-9
    assert is_likeliest(y, jnp.array(1)) and not is_likeliest(y, jnp.array(0))


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: Adding(20, "ulnn"), "adding: variant got 'ulnn'; did you mean 'urnn'? write one of urnn, tcn"),
        (lambda: Adding(1), "adding: length is 1; variant urnn needs at least 2"),
        (lambda: Adding(5, "hs97"), "adding: length is 5; variant hs97 needs at least 6"),
        (lambda: Copy(0), "copy: length is 0; write a delay of at least 1"),
        (lambda: Copy(5, "s5"), "copy: variant got 's5'; write one of urnn, tcn, exprnn, s4, variable"),
        (lambda: Multiplication(3), "multiplication: length is 3; variant pascanu needs at least 4"),
        (lambda: Multiplication(9, "urnn"), "multiplication: variant got 'urnn'; did you mean 'plrnn'? write one of"),
        (lambda: Memorisation(0), "memorisation: length is 0; write a delay of at least 1"),
        (lambda: Memorisation(9, "mem6"), "memorisation: variant got 'mem6'; did you mean 'mem5'? write one of mem5,"),
        (lambda: TemporalOrder(1), "temporal_order: length is 1; variant pascanu needs at least 2"),
        (lambda: TemporalOrder(9, "hs79"), "temporal_order: variant got 'hs79'; did you mean 'hs97'? write one of"),
        (lambda: Parity(1), "parity: length is 1; write at least 2"),
        (lambda: Parity(9, "last"), "parity: variant got 'last'; write one of end, steps, variable"),
        (lambda: DelayedXor(2), "delayed_xor: length is 2; write at least 3"),
        (lambda: DelayedXor(9, delay=5), "delayed_xor: delay is 5; at length 9 write 1 to 4, or 0 for a fifth"),
        (lambda: DelayedXor(9, delay=-1), "delayed_xor: delay is -1; at length 9 write 1 to 4, or 0 for a fifth"),
        (lambda: DelayedXor(9, "step"), "delayed_xor: variant got 'step'; did you mean 'steps'? write one of"),
        (lambda: Sentiment(3), "sentiment: length is 3; variant negation with distance 2 needs at least 4"),
        (lambda: Sentiment(9, "double", 4), "sentiment: length is 9; variant double with distance 4 needs at least 11"),
        (lambda: Sentiment(9, distance=-1), "sentiment: distance is -1; write 0 or more"),
        (lambda: Sentiment(9, "decay"), "sentiment: variant got 'decay'; did you mean 'decoy'? write one of negation"),
        (lambda: Agreement(8, attractors=2), "agreement: length is 8; with attractors=2 a sentence has at least 9"),
        (lambda: Agreement(8, attractors=-1), "agreement: attractors is -1; write 0 or more"),
        (lambda: Agreement(8, "opposed"), "agreement: variant got 'opposed'; did you mean 'opposite'? write one of"),
        (lambda: Digits(10), "digits: length is 10; an image has 64 pixels, write one of 1, 2, 4, 8, 16, 32, 64"),
        (lambda: Digits(0), "digits: length is 0; an image has 64 pixels, write one of 1, 2"),
        (lambda: Digits(8, "permute"), "digits: variant got 'permute'; did you mean 'permuted'?"),
        (lambda: Digits(8).load("valid"), "digits: split got 'valid'; write one of train, test"),
        (lambda: Text(0), "text: length is 0; write at least 1"),
        (lambda: Text(5, "byte"), "text: variant got 'byte'; did you mean 'bytes'?"),
        (lambda: Text(5).load("trian"), "text: split got 'trian'; did you mean 'train'?"),
    ],
)
def test_a_mistake_is_told_in_one_line(make, message):
    """What was got, and what to write instead."""
    with pytest.raises(ValueError) as error:
        make()
    assert str(error.value).startswith(message) and "\n" not in str(error.value)


@pytest.mark.parametrize("variant", ["urnn", "tcn", "hs97", "pascanu", "plrnn"])
def test_the_shortest_adding_problem_has_two_marks(variant):
    """At the smallest length that a variant allows, both marks still fit, at two steps."""
    shortest = {"urnn": 2, "tcn": 2, "hs97": 6}.get(variant, 4)
    marks = drawn(Adding(shortest, variant)).xs[..., 1]
    ends = 2 if variant == "hs97" else 0
    assert np.isin(np.sum(marks > 0, axis=1), (1, 2) if ends else (2,)).all()
    assert np.all(np.sum(marks < 0, axis=1) == ends)
