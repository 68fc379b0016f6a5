"""torch, also cuDNN's layout: `weight_ih` [G N, D], `weight_hh` [G N, N], `bias_ih`, `bias_hh` [G N].

The gates of an LSTM stand in the order i, f, g, o, of a GRU r, z, n, as in rnnx. Where torch has two biases and the
cell one, the sum is read, and written as `bias_ih` beside a `bias_hh` of zeros. `LSTM(proj_size=R)` is the cell
`lstm_projected`, whose `weight_hr` is [R, N]. The nonlinearity of `RNN` is an option of the cell, not of its weights.
"""

from collections.abc import Mapping
from typing import Any

import numpy as np

from rnnx.interop.weights.common import COUNT, Gates, assemble, below, fit, flat, known, stacked, take, take_apart

CELLS = ("elman", "lstm", "gru", "lstm_projected")
OTHERS = {"gru_before": "torch resets after the product, write 'gru'"}


def from_torch(name: str, weights: Mapping[str, Any], suffix: str = "") -> Any:
    """Parameters of the cell `name` of CELLS from `torch.nn.RNNCell`, `GRUCell`, `LSTMCell` (suffix "") or from
    layer k of `torch.nn.RNN`, `GRU`, `LSTM` (suffix "_l0", "_l0_reverse", ...), given as a mapping of arrays:
    `{k: v.numpy() for k, v in module.state_dict().items()}`. A module built with bias=False is read as zeros.
    """
    where = "from_torch"
    known(where, name, CELLS, OTHERS)
    key_x, key_h, key_bx, key_bh, key_r = _keys(suffix)
    given = [key for key in (key_bx, key_bh) if key in weights]
    if len(given) == 1:
        raise ValueError(f"{where}: {given[0]} stands alone; give both biases, or none for bias=False")
    w_x, w_h = (take(where, weights, key) for key in (key_x, key_h))
    parts = {key_x: (w_x, "GN D"), key_h: (w_h, "GN R" if name == "lstm_projected" else "GN N")}
    parts |= {key: (weights[key], "GN") for key in given}
    if name == "lstm_projected":
        parts[key_r] = (take(where, weights, key_r), "R N")
    arrays = dict(zip(parts, fit(where, name, parts), strict=True))
    count = COUNT[name]
    b_x, b_h = (arrays[key].reshape(count, -1) if key in arrays else None for key in (key_bx, key_bh))
    w_r = arrays[key_r].T if key_r in arrays else None
    return assemble(name, Gates(below(w_x, count), below(w_h, count), b_x, b_h, w_r))


def to_torch(name: str, params: Any, suffix: str = "") -> dict[str, np.ndarray]:
    """The inverse of `from_torch`: arrays for `module.load_state_dict` after `torch.from_numpy`."""
    known("to_torch", name, CELLS, OTHERS)
    gates = take_apart("to_torch", name, params)
    arrays = [stacked(gates.w_x), stacked(gates.w_h), flat(gates.b_x), flat(gates.b_h)]
    if gates.w_r is not None:
        arrays.append(np.ascontiguousarray(gates.w_r.T))
    return dict(zip(_keys(suffix), arrays, strict=False))


def _keys(suffix: str) -> list[str]:
    return [key + suffix for key in ("weight_ih", "weight_hh", "bias_ih", "bias_hh", "weight_hr")]
