"""Weights of other libraries, read and written as NumPy arrays.

torch (also cuDNN's layout): `weight_ih` [G N, D], `weight_hh` [G N, N], `bias_ih`, `bias_hh` [G N]; the gates of an
LSTM in the order i, f, g, o, of a GRU r, z, n, as in rnnx. Where torch has two biases and the cell one, the sum is
read, and written as `bias_ih` beside a `bias_hh` of zeros.

Concatenated, as tutorials write it: each gate has one matrix [N, N + D] that multiplies [h, x], and one bias [N].
"""

from collections.abc import Mapping
from typing import Any

import numpy as np

from rnnx.cells import elman, gru, lstm

_FAMILIES = {"elman": (elman.Params, 1), "gru": (gru.Params, 3), "lstm": (lstm.Params, 4)}
_GATES = {"elman": ("h",), "lstm": ("i", "f", "C", "o")}  # a tutorial's letters, in the order of rnnx


def from_torch(name: str, weights: Mapping[str, Any], suffix: str = "") -> Any:
    """Parameters of the cell `name` of CELLS from `torch.nn.RNNCell`, `GRUCell`, `LSTMCell` (suffix "") or from
    layer k of `torch.nn.RNN`, `GRU`, `LSTM` (suffix "_l0", "_l0_reverse", ...), given as a mapping of arrays:
    `{k: v.numpy() for k, v in module.state_dict().items()}`. A module built with bias=False is read as zeros.
    """
    params, gates = _family(name)
    w_x, w_h = (_take(weights, f"weight_{side}{suffix}") for side in ("ih", "hh"))
    units = w_h.shape[1]
    if w_h.shape[0] != gates * units or w_x.shape[0] != gates * units:
        raise ValueError(
            f"from_torch: weight_ih{suffix} {list(w_x.shape)} and weight_hh{suffix} {list(w_h.shape)} are not the "
            f"{gates} gate(s) of {name}; name the cell they come from"
        )
    given = [key for key in ("bias_ih", "bias_hh") if key + suffix in weights]
    if len(given) == 1:
        raise ValueError(f"from_torch: {given[0]}{suffix} stands alone; give both biases, or none for bias=False")
    zero = np.zeros(gates * units, w_h.dtype)
    b_x, b_h = (np.asarray(weights.get(f"bias_{side}{suffix}", zero)).reshape(gates, units) for side in ("ih", "hh"))
    w_x, w_h = (np.ascontiguousarray(w.reshape(gates, units, -1).transpose(2, 0, 1)) for w in (w_x, w_h))
    if name == "gru":  # the recurrent bias of n stands inside its reset gate, the others only in sums
        inside = np.concatenate([b_h[:2], np.zeros_like(b_h[2:])])
        return params(w_x, w_h, b_x + inside, b_h[2])
    return params(w_x, w_h, b_x + b_h)


def to_torch(name: str, params: Any, suffix: str = "") -> dict[str, np.ndarray]:
    """The inverse of `from_torch`: arrays for `module.load_state_dict` after `torch.from_numpy`."""
    _, gates = _family(name)
    w_x, w_h, b = (np.asarray(a) for a in params[:3])
    units = w_h.shape[0]
    b_h = np.zeros_like(b)
    if name == "gru":
        b_h[2] = np.asarray(params.c)
    flat = {
        "weight_ih": w_x.transpose(1, 2, 0).reshape(gates * units, -1),
        "weight_hh": w_h.transpose(1, 2, 0).reshape(gates * units, -1),
        "bias_ih": b.reshape(-1),
        "bias_hh": b_h.reshape(-1),
    }
    return {key + suffix: value for key, value in flat.items()}


def from_concatenated(name: str, weights: Mapping[str, Any]) -> Any:
    """Parameters of "lstm" from W_f, W_i, W_C, W_o and b_f, b_i, b_C, b_o, or of "elman" from W_h and b_h.

    A tutorial's GRU in this form resets h before the product, which is another function than `gru`: refused.
    """
    letters = _letters(name)
    matrices = [_take(weights, f"W_{letter}") for letter in letters]
    units = matrices[0].shape[0]
    for letter, matrix in zip(letters, matrices, strict=True):
        if matrix.ndim != 2 or matrix.shape != matrices[0].shape or matrix.shape[1] <= units:
            raise ValueError(
                f"from_concatenated: W_{letter} is {list(matrix.shape)}, not [N, N + D] like the others; "
                "transpose it if it stands to the right of [h, x]"
            )
        if np.shape(_take(weights, f"b_{letter}")) != (units,):
            raise ValueError(
                f"from_concatenated: b_{letter} is {list(np.shape(weights[f'b_{letter}']))}, not [{units}]"
            )
    both = np.stack([matrix.T for matrix in matrices], axis=1)  # [N + D, G, N]
    b = np.stack([_take(weights, f"b_{letter}") for letter in letters])
    return _FAMILIES[name][0](both[units:], both[:units], b)


def to_concatenated(name: str, params: Any) -> dict[str, np.ndarray]:
    """The inverse of `from_concatenated`."""
    both = np.concatenate([np.asarray(params.w_h), np.asarray(params.w_x)])
    letters = _letters(name)
    matrices = {f"W_{letter}": both[:, g].T for g, letter in enumerate(letters)}
    return matrices | {f"b_{letter}": np.asarray(params.b)[g] for g, letter in enumerate(letters)}


def _family(name: str) -> tuple[Any, int]:
    if name not in _FAMILIES:
        raise ValueError(f"weights: no torch layout for cell {name!r}; there is one for {', '.join(_FAMILIES)}")
    return _FAMILIES[name]


def _letters(name: str) -> tuple[str, ...]:
    if name not in _GATES:
        raise ValueError(f"weights: no concatenated layout for cell {name!r}; there is one for {', '.join(_GATES)}")
    return _GATES[name]


def _take(weights: Mapping[str, Any], key: str) -> np.ndarray:
    if key not in weights:
        raise ValueError(f"weights: {key!r} is missing; got {', '.join(map(str, weights)) or 'nothing'}")
    return np.asarray(weights[key])
