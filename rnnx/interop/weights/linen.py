"""Flax linen: a dictionary of layers, "i" + gate for x and "h" + gate for h, each with its `kernel` and maybe `bias`.

`LSTMCell` and `OptimizedLSTMCell` share one layout, with the biases on h; `SimpleCell` and `GRUCell` have them on x,
and a GRU one more inside the reset, on "hn". `MGUCell` is not the cell `mgu`: its f KEEPS the old state, and resets
after the product. With reset_gate=False it is the cell `ugrnn`. With reset_gate=True it is a GRU whose two gates are
the same, and is read as `gru`; no GRU is written as one.
"""

from collections.abc import Mapping
from typing import Any

import numpy as np

from rnnx.interop.weights.common import Gates, assemble, fit, known, take, take_apart

# cell: its gates in the order of rnnx, in linen's letters
LETTERS = {"elman": ("",), "ugrnn": ("n", "f"), "gru": ("r", "z", "n"), "lstm": ("i", "f", "g", "o")}
OTHERS = {
    "gru_before": "linen resets after the product, write 'gru'",
    "mgu": "linen's MGUCell is another function; write 'gru', or 'ugrnn' if it has reset_gate=False",
}


def from_linen(name: str, weights: Mapping[str, Mapping[str, Any]]) -> Any:
    """Parameters of the cell `name` of CELLS from `variables["params"]` of `SimpleCell`, `LSTMCell`,
    `OptimizedLSTMCell`, `GRUCell` or `MGUCell`.
    """
    return read("from_linen", name, weights)


def to_linen(name: str, params: Any) -> dict[str, dict[str, np.ndarray]]:
    """The inverse of `from_linen`: a tree for `apply({"params": ...}, ...)`. `gru` is written as a GRUCell."""
    return write("to_linen", name, params)


def read(where: str, name: str, weights: Mapping[str, Mapping[str, Any]]) -> Any:
    known(where, name, LETTERS, OTHERS)
    minimal = name == "gru" and "if" in weights and "ir" not in weights  # an MGUCell
    letters = ("f", "f", "n") if minimal else LETTERS[name]
    parts = {}
    for g in letters:
        parts[f"h{g}.kernel"] = (take(where, weights, f"h{g}", "kernel"), "N N")
        parts[f"i{g}.kernel"] = (take(where, weights, f"i{g}", "kernel"), "D N")
        for key in _biased(name, g):
            parts[f"{key}.bias"] = (take(where, weights, key, "bias"), "N")
    if name == "ugrnn" and "bias" in weights["hn"]:
        raise ValueError(f"{where}: hn has a bias, expected none as with reset_gate=False; write 'gru'")
    arrays = dict(zip(parts, fit(where, name, parts), strict=True))
    w_x, w_h = (np.stack([arrays[f"{side}{g}.kernel"] for g in letters], axis=1) for side in "ih")
    zero = np.zeros_like(w_h[0, 0])
    for g in letters:
        for side in "ih":
            arrays.setdefault(f"{side}{g}.bias", zero)
    b_x, b_h = (np.stack([arrays[f"{side}{g}.bias"] for g in letters]) for side in "ih")
    return assemble(name, Gates(w_x, w_h, b_x, b_h))


def write(where: str, name: str, params: Any) -> dict[str, dict[str, np.ndarray]]:
    known(where, name, LETTERS, OTHERS)
    gates = take_apart(where, name, params)
    written = {}
    for row, g in enumerate(LETTERS[name]):
        written[f"i{g}"] = {"kernel": gates.w_x[:, row]}
        written[f"h{g}"] = {"kernel": gates.w_h[:, row]}
        biases = {"i": gates.b_x[row], "h": gates.b_h[row]}
        if name == "lstm":
            biases = {"h": gates.b_x[row]}
        for key in _biased(name, g):
            written[key]["bias"] = biases[key[0]]
    return written


def _biased(name: str, gate: str) -> tuple[str, ...]:
    """The layers of a gate that have a bias."""
    if name == "lstm":
        return (f"h{gate}",)
    return ("in", "hn") if name == "gru" and gate == "n" else (f"i{gate}",)
