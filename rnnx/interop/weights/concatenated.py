"""Concatenated, as tutorials write it: each gate has one matrix [N, N + D] that multiplies [h, x], and one bias [N].

A GRU in this form is refused: some tutorials keep z, others 1 - z of the old state, and the names do not tell which.
"""

from collections.abc import Mapping
from typing import Any

import numpy as np

from rnnx.interop.weights.common import Gates, assemble, known, take, take_apart

LETTERS = {"elman": ("h",), "lstm": ("i", "f", "C", "o")}  # a tutorial's, in the order of rnnx
_WHICH = "tutorials disagree about what z keeps; order the gates r, z, n and write from_torch or the parameters"
OTHERS = {"gru": _WHICH, "gru_before": _WHICH}


def from_concatenated(name: str, weights: Mapping[str, Any]) -> Any:
    """Parameters of "lstm" from W_f, W_i, W_C, W_o and b_f, b_i, b_C, b_o, or of "elman" from W_h and b_h."""
    where = "from_concatenated"
    known(where, name, LETTERS, OTHERS)
    letters = LETTERS[name]
    matrices = [take(where, weights, f"W_{letter}") for letter in letters]
    units = matrices[0].shape[0]
    for letter, matrix in zip(letters, matrices, strict=True):
        if matrix.ndim != 2 or matrix.shape != matrices[0].shape or matrix.shape[1] <= units:
            raise ValueError(
                f"{where}: W_{letter} is {list(matrix.shape)}, expected [N, N + D] like the others; "
                "transpose it if it stands to the right of [h, x]"
            )
        shape = take(where, weights, f"b_{letter}").shape
        if shape != (units,):
            raise ValueError(f"{where}: b_{letter} is {list(shape)}, expected [{units}]; give one number a unit")
    both = np.stack([matrix.T for matrix in matrices], axis=1)  # [N + D, G, N]
    b = np.stack([take(where, weights, f"b_{letter}") for letter in letters])
    return assemble(name, Gates(both[units:], both[:units], b))


def to_concatenated(name: str, params: Any) -> dict[str, np.ndarray]:
    """The inverse of `from_concatenated`."""
    known("to_concatenated", name, LETTERS, OTHERS)
    gates = take_apart("to_concatenated", name, params)
    both = np.concatenate([gates.w_h, gates.w_x])
    matrices = {f"W_{letter}": both[:, g].T for g, letter in enumerate(LETTERS[name])}
    return matrices | {f"b_{letter}": gates.b_x[g] for g, letter in enumerate(LETTERS[name])}
