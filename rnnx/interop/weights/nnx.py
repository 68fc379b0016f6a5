"""Flax nnx: a dictionary of layers as `nnx.to_pure_dict(nnx.state(cell, nnx.Param))` gives it.

`SimpleCell`, `GRUCell` and `OptimizedLSTMCell` have a layer "dense_i" for x and one "dense_h" for h, gates side by
side in the order of rnnx; `LSTMCell` has two layers a gate, named as linen's but for "if_". An LSTM's biases are on h,
the others' on x. `GRUCell` has no bias inside the reset, although its documentation shows one: c is read as zero,
and a GRU whose c is not zero cannot be written.
"""

from collections.abc import Mapping
from typing import Any

import numpy as np

from rnnx.interop.weights.common import COUNT, Gates, assemble, beside, fit, flat, known, take, take_apart
from rnnx.interop.weights.linen import read, write

CELLS = ("elman", "lstm", "gru")
OTHERS = {"gru_before": "nnx resets after the product, write 'gru'"}


def from_nnx(name: str, weights: Mapping[str, Mapping[str, Any]]) -> Any:
    """Parameters of the cell `name` of CELLS from the pure dictionary of a `SimpleCell`, `LSTMCell`,
    `OptimizedLSTMCell` or `GRUCell`.
    """
    where = "from_nnx"
    known(where, name, CELLS, OTHERS)
    if name == "lstm" and "if_" in weights:
        return read(where, name, {key.rstrip("_"): layer for key, layer in weights.items()})
    count = COUNT[name]
    side = "dense_h" if name == "lstm" else "dense_i"
    parts = {
        "dense_h.kernel": (take(where, weights, "dense_h", "kernel"), "N GN"),
        "dense_i.kernel": (take(where, weights, "dense_i", "kernel"), "D GN"),
        f"{side}.bias": (take(where, weights, side, "bias"), "GN"),
    }
    w_h, w_x, b = fit(where, name, parts)
    return assemble(name, Gates(beside(w_x, count), beside(w_h, count), b.reshape(count, -1)))


def to_nnx(name: str, params: Any, optimized: bool = False) -> dict[str, dict[str, np.ndarray]]:
    """The inverse of `from_nnx`: a dictionary for `nnx.replace_by_pure_dict`. `lstm` is written as an `LSTMCell`,
    or with `optimized` as an `OptimizedLSTMCell`.
    """
    where = "to_nnx"
    known(where, name, CELLS, OTHERS)
    if name == "lstm" and not optimized:
        return {"if_" if key == "if" else key: layer for key, layer in write(where, name, params).items()}
    gates = take_apart(where, name, params)
    if gates.b_h.any():
        raise ValueError(
            f"{where}: c reaches {np.abs(gates.b_h).max():g}, expected zeros, for nnx.GRUCell has no bias inside its "
            "reset; set c to zero, or write the GRU for linen"
        )
    layers = {"dense_i": {"kernel": flat(gates.w_x)}, "dense_h": {"kernel": flat(gates.w_h)}}
    layers["dense_h" if name == "lstm" else "dense_i"]["bias"] = flat(gates.b_x)
    return layers
