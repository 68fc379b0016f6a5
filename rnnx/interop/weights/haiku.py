"""Haiku: modules by name, each with its arrays; kernels are [D, G N] and [N, G N].

`LSTM` has one kernel [D + N, 4 N] for x above h, gates in the order i, g, f, o, and adds 1 to the forget gate at RUN
time: here that 1 is part of b, so that it is added when read and subtracted when written. For that row alone the way
there and back is exact to rounding only. `GRU` resets before the product, which is the cell `gru_before`, in the
order z, r, a, and its z is the part that is NEW: read and written with the opposite sign. `VanillaRNN` is `elman`
with nonlinearity="relu"; two biases are read as their sum and written as the first.
"""

from collections.abc import Mapping
from typing import Any

import numpy as np

from rnnx.interop.weights.common import COUNT, Gates, assemble, beside, fit, flat, known, ordered, take, take_apart

CELLS = ("elman", "lstm", "gru_before")
OTHERS = {"gru": "Haiku resets before the product, write 'gru_before'"}
MODULES = {"elman": "vanilla_rnn", "lstm": "lstm", "gru_before": "gru"}


def from_haiku(name: str, weights: Mapping[str, Mapping[str, Any]], module: str | None = None) -> Any:
    """Parameters of the cell `name` of CELLS from what `init` of a transformed function gave. `module` is the path
    of the core: "lstm" unless told otherwise, "my_net/~/lstm" if it was made inside another module.
    """
    where = "from_haiku"
    known(where, name, CELLS, OTHERS)
    module = module or MODULES[name]
    count = COUNT[name]
    if name == "elman":
        one, other = (f"{module}/linear{number}" for number in ("", "_1"))
        parts = {f"{other}.w": (take(where, weights, other, "w"), "N GN")}
        parts[f"{one}.w"] = (take(where, weights, one, "w"), "D GN")
        parts[f"{one}.b"] = (take(where, weights, one, "b"), "GN")
        if "b" in weights[other]:  # not with double_bias=False
            parts[f"{other}.b"] = (weights[other]["b"], "GN")
        w_h, w_x, *biases = fit(where, name, parts)
        return assemble(name, Gates(beside(w_x, 1), beside(w_h, 1), *(b[None] for b in biases)))
    if name == "lstm":
        linear = f"{module}/linear"
        b, w = fit(
            where,
            name,
            {
                f"{linear}.b": (take(where, weights, linear, "b"), "GN"),
                f"{linear}.w": (take(where, weights, linear, "w"), "M GN"),
            },
        )
        units = b.size // count
        if w.shape[0] <= units:
            raise ValueError(f"{where}: {linear}.w is {list(w.shape)}, expected [D + N, 4N] with N = {units}")
        gates = Gates(beside(w[:-units], count), beside(w[-units:], count), b.reshape(count, units))
        return assemble(name, _shifted(ordered(gates, (0, 2, 1, 3)), 1))
    keys = {"w_h": "N GN", "w_i": "D GN", "b": "GN"}
    parts = {f"{module}.{key}": (take(where, weights, module, key), shape) for key, shape in keys.items()}
    w_h, w_x, b = fit(where, name, parts)
    gates = Gates(beside(w_x, count), beside(w_h, count), b.reshape(count, -1))
    return assemble(name, _turned(ordered(gates, (1, 0, 2))))


def to_haiku(name: str, params: Any, module: str | None = None) -> dict[str, dict[str, np.ndarray]]:
    """The inverse of `from_haiku`: a tree for `apply` of a transformed function."""
    known("to_haiku", name, CELLS, OTHERS)
    gates = take_apart("to_haiku", name, params)
    module = module or MODULES[name]
    if name == "elman":
        first = {"w": flat(gates.w_x), "b": flat(gates.b_x)}
        return {f"{module}/linear": first, f"{module}/linear_1": {"w": flat(gates.w_h), "b": flat(gates.b_h)}}
    if name == "lstm":
        gates = ordered(_shifted(gates, -1), (0, 2, 1, 3))
        return {f"{module}/linear": {"w": np.concatenate([flat(gates.w_x), flat(gates.w_h)]), "b": flat(gates.b_x)}}
    gates = ordered(_turned(gates), (1, 0, 2))
    return {module: {"w_i": flat(gates.w_x), "w_h": flat(gates.w_h), "b": flat(gates.b_x)}}


def _shifted(gates: Gates, by: int) -> Gates:
    """With a number added to the biases of f."""
    b = np.array(gates.b_x)
    b[1] += by
    return gates._replace(b_x=b)


def _turned(gates: Gates) -> Gates:
    """With the opposite sign of everything that enters z: sigmoid(-a) = 1 - sigmoid(a)."""
    sign = np.array([1, -1, 1], gates.w_x.dtype)[:, None]
    return gates._replace(w_x=gates.w_x * sign, w_h=gates.w_h * sign, b_x=gates.b_x * sign)
