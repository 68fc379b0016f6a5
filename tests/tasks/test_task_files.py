"""What holds for every task that reads a file: shapes, purity, weights, padding, each example once."""

import functools
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest
import small_files

import rnnx.tasks as tasks
from rnnx.tasks import TASKS, last_scored, solved
from rnnx.types import Example

QUICK = {"xla_backend_optimization_level": "0"}  # compiles in a fifth of the time
batch = jax.jit(tasks.batch, static_argnums=(0, 3), compiler_options=QUICK)
every = jax.jit(
    lambda task, data, i: jax.vmap(task.example, (None, 0))(data, i), static_argnums=0, compiler_options=QUICK
)

MADE: dict[str, tuple[str, dict[str, Any]]] = {
    "images rows": ("images", {"length": 8}),
    "images pixels": ("images", {"length": 0, "variant": "permuted"}),
    "images reversed": ("images", {"length": 16, "variant": "bit_reversal"}),
    "series": ("series", {"length": 9, "season": 12}),
    "series of one": ("series", {"length": 9, "season": 12, "columns": "b"}),
    "series far": ("series", {"length": 14, "variant": "multi_step", "season": 12, "horizon": 5}),
    "recordings": ("recordings", {}),
    "recordings raw": ("recordings", {"length": 9, "variant": "raw"}),
    "recordings cut": ("recordings", {"length": 5}),
    "music": ("music", {}),
    "music cut": ("music", {"length": 8}),
}
PADDED = {"recordings", "recordings raw", "music"}


@pytest.fixture(scope="module")
def files(tmp_path_factory) -> dict[str, str]:
    return small_files.of_all(tmp_path_factory.mktemp("files"))


@pytest.fixture(params=MADE)
def named(request, files):
    """(name of the row, task)"""
    name, options = MADE[request.param]
    return request.param, TASKS[name](file=files[name], **options)


@functools.cache
def drawn(task, seed: int = 0, split: str = "train") -> Example:
    """200 examples, as NumPy arrays."""
    return jax.tree.map(np.asarray, batch(task, task.load(split), jax.random.key(seed), 200))


def test_shapes_and_kinds(named):
    """What `steps`, `inputs` and `outputs` say is what a batch holds, and its loss takes."""
    name, task = named
    xs, targets, weights, length = drawn(task)
    assert xs.shape == (200, task.steps, task.inputs) and xs.dtype == weights.dtype == np.float64
    wide = name in ("series", "series far", "music", "music cut")
    assert weights.shape == (200, task.steps)
    assert targets.shape == weights.shape + ((task.outputs,) if wide else ())
    assert np.issubdtype(targets.dtype, np.integer if task.answers == "end" else np.floating)
    assert (length is not None) == (name in PADDED)
    y, target = jnp.zeros(task.outputs), jnp.asarray(targets[0, -1])
    for judge, kind in ((task.loss, y.dtype), (task.correct, bool)):
        told = jax.eval_shape(judge, y, target)
        assert told.shape == () and told.dtype == kind


def test_in_float32_all_is_float32(named):
    """As users run it: nothing asks for more digits than there are."""
    _, task = named
    with jax.enable_x64(False):
        example = task.sample(task.load(), jax.random.key(0))
        assert example.xs.dtype == example.weights.dtype == jnp.float32
        assert task.loss(jnp.zeros(task.outputs), example.targets[-1]).dtype == jnp.float32


def test_examples_are_a_pure_function_of_the_key(named):
    """The same key gives the same batch, another one another; jit changes nothing."""
    _, task = named
    one = drawn(task)
    for a, b in zip(one, drawn.__wrapped__(task), strict=True):
        np.testing.assert_array_equal(a, b) if a is not None else None
    assert not np.array_equal(one.xs, drawn(task, 1).xs)
    eager = task.sample(task.load(), jax.random.split(jax.random.key(0), 200)[7])
    jax.tree.map(lambda a, b: np.testing.assert_allclose(a, b[7], rtol=1e-12), eager, one)


def test_weights_sum_to_one_over_valid_steps(named):
    """Nothing in the padding is scored; after an "end" the class is asked once, at the last valid step."""
    name, task = named
    examples = drawn(task)
    np.testing.assert_allclose(np.sum(examples.weights, axis=1), 1, rtol=1e-12)
    ends = np.full(200, task.steps) if examples.length is None else examples.length
    padding = np.arange(task.steps) >= ends[:, None]
    assert np.all(examples.weights >= 0) and not np.any(examples.weights[padding]) and np.all(ends > 0)
    if name in PADDED:
        assert len(np.unique(ends)) > 1 and np.max(ends) == task.steps and not np.any(examples.xs[padding][..., 0])
    if task.answers == "end":
        np.testing.assert_array_equal(examples.weights, np.arange(task.steps) == ends[:, None] - 1)
        assert np.all(examples.targets == examples.targets[:, :1])
    last = jax.vmap(last_scored)(examples)
    np.testing.assert_array_equal(last.weights, np.arange(task.steps) == ends[:, None] - 1)


@pytest.mark.parametrize("split", ["train", "valid", "test"])
def test_example_i_for_every_i(named, split):
    """`count` of them, all different, as long as `lengths` says; and what is drawn is one of them."""
    name, task = named
    if split not in task.splits:
        assert name.startswith("recordings")
        return
    data = task.load(split)
    count = task.count(data)
    whole = every(task, data, np.arange(count))
    assert len({x.tobytes() for x in np.asarray(whole.xs)}) == count > 1
    lengths = task.lengths(data)
    assert lengths.shape == (count,) and np.issubdtype(lengths.dtype, np.integer)
    np.testing.assert_array_equal(lengths, task.steps if whole.length is None else whole.length)
    known = {x.tobytes() for x in np.asarray(whole.xs)}
    assert {x.tobytes() for x in drawn(task, 0, split).xs} <= known


def test_continuous_examples_go_on(named):
    """Example i + steps begins where example i ends; tasks of separate examples do not say so."""
    name, task = named
    assert task.continuous == (name in ("series", "series of one"))
    if task.continuous:
        whole = every(task, task.load(), np.arange(task.steps + 1))
        targets = np.reshape(whole.targets, (-1, task.steps, task.outputs))
        np.testing.assert_array_equal(whole.xs[task.steps, 0], targets[0, -1])


def test_a_perfect_predictor_solves_it_and_chance_does_not(named):
    """The criterion lies between what knows the answer and what knows nothing."""
    _, task = named
    examples = drawn(task, 2, "test")
    assert solved(task, *judged(task, examples, perfect(task, examples.targets)))
    assert not solved(task, task.chance, 1 / task.outputs)
    blind = np.zeros(examples.weights.shape + (task.outputs,))
    if task.criterion.quantity == "loss" and task.outputs < 88:
        blind += np.array(task.statistics()[0])
    loss, accuracy = judged(task, examples, blind)
    assert not solved(task, loss, accuracy)


def perfect(task, targets):
    if task.answers == "end":
        return 100.0 * (targets[..., None] == np.arange(task.outputs))
    return 200.0 * targets - 100 if task.outputs == 88 else np.reshape(targets, targets.shape[:2] + (task.outputs,))


def judged(task, examples: Example, ys) -> tuple[float, float]:
    """Mean loss, and accuracy over scored steps."""
    each_step = jax.vmap(jax.vmap(lambda y, target: (task.loss(y, target), task.correct(y, target))))
    both = jax.jit(each_step, compiler_options=QUICK)
    losses, right = map(np.asarray, both(ys.astype(examples.xs.dtype), examples.targets))
    scored = examples.weights != 0
    return float(np.mean(np.sum(examples.weights * losses, axis=1))), float(np.sum(right & scored) / np.sum(scored))


@pytest.mark.parametrize("name", ["images", "series", "recordings", "music"])
def test_a_file_is_needed(name):
    """One line that says what to write."""
    with pytest.raises(ValueError) as error:
        TASKS[name](length=8)
    assert str(error.value).startswith(f"{name}: file is not given; write the path of ")
    with pytest.raises(OSError, match="nowhere"):
        TASKS[name](length=8, file="nowhere_TRAIN.ts")


@pytest.mark.parametrize(
    ("name", "options", "message"),
    [
        ("images", {"length": 9}, "images: length is 9; an image has 64 pixels, write one of 1, 2, 4, 8, 16, 32, 64"),
        ("images", {"length": -8}, "images: length is -8; an image has 64 pixels, write one of 1, 2"),
        ("images", {"variant": "permute"}, "images: variant got 'permute'; did you mean 'permuted'?"),
        ("images", {"permutation": "p.txt"}, "images: permutation is given, but variant plain takes none"),
        ("series", {"length": 0}, "series: length is 0; write at least 1"),
        ("series", {"length": 8, "season": 0}, "series: season is 0; write at least 1"),
        ("series", {"length": 8, "season": 140}, "series: season is 140; write at most 139"),
        ("series", {"length": 8, "horizon": 2}, "series: horizon is 2, but one_step looks 1 ahead; write multi_step"),
        ("series", {"length": 21}, "series: length is 21; write at most 20, or give a longer file"),
        (
            "series",
            {"length": 137, "variant": "multi_step", "horizon": 4},
            "series: length is 137; write at most 136, or give a longer file",
        ),
        (
            "series",
            {"length": 8, "variant": "multi_step", "horizon": 21},
            "series: horizon is 21; write at most 20, or give a longer file",
        ),
        ("series", {"length": 8, "variant": "onestep"}, "series: variant got 'onestep'; did you mean 'one_step'?"),
        ("recordings", {"length": 13}, "recordings: length is 13, but the longest recording has 12 steps; write"),
        ("recordings", {"length": -1}, "recordings: length is -1, but the longest recording has 12 steps"),
        ("recordings", {"variant": "row"}, "recordings: variant got 'row'; did you mean 'raw'?"),
        ("music", {"length": 15}, "music: length is 15, but the longest piece has 14 steps; write at most 14"),
        ("music", {"variant": "last"}, "music: variant got 'last'; write one of next"),
    ],
)  # fmt: skip
def test_a_mistake_is_told_in_one_line(name, options, message, files):
    with pytest.raises(ValueError) as error:
        TASKS[name](file=files[name], **options)
    assert str(error.value).startswith(message) and "\n" not in str(error.value)
    with pytest.raises(ValueError, match=f"{name}: split got 'trian'; did you mean 'train'"):
        TASKS[name](file=files[name], length=8).load("trian")
