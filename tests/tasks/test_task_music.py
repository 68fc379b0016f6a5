"""The next frame of piano rolls."""

import math

import jax
import jax.numpy as jnp
import numpy as np
import pytest
import small_files
from scipy.io import loadmat, savemat
from small_files import real, told

from rnnx.tasks import Music, solved
from rnnx.tasks.readers import BadFile


def frames(*chords: tuple[int, ...]) -> np.ndarray:
    roll = np.zeros((len(chords), 88))
    for frame, keys in enumerate(chords):
        roll[frame, list(keys)] = 1
    return roll


PIECES = {
    "traindata": [frames((1, 2), (2,), (), (5, 87)), frames((1,), (1, 3))],
    "validdata": [frames((0,), (0,), (0,))],
    "testdata": [frames((1,), (2,), (3,), (4,), (1,)), frames((2,), ())],
}


@pytest.fixture
def file(tmp_path) -> str:
    savemat(tmp_path / "tiny.mat", {name: small_files.cells(pieces) for name, pieces in PIECES.items()})
    return str(tmp_path / "tiny.mat")


def keys(rows) -> list[list[int]]:
    return [np.flatnonzero(row).tolist() for row in np.asarray(rows)]


def test_each_target_is_the_next_frame(file):
    """Padded with silence that counts nothing, to one less than the longest of all splits; by hand."""
    task = Music(file=file)
    assert (task.steps, task.inputs, task.outputs) == (4, 88, 88)
    xs, targets, weights, length = task.example(task.load(), jnp.asarray(0))
    assert keys(xs) == [[1, 2], [2], [], [5, 87]] and keys(targets) == [[2], [], [5, 87], []]
    np.testing.assert_allclose(weights, [1 / 3, 1 / 3, 1 / 3, 0])
    assert length == 3 and task.lengths(task.load()).tolist() == [3, 1]
    assert task.load()[0].dtype == np.uint8
    whole = task.example(task.load("test"), jnp.asarray(0))
    assert keys(whole.targets) == [[2], [3], [4], [1]] and whole.length == 4


def test_the_first_steps_alone(file):
    """Two steps take three frames."""
    task = Music(2, file=file)
    xs, targets, weights, length = task.example(task.load(), jnp.asarray(0))
    assert keys(xs) == [[1, 2], [2]] and keys(targets) == [[2], []] and length == 2
    np.testing.assert_allclose(weights, [1 / 2, 1 / 2])
    assert Music(1, file=file).example(task.load(), jnp.asarray(0)).length is None


def test_the_loss_is_in_nats_a_frame():
    """The sum over keys of -log p, by plain Python; far logits neither overflow nor lose the gradient."""
    task, rng = Music.__new__(Music), np.random.default_rng(0)
    y, target = rng.normal(size=88) * 3, (rng.random(88) < 0.1).astype(float)
    p = [1 / (1 + math.exp(-v)) for v in y]
    expected = -sum(math.log(q if t else 1 - q) for q, t in zip(p, target, strict=True))
    assert float(task.loss(jnp.asarray(y), jnp.asarray(target))) == pytest.approx(expected, rel=1e-12)
    assert float(task.loss(jnp.zeros(88), jnp.asarray(target))) == pytest.approx(88 * math.log(2))
    far = jnp.where(jnp.arange(88) == 0, 1e4, -1e4)
    assert task.loss(far, jnp.zeros(88)) == 1e4 and task.loss(far, (far > 0).astype(far.dtype)) == 0
    gradient = jax.grad(task.loss)(jnp.asarray(y), jnp.asarray(target))
    np.testing.assert_allclose(gradient, np.array(p) - target, rtol=1e-10)


def test_correct_asks_for_every_key():
    task, target = Music.__new__(Music), jnp.asarray(frames((3, 7))[0])
    assert task.correct(jnp.where(target > 0, 0.1, -0.1), target)
    assert not task.correct(jnp.where(target > 0, 0.1, -0.1).at[50].set(0.1), target)
    assert not task.correct(jnp.where(target > 0, 0.1, -0.1).at[3].set(0.0), target)


def test_chance_and_criterion_by_counting(file):
    """Shares with half a count more, frame by frame and key by key in plain Python; each piece counts as one."""
    pairs = [(a, b) for piece in PIECES["traindata"] for a, b in zip(piece[:-1], piece[1:], strict=True)]

    def loss(known: bool) -> float:
        pieces = []
        for piece in PIECES["testdata"]:
            total = 0.0
            for a, b in zip(piece[:-1], piece[1:], strict=True):
                for key in range(88):
                    like = [y[key] for x, y in pairs if not known or x[key] == a[key]]
                    p = (sum(like) + 0.5) / (len(like) + 1)
                    total -= math.log(p if b[key] else 1 - p)
            pieces.append(total / (len(piece) - 1))
        return sum(pieces) / len(pieces)

    task = Music(file=file)
    assert task.chance == pytest.approx(loss(False), rel=1e-12)
    assert task.criterion.bound == pytest.approx(loss(True), rel=1e-12)
    assert solved(task, task.criterion.bound - 1e-6, 0) and not solved(task, task.criterion.bound, 1)


def test_a_damaged_file_is_told(tmp_path):
    path = small_files.music(tmp_path)
    whole = (tmp_path / "music.mat").read_bytes()
    (tmp_path / "music.mat").write_bytes(whole[: len(whole) // 2])
    with pytest.raises(BadFile) as error:
        Music(file=path)
    assert told(error, path).startswith(" ")


def test_the_chorales():
    """229, 76 and 77 pieces; chance as NumPy counts it from the arrays of scipy."""
    path = real("music/JSB_Chorales.mat")
    task = Music(file=path)
    assert [task.count(task.load(split)) for split in task.splits] == [229, 76, 77] and task.steps == 159
    held = loadmat(path)
    after = np.concatenate([piece[1:] for piece in held["traindata"][0]])
    p = (after.sum(axis=0) + 0.5) / (len(after) + 1)
    pieces = [-np.log(np.where(t[1:] > 0, p, 1 - p)).sum(axis=1).mean() for t in held["testdata"][0]]
    assert task.chance == pytest.approx(np.mean(pieces), rel=1e-12)
    assert 8.6 < task.criterion.bound < task.chance < 11.1, "an LSTM reaches about 8.5"
