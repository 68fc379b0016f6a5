"""Equinox: `weight_ih` [G N, D], `weight_hh` [G N, N], `bias` [G N] and, in a GRU, `bias_n` [N] inside the reset.

The gates of an LSTM stand in the order i, f, g, o, of a GRU r, z, n, as in rnnx. Equinox has no simple network.
"""

from collections.abc import Mapping
from typing import Any

import numpy as np

from rnnx.interop.weights.common import COUNT, Gates, assemble, below, fit, flat, known, stacked, take, take_apart

CELLS = ("lstm", "gru")
OTHERS = {"gru_before": "Equinox resets after the product, write 'gru'"}
KEYS = ("weight_ih", "weight_hh", "bias", "bias_n")


def from_equinox(name: str, weights: Mapping[str, Any]) -> Any:
    """Parameters of the cell `name` of CELLS from `equinox.nn.LSTMCell` or `GRUCell`, given as a mapping of its
    arrays, such as `vars(cell)`. A cell built with use_bias=False is read as zeros.
    """
    where = "from_equinox"
    known(where, name, CELLS, OTHERS)
    count = COUNT[name]
    parts = {"weight_hh": (take(where, weights, "weight_hh"), "GN N")}
    parts["weight_ih"] = (take(where, weights, "weight_ih"), "GN D")
    if weights.get("bias") is not None:
        parts["bias"] = (weights["bias"], "GN")
        if name == "gru":
            parts["bias_n"] = (take(where, weights, "bias_n"), "N")
    w_h, w_x, *biases = fit(where, name, parts)
    rows = [biases[0].reshape(count, -1)] if biases else []
    if len(biases) == 2:
        rows.append(np.concatenate([np.zeros_like(rows[0][:2]), biases[1][None]]))
    return assemble(name, Gates(below(w_x, count), below(w_h, count), *rows))


def to_equinox(name: str, params: Any) -> dict[str, np.ndarray]:
    """The inverse of `from_equinox`: arrays for `equinox.tree_at`, one attribute each."""
    known("to_equinox", name, CELLS, OTHERS)
    gates = take_apart("to_equinox", name, params)
    written = {"weight_ih": stacked(gates.w_x), "weight_hh": stacked(gates.w_h), "bias": flat(gates.b_x)}
    return written | ({"bias_n": gates.b_h[2]} if name == "gru" else {})
