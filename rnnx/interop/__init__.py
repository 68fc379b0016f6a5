"""Doors to other libraries. Nothing in rnnx imports this."""

from rnnx.interop.weights import from_concatenated, from_library, from_torch, to_concatenated, to_library, to_torch

__all__ = ["from_concatenated", "from_library", "from_torch", "to_concatenated", "to_library", "to_torch"]
