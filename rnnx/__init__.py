"""A laboratory for recurrent networks in JAX: any cell, any way through time, any gradient, measured."""

from rnnx import cells, diagnostics, gradients, scans, tasks, types
from rnnx.scans import scan

__all__ = ["cells", "diagnostics", "gradients", "scan", "scans", "tasks", "types"]
__version__ = "0.1.0"
