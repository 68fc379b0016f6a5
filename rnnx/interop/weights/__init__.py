"""Weights of other libraries, read and written as NumPy arrays in the form the library itself hands out.

    params = from_library("keras", "lstm", layer.get_weights())
    layer.set_weights(to_library("keras", "lstm", params))

A cell has the name of its FUNCTION in rnnx, whatever its library calls it: Keras's GRU(reset_after=False) and Haiku's
GRU are "gru_before". What each library gives and takes is told in the file of its name. Every way back is exact, bit
for bit, but for Haiku's forget bias; two biases that only count as their sum are written as the sum and zeros.
"""

from typing import Any

from rnnx.interop.weights.concatenated import from_concatenated, to_concatenated
from rnnx.interop.weights.equinox import from_equinox, to_equinox
from rnnx.interop.weights.haiku import from_haiku, to_haiku
from rnnx.interop.weights.keras import from_keras, to_keras
from rnnx.interop.weights.linen import from_linen, to_linen
from rnnx.interop.weights.nnx import from_nnx, to_nnx
from rnnx.interop.weights.torch import from_torch, to_torch
from rnnx.types import one_of

LIBRARIES = {
    "torch": (from_torch, to_torch),
    "keras": (from_keras, to_keras),
    "linen": (from_linen, to_linen),
    "nnx": (from_nnx, to_nnx),
    "haiku": (from_haiku, to_haiku),
    "equinox": (from_equinox, to_equinox),
    "concatenated": (from_concatenated, to_concatenated),
}


def from_library(library: str, name: str, weights: Any, **place: Any) -> Any:
    """Parameters of the cell `name` of CELLS from the weights of a library's; `place` as its own function takes it."""
    one_of("from_library: library", library, LIBRARIES)
    return LIBRARIES[library][0](name, weights, **place)


def to_library(library: str, name: str, params: Any, **place: Any) -> Any:
    """The inverse of `from_library`."""
    one_of("to_library: library", library, LIBRARIES)
    return LIBRARIES[library][1](name, params, **place)


__all__ = [
    "LIBRARIES",
    "from_concatenated",
    "from_equinox",
    "from_haiku",
    "from_keras",
    "from_library",
    "from_linen",
    "from_nnx",
    "from_torch",
    "to_concatenated",
    "to_equinox",
    "to_haiku",
    "to_keras",
    "to_library",
    "to_linen",
    "to_nnx",
    "to_torch",
]
