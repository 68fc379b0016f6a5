"""Keras: a list of `kernel` [D, G N], `recurrent_kernel` [N, G N] and `bias` [G N].

The gates of an LSTM stand in the order i, f, c, o, of a GRU z, r, h. A GRU with reset_after=True is the cell `gru`,
and has two biases [2, 3 N]; with reset_after=False it is `gru_before`, with one. Where Keras has two biases and the
cell one, the sum is read, and written as the first.
"""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from rnnx.interop.weights.common import COUNT, Gates, assemble, beside, fit, flat, known, ordered, take_apart

CELLS = ("elman", "lstm", "gru", "gru_before")
FORM = {"gru": "gru is reset_after=True", "gru_before": "gru_before is reset_after=False"}


def from_keras(name: str, weights: Sequence[Any]) -> Any:
    """Parameters of the cell `name` of CELLS from `layer.get_weights()` of `SimpleRNN`, `LSTM` or `GRU`.

    A layer built with use_bias=False is read as zeros.
    """
    where = "from_keras"
    known(where, name, CELLS)
    count = COUNT[name]
    if isinstance(weights, Mapping) or len(weights) not in (2, 3):
        raise ValueError(
            f"{where}: got {type(weights).__name__} of {len(weights)}, expected a list of kernel, recurrent_kernel and "
            "bias, or two of these for use_bias=False; give the weights of one recurrent layer alone"
        )
    w_h, w_x = fit(where, name, {"recurrent_kernel": (weights[1], "N GN"), "kernel": (weights[0], "D GN")})
    rows = ()
    if len(weights) == 3:
        two = np.ndim(weights[2]) == 2
        if name in FORM and two != (name == "gru"):
            expected, other = ("two rows", "gru_before") if name == "gru" else ("one row", "gru")
            raise ValueError(
                f"{where}: bias is {list(np.shape(weights[2]))}, expected {expected}: {FORM[name]}; write {other!r}"
            )
        letters = "B GN" if name == "gru" else "GN"
        (bias,) = fit(where, name, {"bias": (weights[2], letters)}, N=w_h.shape[0], B=2)
        rows = bias.reshape(-1, count, w_h.shape[0])  # one bias or two
    return assemble(name, _ordered(name, Gates(beside(w_x, count), beside(w_h, count), *rows)))


def to_keras(name: str, params: Any) -> list[np.ndarray]:
    """The inverse of `from_keras`: arrays for `layer.set_weights`."""
    known("to_keras", name, CELLS)
    gates = _ordered(name, take_apart("to_keras", name, params))
    bias = np.stack([flat(gates.b_x), flat(gates.b_h)]) if name == "gru" else flat(gates.b_x)
    return [flat(gates.w_x), flat(gates.w_h), bias]


def _ordered(name: str, gates: Gates) -> Gates:
    """A GRU's z, r, h as r, z, n, and back."""
    return ordered(gates, (1, 0, 2)) if COUNT[name] == 3 else gates
