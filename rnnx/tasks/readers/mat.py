"""Piano rolls in MATLAB files, as the polyphonic-music benchmarks hand them round."""

import io
import pathlib

import numpy as np

from rnnx.tasks.readers.bad_file import BadFile

KEYS = 88  # of a piano, the lowest first
VARIABLES = {"train": "traindata", "valid": "validdata", "test": "testdata"}
REMEDY = "write the path of a file of piano rolls"


def read(path: str) -> dict[str, tuple[np.ndarray, ...]]:
    """The pieces of the splits "train", "valid" and "test", each uint8 [T, 88]: 1 where a key sounds.

    The file holds the cell arrays `traindata`, `validdata` and `testdata` (N. Boulanger-Lewandowski, Y. Bengio &
    P. Vincent 2012, Modeling temporal dependencies in high-dimensional sequences; in this form since S. Bai,
    J. Z. Kolter & V. Koltun 2018). Raises BadFile: what scipy cannot read, a variable or a split of no
    pieces, a piece, counted from 1, that is not [T, 88] of 0 and 1 or has fewer than 2 frames.
    """
    held = _variables(path)
    return {split: _pieces(path, name, held.get(name)) for split, name in VARIABLES.items()}


def _variables(path: str) -> dict[str, np.ndarray]:
    from scipy.io import loadmat

    raw = pathlib.Path(path).read_bytes()
    if not raw:
        raise BadFile(f"file {path} is empty; {REMEDY}")
    try:
        return loadmat(io.BytesIO(raw), variable_names=list(VARIABLES.values()))
    except Exception as error:  # scipy raises whatever it stumbles over: TypeError, zlib.error, KeyError, ...
        told = (str(error).splitlines() or [""])[0] or type(error).__name__
        raise BadFile(f"file {path} is damaged or no MATLAB file, for scipy says: {told:.100}; {REMEDY}") from None


def _pieces(path: str, name: str, cells: np.ndarray | None) -> tuple[np.ndarray, ...]:
    if cells is None:
        raise BadFile(f"file {path} has no variable {name}; {REMEDY}, with {', '.join(VARIABLES.values())}")
    if cells.dtype != object:
        raise BadFile(f"file {path} has {cells.dtype} numbers as {name}, not a cell array of pieces; {REMEDY}")
    if cells.size == 0:
        raise BadFile(f"file {path} has no piece in {name}; {REMEDY}")
    return tuple(_piece(f"file {path} {name}{{{i}}}", piece) for i, piece in enumerate(cells.ravel(), 1))


def _piece(where: str, piece: np.ndarray) -> np.ndarray:
    """A roll, checked; `where` is in MATLAB's words."""
    if not isinstance(piece, np.ndarray) or piece.dtype.kind not in "biuf":
        raise BadFile(f"{where} holds no numbers; {REMEDY}")
    if piece.ndim != 2 or piece.shape[1] != KEYS:
        raise BadFile(f"{where} has shape {piece.shape}, not [frames, {KEYS}]; {REMEDY}")
    if len(piece) < 2:
        raise BadFile(f"{where} has {len(piece)} frames, and a next frame takes 2; leave the piece out")
    bad = np.argwhere((piece != 0) & (piece != 1))
    if len(bad):
        frame, key = bad[0]
        raise BadFile(f"{where} holds {piece[frame, key]:g} at ({frame + 1}, {key + 1}), not 0 or 1; {REMEDY}")
    return piece.astype(np.uint8)
