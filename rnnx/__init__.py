"""A laboratory for recurrent networks in JAX: any cell, any way through time, any gradient, measured."""

from importlib import import_module
from typing import TYPE_CHECKING

from rnnx import cells, scans, types
from rnnx.scans import bidirectional, explain, generate, scan

if TYPE_CHECKING:
    from types import ModuleType

    from rnnx import diagnostics, gradients, tasks

__all__ = [
    "bidirectional",
    "cells",
    "diagnostics",
    "explain",
    "generate",
    "gradients",
    "scan",
    "scans",
    "tasks",
    "types",
]
__version__ = "0.1.0"

# Imported when first asked for: who imports a cell does not wait for tasks and measures.
_LATER = ("diagnostics", "gradients", "tasks")


def __getattr__(name: str) -> "ModuleType":
    if name in _LATER:
        return import_module(f"{__name__}.{name}")
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")


def __dir__() -> list[str]:
    return sorted({*globals(), *_LATER})
