"""Labelled recordings of .ts files."""

import math
import pathlib

import jax.numpy as jnp
import numpy as np
import pytest
import small_files
from small_files import HEADER, real, told

from rnnx.tasks import Recordings
from rnnx.tasks.readers import BadFile

TRAIN = [([1, 2, 3], [10, 10, 10], "left"), ([4, 5], [10, 10], "right"), ([7], [10], "right")]
TEST = [([0, 0, 0, 9], [10, 12, 14, 16], "right"), ([4], [10], "left")]


def write(folder: pathlib.Path, train=TRAIN, test=TEST) -> str:
    for split, cases in (("TRAIN", train), ("TEST", test)):
        lines = (f"{','.join(map(str, a))}:{','.join(map(str, b))}:{label}\n" for a, b, label in cases)
        (folder / f"Tiny_{split}.ts").write_text(HEADER + "".join(lines))
    return str(folder / "Tiny_TRAIN.ts")


def test_padded_and_asked_at_its_end(tmp_path):
    """As long as the longest of both splits, which is in the test split; by hand."""
    task = Recordings(variant="raw", file=write(tmp_path))
    assert (task.steps, task.inputs, task.outputs, task.alphabet) == (4, 2, 2, ("left", "right"))
    frames, lengths, classes = task.load()
    assert frames.dtype == np.float32 and frames.shape == (3, 4, 2)
    assert lengths.tolist() == [3, 2, 1] and classes.tolist() == [0, 1, 1]
    xs, targets, weights, length = task.example(task.load(), jnp.asarray(1))
    assert xs.tolist() == [[4, 10], [5, 10], [0, 0], [0, 0]] and targets.tolist() == [1] * 4
    assert weights.tolist() == [0, 1, 0, 0] and length == 2
    assert task.example(task.load("test"), jnp.asarray(0)).xs[:, 0].tolist() == [0, 0, 0, 9]


def test_the_first_steps_alone(tmp_path):
    """What is longer is asked at the last step kept; without any padding there are no lengths."""
    task = Recordings(2, "raw", write(tmp_path))
    xs, _, weights, length = task.example(task.load(), jnp.asarray(0))
    assert xs.tolist() == [[1, 10], [2, 10]] and weights.tolist() == [0, 1] and length == 2
    assert task.lengths(task.load()).tolist() == [2, 2, 1]
    assert Recordings(1, "raw", task.file).example(task.load(), jnp.asarray(0)).length is None


def test_channels_are_standardised_by_training_frames(tmp_path):
    """Frames pooled over recordings, padding not counted; a channel that never changes is centred."""
    task = Recordings(file=write(tmp_path))
    pooled = np.array([1, 2, 3, 4, 5, 7])
    frames, lengths, _ = task.load()
    seen = np.concatenate([case[:n, 0] for case, n in zip(frames, lengths, strict=True)])
    np.testing.assert_allclose(seen, (pooled - pooled.mean()) / pooled.std(), rtol=1e-6)
    assert not np.any(frames[..., 1])
    test = task.load("test")[0]
    np.testing.assert_allclose(test[0, :, 0], (np.array([0, 0, 0, 9]) - pooled.mean()) / pooled.std(), rtol=1e-6)
    np.testing.assert_allclose(test[0, :, 1], [0, 2, 4, 6], rtol=1e-6)


def test_chance_is_the_entropy_of_training(tmp_path):
    """One of three and two of three; the test split is more even, and does not count."""
    expected = math.log(3) - 2 / 3 * math.log(2)
    assert Recordings(file=write(tmp_path)).chance == pytest.approx(expected, abs=1e-12)


def test_classes_are_numbered_as_in_training(tmp_path):
    """Though the test split may list them in another order."""
    path = write(tmp_path)
    text = (tmp_path / "Tiny_TEST.ts").read_text()
    (tmp_path / "Tiny_TEST.ts").write_text(text.replace("true left right", "true right left"))
    assert Recordings(file=path).load("test")[2].tolist() == [1, 0]


def test_files_that_do_not_go_together(tmp_path):
    path = write(tmp_path, test=[*TEST, ([1], [2], "up")])
    with pytest.raises(BadFile) as error:
        Recordings(file=path)
    assert told(error, tmp_path / "Tiny_TEST.ts") == ":11 has the unknown class 'up'; write one of left, right"
    (tmp_path / "Tiny_TEST.ts").unlink()
    with pytest.raises(FileNotFoundError, match="Tiny_TEST.ts"):
        Recordings(file=path)
    with pytest.raises(BadFile) as error:
        Recordings(file=str(tmp_path / "Tiny_TEST.ts"))
    message = " does not end in _TRAIN.ts; write the path of NAME_TRAIN.ts, with NAME_TEST.ts beside it"
    assert told(error, tmp_path / "Tiny_TEST.ts") == message


def test_equal_lengths_have_no_padding(tmp_path):
    task = Recordings(file=small_files.recordings(tmp_path, 6, 6))
    assert task.steps == 6 and task.example(task.load(), jnp.asarray(0)).length is None


def test_japanese_vowels():
    """270 and 370 utterances of 9 speakers, 12 channels, 7 to 29 frames; nearly even classes in training."""
    task = Recordings(file=real("series/JapaneseVowels_TRAIN.ts"))
    assert [task.count(task.load(split)) for split in task.splits] == [270, 370]
    assert (task.inputs, task.outputs, task.steps) == (12, 9, 29) and task.chance == pytest.approx(math.log(9))
    lengths = np.concatenate([task.lengths(task.load(split)) for split in task.splits])
    assert (lengths.min(), lengths.max()) == (7, 29)
    frames, lengths, _ = task.load()
    pooled = np.concatenate([case[:n] for case, n in zip(frames, lengths, strict=True)])
    np.testing.assert_allclose(pooled.mean(axis=0), 0, atol=1e-5)
    np.testing.assert_allclose(pooled.std(axis=0), 1, atol=1e-5)
