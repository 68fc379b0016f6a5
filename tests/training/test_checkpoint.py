"""What was saved comes back bit for bit, and nothing else is taken for it."""

from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from rnnx.cells import GRU
from rnnx.networks import Pure, Tagger, stacked
from rnnx.training import Learner, OfNetwork, Rule, checkpoint

KEY = jax.random.key(0)


def loss(y, target):
    return jnp.sum(jnp.square(y - target))


def plain(leaf):
    key = jnp.issubdtype(leaf.dtype, jax.dtypes.prng_key)
    return np.asarray(jax.random.key_data(leaf) if key else leaf)


def same(got, want):
    assert jax.tree.structure(got) == jax.tree.structure(want)
    for a, b in zip(jax.tree.leaves(got), jax.tree.leaves(want), strict=True):
        assert a.dtype == b.dtype and plain(a).tobytes() == plain(b).tobytes()


def test_a_training_state(tmp_path):
    """Of three seeds, adam, a network of modules and batched keys; told comes back too, and `like` may be shapes."""
    network = Pure(lambda rngs: Tagger(stacked(GRU, 2, 3, 2, bidirectional=True, norm=True, rngs=rngs), 1, rngs=rngs))
    learner = Learner(OfNetwork(network, loss), Rule("adam"))
    begin = jax.jit(jax.vmap(learner.init))
    states = begin(jax.random.split(KEY, 3))
    told = {"best": [1.5, None], "words": "a/b.c [0]"}
    checkpoint.save(tmp_path / "run", 7, states, told)
    shapes = jax.eval_shape(begin, jax.random.split(KEY, 3))
    for like in (shapes, states):
        step, got, said = checkpoint.restore(tmp_path / "run", like)
        assert step == 7 and said == told
        same(got, states)
    other = begin(jax.random.split(jax.random.key(1), 3))
    with pytest.raises(AssertionError):
        same(got, other)
    next_key = jax.vmap(lambda key: jax.random.fold_in(key, 1))
    same(next_key(got.key), next_key(states.key))  # the keys still work


class Pair(NamedTuple):
    first: Any
    second: Any


TREE = {
    "a": Pair(jnp.arange(3.0), jnp.array([1.0, -0.0, jnp.nan, jnp.inf], jnp.bfloat16)),
    "b/c": [jnp.zeros((1, 2), jnp.float32), jnp.asarray(True), np.int64(2**53 + 1)],
    "keys": jax.random.split(jax.random.key(3, impl="rbg"), 2),
    "key": KEY,
    "bits": np.array([2**32 - 1], np.uint32),
}


def test_dtypes_shapes_and_kinds_of_keys(tmp_path):
    """bfloat16, NaN, scalars, two kinds of keys, names with a slash."""
    checkpoint.save(tmp_path, 0, TREE)
    step, got, told = checkpoint.restore(tmp_path, TREE)
    assert step == 0 and told is None
    same(got, TREE)
    assert str(jax.random.key_impl(got["keys"])) == "rbg"


def test_only_the_newest_is_kept(tmp_path):
    """Whatever its step, also one from before; one of the same step is refused, and what is there stays."""
    for value, step in enumerate((3, 10, 5)):
        checkpoint.save(tmp_path, step, {"a": jnp.full(2, float(value))}, value)
        found, got, told = checkpoint.restore(tmp_path, {"a": jnp.zeros(2)})
        assert (found, told, got["a"].tolist()) == (step, value, [value, value])
        assert len([path for path in tmp_path.iterdir() if path.name.isdigit()]) == 1
    with pytest.raises(FileExistsError, match="holds step 5 already; give another directory"):
        checkpoint.save(tmp_path, 5, {"a": jnp.zeros(2)})
    assert checkpoint.restore(tmp_path, {"a": jnp.zeros(2)})[1]["a"].tolist() == [2.0, 2.0]


OTHERS = [
    ("shape", {**TREE, "bits": np.zeros(2, np.uint32)}, "['bits'] is uint32 (1,), expected uint32 (2,)"),
    (
        "dtype",
        {**TREE, "a": TREE["a"]._replace(first=jnp.zeros(3, jnp.float32))},
        "['a'].first is float64 (3,), expected float32 (3,)",
    ),
    ("missing", {**TREE, "d": jnp.zeros(1)}, "['d'] is only in what was expected"),
    ("more", {k: v for k, v in TREE.items() if k != "bits"}, "['bits'] is only in what was found"),
    ("renamed", {**{k: v for k, v in TREE.items() if k != "key"}, "kez": KEY}, "['kez'] is only in what was expected"),
    ("kind of key", {**TREE, "key": jax.random.key(0, impl="rbg")}, "['key'] is key<fry> (2,), expected key<rbg> (4,)"),
    ("keys", {**TREE, "keys": TREE["keys"][:1]}, "['keys'] is key<rbg> (2, 4), expected key<rbg> (1, 4)"),
    ("data", {**TREE, "key": jax.random.key_data(KEY)}, "['key'] is key<fry> (2,), expected uint32 (2,)"),
]


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    path = tmp_path_factory.mktemp("saved")
    checkpoint.save(path, 1, TREE)
    return path


@pytest.mark.parametrize("like, says", [other[1:] for other in OTHERS], ids=[other[0] for other in OTHERS])
def test_another_model_is_refused(folder, like, says):
    """In one line that names the leaf, what it is and what was expected."""
    with pytest.raises(ValueError) as error:
        checkpoint.restore(folder, like)
    assert f"checkpoint: {folder}: {says}" in str(error.value) and "\n" not in str(error.value)
    assert str(error.value).endswith("it is of another model")


def test_nothing_to_restore(tmp_path):
    for path in (tmp_path / "none", tmp_path):
        with pytest.raises(checkpoint.NoCheckpoint, match="no usable checkpoint in"):
            checkpoint.restore(path, TREE)
        assert not list(tmp_path.iterdir())  # and nothing was made


def test_one_that_was_cut_off_is_not_believed(tmp_path):
    """A directory under the temporary name that a save ends by renaming: the one before is restored."""
    checkpoint.save(tmp_path, 1, {"a": jnp.ones(2)})
    broken = tmp_path / "2.orbax-checkpoint-tmp"
    broken.mkdir()
    (broken / "arrays").mkdir()
    step, got, _ = checkpoint.restore(tmp_path, {"a": jnp.zeros(2)})
    assert step == 1 and got["a"].tolist() == [1.0, 1.0]
