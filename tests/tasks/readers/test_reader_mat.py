"""Piano rolls in MATLAB files."""

import hashlib

import numpy as np
import pytest
from scipy.io import savemat
from small_files import cells, music, real, rolls, told

from rnnx.tasks.readers import BadFile, mat

ROLL = np.eye(5, 88)
REMEDY = "; write the path of a file of piano rolls"


def write(path, **changes) -> str:
    """One piece a split, but for the changes; None leaves a variable out."""
    held = {name: cells([ROLL, ROLL]) for name in ("traindata", "validdata", "testdata")} | changes
    savemat(path, {name: value for name, value in held.items() if value is not None})
    return str(path)


def test_pieces_come_back(tmp_path):
    """Of every split, as 0 and 1, compressed or not, whatever type MATLAB kept them in."""
    made = rolls({"traindata": 20, "validdata": 6, "testdata": 8})
    read = mat.read(music(tmp_path))
    for split in ("train", "valid", "test"):
        for piece, expected in zip(read[split], made[f"{split}data"], strict=True):
            assert piece.dtype == np.uint8
            np.testing.assert_array_equal(piece, expected)
    for kind in (np.float64, np.int8, np.bool_):
        path = write(tmp_path / "kind.mat", traindata=cells([ROLL.astype(kind)]))
        np.testing.assert_array_equal(mat.read(path)["train"][0], ROLL)


def spoilt(value: float) -> np.ndarray:
    roll = ROLL.copy()
    roll[3, 70] = value
    return roll


BAD = {
    "a key missing": (
        {"validdata": None},
        f" has no variable validdata{REMEDY}, with traindata, validdata, testdata",
    ),
    "numbers, not cells": ({"testdata": ROLL}, f" has float64 numbers as testdata, not a cell array of pieces{REMEDY}"),
    "no piece": ({"traindata": np.empty((1, 0), object)}, f" has no piece in traindata{REMEDY}"),
    "another width": (
        {"traindata": cells([ROLL, ROLL[:, :87]])},
        f" traindata{{2}} has shape (5, 87), not [frames, 88]{REMEDY}",
    ),
    "words": ({"traindata": cells([ROLL, "la la"])}, f" traindata{{2}} holds no numbers{REMEDY}"),
    "a velocity": (
        {"testdata": cells([spoilt(64)])},
        f" testdata{{1}} holds 64 at (4, 71), not 0 or 1{REMEDY}",
    ),
    "not a number": (
        {"testdata": cells([spoilt(np.nan)])},
        f" testdata{{1}} holds nan at (4, 71), not 0 or 1{REMEDY}",
    ),
    "one frame": (
        {"validdata": cells([ROLL, ROLL, ROLL[:1]])},
        " validdata{3} has 1 frames, and a next frame takes 2; leave the piece out",
    ),
}


@pytest.mark.parametrize("case", BAD)
def test_a_bad_file_is_told_in_one_line(case, tmp_path):
    changes, message = BAD[case]
    path = write(tmp_path / "a.mat", **changes)
    with pytest.raises(BadFile) as error:
        mat.read(path)
    assert told(error, path) == message


def test_an_empty_file(tmp_path):
    (tmp_path / "a.mat").touch()
    with pytest.raises(BadFile) as error:
        mat.read(str(tmp_path / "a.mat"))
    assert told(error, tmp_path / "a.mat") == f" is empty{REMEDY}"


@pytest.mark.parametrize("compressed", [False, True])
def test_a_damaged_file_is_one_line(compressed, tmp_path):
    """Cut at many places, or no MATLAB file at all: never a traceback of scipy's, never half the pieces."""
    savemat(
        tmp_path / "a.mat", {f"{n}data": cells([ROLL]) for n in ("train", "valid", "test")}, do_compression=compressed
    )
    whole = (tmp_path / "a.mat").read_bytes()
    path = tmp_path / "b.mat"
    cuts = [whole[: len(whole) * i // 20] for i in range(1, 20)]
    for content in (*cuts, b"hello", b"\0" * 500, whole[:200] + b"\xff" * 300):
        path.write_bytes(content)
        with pytest.raises(BadFile) as error:
            mat.read(str(path))
        assert told(error, path).startswith((" is damaged or no MATLAB file, for scipy says: ", " has no variable "))
    path.write_bytes(whole)
    assert len(mat.read(str(path))["train"]) == 1, "the control: the whole file is read"


def test_the_chorales():
    """382 chorales, 229, 76 and 77 of them, as in every paper; no two splits share a piece."""
    pieces = mat.read(real("music/JSB_Chorales.mat"))
    assert [len(split) for split in pieces.values()] == [229, 76, 77]
    assert max(len(piece) for split in pieces.values() for piece in split) == 160
    known = [{hashlib.sha256(piece.tobytes()).digest() for piece in split} for split in pieces.values()]
    assert not known[0] & known[2]
