"""A laboratory for recurrent networks in JAX: any cell, any way through time, any gradient, measured."""

from rnnx import cells, diagnostics, gradients, scans, tasks, types
from rnnx.scans import bidirectional, explain, generate, scan

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
