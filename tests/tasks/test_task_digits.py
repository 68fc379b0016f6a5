"""Handwritten digits read as a sequence."""

import math

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import rnnx.tasks
from rnnx.tasks import Digits

pytest.importorskip("sklearn")
QUICK = {"xla_backend_optimization_level": "0"}  # compiles in a fifth of the time
batch = jax.jit(rnnx.tasks.batch, static_argnums=(0, 3), compiler_options=QUICK)


def test_the_splits_are_all_images_and_share_none():
    """1,797 images, every fifth for the test."""
    (train, train_classes), (test, test_classes) = (Digits().load(split) for split in ("train", "test"))
    assert train.shape == (1437, 64) and test.shape == (360, 64)
    assert train.dtype == np.float32 and train.min() == 0 and train.max() == 1
    assert train_classes.dtype == np.int32 and set(train_classes) == set(test_classes) == set(range(10))
    assert not {image.tobytes() for image in train} & {image.tobytes() for image in test}
    from sklearn.datasets import load_digits

    images, classes = load_digits(return_X_y=True)
    np.testing.assert_array_equal(test * 16, images[::5])
    np.testing.assert_array_equal(test_classes, classes[::5])


@pytest.mark.parametrize("length", [1, 2, 4, 8, 16, 32, 64])
def test_an_example_is_one_image_row_by_row(length):
    """Steps in a row give the image back; its class is asked at the last step."""
    task = Digits(length)
    data = task.load("test")
    xs, targets, weights, _ = batch(task, data, jax.random.key(0), 5)
    assert xs.shape == (5, length, 64 // length) == (5, task.steps, task.inputs)
    for image, target in zip(np.asarray(xs).reshape(5, 64), np.asarray(targets[:, -1]), strict=True):
        found = np.nonzero((data[0] == image).all(axis=1))[0]
        assert len(found) == 1 and target == data[1][found[0]]
    assert np.all(np.asarray(weights) == (np.arange(length) == length - 1))


def test_permuted_is_one_fixed_permutation():
    """The same for every image, every key and every length; and no identity."""
    plain, permuted = (batch(Digits(64, v), Digits().load(), jax.random.key(0), 300) for v in ("plain", "permuted"))
    before, after = (np.asarray(examples.xs[..., 0]) for examples in (plain, permuted))
    np.testing.assert_array_equal(plain.targets, permuted.targets)
    order = np.random.default_rng(92916).permutation(64)
    np.testing.assert_array_equal(after, before[:, order])
    assert not np.array_equal(after, before) and sorted(order) == list(range(64))
    rows = batch(Digits(8, "permuted"), Digits().load(), jax.random.key(0), 300)
    np.testing.assert_array_equal(rows.xs.reshape(300, 64), after)


def test_bit_reversal_reads_by_the_digits_of_places():
    """Of six binary digits each: place 1 shows pixel 32, place 2 pixel 16; its own inverse."""
    plain, there = (batch(Digits(64, v), Digits().load(), jax.random.key(0), 9).xs for v in ("plain", "bit_reversal"))
    order = [int(f"{i:06b}"[::-1], 2) for i in range(64)]
    np.testing.assert_array_equal(there, plain[:, np.array(order)])
    np.testing.assert_array_equal(plain, there[:, np.array(order)])
    assert order[1:3] == [32, 16] and not np.array_equal(there, plain)


def test_chance():
    """Equal scores for ten classes lose ln 10, and the classes are so even that their shares lose no less than 1 %."""
    task = Digits()
    assert task.chance == math.log(10)
    assert abs(task.loss(jnp.zeros(10), 3) - task.chance) < 1e-12
    shares = np.bincount(task.load()[1]) / 1437
    assert abs(-np.sum(shares * np.log(shares)) - task.chance) < 0.01


def test_every_image_can_be_drawn():
    """Uniform over the split: none is left out at its ends."""
    task = Digits(1)
    images, _ = task.load("test")
    numbered = (images, np.arange(len(images), dtype=np.int32))
    drawn = np.asarray(batch(task, numbered, jax.random.key(0), 20_000).targets[:, -1])
    counts = np.bincount(drawn, minlength=360)
    assert len(counts) == 360 and np.max(np.abs(counts - 20_000 / 360)) < 5 * math.sqrt(20_000 / 360)
