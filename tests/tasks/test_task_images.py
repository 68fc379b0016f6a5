"""Images of IDX files read as a sequence."""

import gzip
import math
import pathlib

import jax
import jax.numpy as jnp
import numpy as np
import pytest
import small_files
from small_files import real, told

import rnnx.tasks
from rnnx.tasks import Images
from rnnx.tasks.readers import BadFile

QUICK = {"xla_backend_optimization_level": "0"}  # compiles in a fifth of the time
batch = jax.jit(rnnx.tasks.batch, static_argnums=(0, 3), compiler_options=QUICK)
COUNTED = np.arange(24 * 12, dtype=np.int64).reshape(24, 3, 4) % 251  # every image of its own


@pytest.fixture
def folder(tmp_path) -> pathlib.Path:
    """24 training and 5 test images of 3 x 4 pixels; written without any of the project's code but the header."""
    for stem, images in (("train", COUNTED), ("t10k", COUNTED[:5] + 4)):
        classes = np.arange(len(images)) % 4
        (tmp_path / f"{stem}-images-idx3-ubyte").write_bytes(small_files.idx(images))
        (tmp_path / f"{stem}-labels-idx1-ubyte.gz").write_bytes(gzip.compress(small_files.idx(classes)))
    return tmp_path


def test_the_splits(folder):
    """The last twelfth of training validates; the bytes stay bytes."""
    task = Images(file=str(folder))
    train, valid, test = (task.load(split) for split in task.splits)
    np.testing.assert_array_equal(np.concatenate([train[0], valid[0]]), COUNTED.reshape(24, 12))
    np.testing.assert_array_equal(test[0], (COUNTED[:5] + 4).reshape(5, 12))
    assert [len(a) for a, _ in (train, valid, test)] == [22, 2, 5]
    assert train[0].dtype == np.uint8 and train[1].dtype == np.int32
    assert train[1].tolist() == (np.arange(22) % 4).tolist() and valid[1].tolist() == [2, 3]
    assert task.outputs == 4 and task.criterion.examples == 5


@pytest.mark.parametrize("length", [1, 2, 3, 4, 6, 12, 0])
def test_an_example_is_one_image_row_by_row(length, folder):
    """Steps in a row, times 255, give the bytes back; its class at the last step; 0 is pixel by pixel."""
    task = Images(length, file=str(folder))
    assert task.steps == (length or 12) and task.steps * task.inputs == 12
    for i in range(5):
        xs, targets, weights, ends = task.example(task.load("test"), jnp.asarray(i))
        np.testing.assert_allclose(np.ravel(xs) * 255, (COUNTED[i] + 4).ravel(), rtol=1e-12)
        assert np.all(targets == i % 4) and ends is None and weights.tolist() == [0.0] * (task.steps - 1) + [1.0]


def test_orders(folder, tmp_path):
    """Each variant is its order of the plain pixels: one of NumPy's, one by hand, one of a file."""
    (tmp_path / "order.txt").write_text("11 10 9 8 7 6 5 4 3 2 1 0")
    orders = {
        ("permuted", ""): np.random.RandomState(92916).permutation(12),
        ("bit_reversal", ""): [0, 8, 4, 2, 10, 6, 1, 9, 5, 3, 11, 7],
        ("permuted", str(tmp_path / "order.txt")): list(range(12))[::-1],
    }
    seen = {}
    for (variant, path), order in orders.items():
        for length in (0, 4):
            task = Images(length, variant, str(folder), path)
            xs = task.example(task.load(), jnp.asarray(7)).xs
            np.testing.assert_allclose(np.ravel(xs) * 255, COUNTED[7].ravel()[order], rtol=1e-12)
        seen[np.ravel(xs).tobytes()] = variant
    assert len(seen) == 3


def test_chance_is_the_entropy_of_the_classes(folder):
    """22 images of four classes: 6, 6, 5 and 5."""
    shares = np.array([6, 6, 5, 5]) / 22
    assert Images(file=str(folder)).chance == pytest.approx(-np.sum(shares * np.log(shares)), abs=1e-12)


def spoil(folder: pathlib.Path, name: str, images: np.ndarray) -> None:
    (folder / name).write_bytes(small_files.idx(images))


@pytest.mark.parametrize(
    ("name", "content", "message"),
    [
        ("train-images-idx3-ubyte", None, " is a directory without train-images-idx3-ubyte or "),
        ("t10k-images-idx3-ubyte", np.zeros((5, 2, 4)), " has images of 12 pixels in training and 8 in testing; put"),
        ("t10k-images-idx3-ubyte", np.zeros((6, 3, 4)), "/t10k-labels-idx1-ubyte.gz has 5 labels, but "),
        ("t10k-labels-idx1-ubyte", np.arange(5), " has class 4 in testing, and classes up to 3 in training; put four"),
    ],
)  # fmt: skip
def test_files_that_do_not_go_together(name, content, message, folder):
    if content is None:
        (folder / name).unlink()
    else:
        spoil(folder, name, content)
    with pytest.raises(BadFile) as error:
        Images(file=str(folder))
    assert told(error, folder).startswith(message)


def test_too_few_to_validate(tmp_path):
    folder = small_files.images(tmp_path / "few", train=11)
    with pytest.raises(BadFile) as error:
        Images(file=folder)
    assert told(error, folder) == " has 11 training images; give at least 12, of which 1 validates"


def test_a_bad_order_is_told_with_its_file(folder):
    (folder / "order.txt").write_text("0 1 2")
    with pytest.raises(BadFile) as error:
        Images(variant="permuted", file=str(folder), permutation=str(folder / "order.txt"))
    assert told(error, folder / "order.txt") == " holds an array of shape (3,), not [12]; write each of 0 to 11 once"


def test_mnist():
    """55,000, 5,000 and 10,000 images; chance is about ln 10; rows look like a digit: dark at the border."""
    task = Images(28, file=str(pathlib.Path(real("mnist/t10k-images-idx3-ubyte.gz")).parent))
    assert [task.count(task.load(split)) for split in task.splits] == [55_000, 5_000, 10_000]
    assert (task.inputs, task.outputs, task.steps) == (28, 10, 28) and abs(task.chance - math.log(10)) < 2e-3
    xs = batch(task, task.load("test"), jax.random.key(0), 50).xs
    assert xs.min() == 0 and xs.max() == 1 and np.mean(xs[:, :3]) < 0.01 < 0.2 < np.mean(xs[:, 8:20, 8:20])
