"""Files of every kind that a task reads, small and made up, and where a test finds real ones."""

import gzip
import os
import pathlib
import struct

import numpy as np
import pytest


def real(name: str) -> str:
    """The path of a real file below the directory that RNNX_DATA names; skips the test where it is absent."""
    folder = os.environ.get("RNNX_DATA", "")
    path = pathlib.Path(folder, name)
    if not folder or not path.exists():
        pytest.skip(f"RNNX_DATA names no directory with {name}")
    return str(path)


def told(error, path) -> str:
    """What a BadFile says after "file PATH"; that it is one line is checked on the way."""
    message = str(error.value)
    assert "\n" not in message and "; " in message, message
    assert message.startswith(f"file {path}"), message
    return message.removeprefix(f"file {path}")


def idx(values: np.ndarray) -> bytes:
    """The bytes of an IDX file."""
    return struct.pack(f">HBB{values.ndim}I", 0, 8, values.ndim, *values.shape) + values.astype(np.uint8).tobytes()


def images(folder: pathlib.Path, train: int = 36, test: int = 20, side: int = 8) -> str:
    """A directory of four IDX files, two of them packed; class c = i % 3 is bright in columns c, c + 3, ..."""
    folder.mkdir()
    rng = np.random.default_rng(0)
    for stem, count in (("train", train), ("t10k", test)):
        classes = np.arange(count) % 3
        pictures = rng.integers(0, 100, (count, side, side))
        pictures[(np.arange(side) % 3 == classes[:, None])[:, None, :] & np.ones((1, side, 1), bool)] += 150
        (folder / f"{stem}-images-idx3-ubyte.gz").write_bytes(gzip.compress(idx(pictures)))
        (folder / f"{stem}-labels.idx1-ubyte").write_bytes(idx(classes))
    return str(folder)


def waves(rows: int = 200) -> np.ndarray:
    """Two columns of period 12 with noise and different scales, [rows, 2]."""
    time = np.arange(rows)
    noise = np.random.default_rng(1).normal(size=(rows, 2)) / 10
    return (
        np.stack([np.sin(time * np.pi / 6), np.cos(time * np.pi / 6)], axis=1) * [5, 100] + noise * [5, 100] + [0, 300]
    )


def series(folder: pathlib.Path, values: np.ndarray | None = None, name: str = "series.csv") -> str:
    """A CSV file with a header, dates and the columns a, b, ..."""
    values = waves() if values is None else values
    lines = ["date," + ",".join("abcdefgh"[: values.shape[1]])]
    for i, row in enumerate(values):
        lines.append(f"2020-01-01 00:{i}," + ",".join(repr(float(v)) for v in row))
    (folder / name).write_text("\n".join(lines) + "\n")
    return str(folder / name)


HEADER = """# a comment
@problemName Made
@timeStamps false
@univariate false
@dimensions 2
@equalLength false
@classLabel true left right
@data
"""


def recordings(folder: pathlib.Path, shortest: int = 5, longest: int = 12, test: int = 20) -> str:
    """Two channels, lengths that differ unless told otherwise, classes by the sign of the first channel."""
    rng = np.random.default_rng(2)
    for split, count in (("TRAIN", 30), ("TEST", test)):
        lines = []
        for i in range(count):
            length = shortest + i % (longest - shortest + 1)
            sign = 1 if i % 2 else -1
            channels = [sign + rng.normal(size=length) / 4, 40 + 7 * rng.normal(size=length)]
            told = ":".join(",".join(f"{v:.6f}" for v in channel) for channel in channels)
            lines.append(f"{told}:{'right' if sign > 0 else 'left'}\n")
        (folder / f"Made_{split}.ts").write_text(HEADER + "".join(lines))
    return str(folder / "Made_TRAIN.ts")


def rolls(counts: dict[str, int], shortest: int = 9, longest: int = 15) -> dict[str, list[np.ndarray]]:
    """Pieces in which a chord of three keys moves up one key a frame, from a place of its own."""
    rng = np.random.default_rng(3)
    made: dict[str, list[np.ndarray]] = {}
    for name, count in counts.items():
        made[name], places = [], rng.permutation(30)
        for i in range(count):
            length = shortest + i % (longest - shortest + 1)
            roll = np.zeros((length, 88), np.uint8)
            low = 20 + int(places[i])
            for frame in range(length):
                roll[frame, [low + frame, low + frame + 4, low + frame + 7]] = 1
            made[name].append(roll)
    return made


def cells(pieces: list) -> np.ndarray:
    """A MATLAB cell array, 1 x M."""
    array = np.empty((1, len(pieces)), object)
    for i, piece in enumerate(pieces):
        array[0, i] = piece
    return array


def music(folder: pathlib.Path, shortest: int = 9, longest: int = 15, name: str = "music.mat") -> str:
    """A MATLAB file of piano rolls."""
    from scipy.io import savemat

    made = rolls({"traindata": 20, "validdata": 6, "testdata": 8}, shortest, longest)
    savemat(folder / name, {key: cells(pieces) for key, pieces in made.items()}, do_compression=True)
    return str(folder / name)


def of_all(folder: pathlib.Path) -> dict[str, str]:
    """A file for each task that reads one, where it cannot do without."""
    return {
        "images": images(folder / "images"),
        "series": series(folder),
        "recordings": recordings(folder),
        "music": music(folder),
    }
