"""Ways to take a cell THROUGH TIME: one answer, many costs."""

from rnnx.scans.door import METHODS, scan
from rnnx.scans.sequential import Sequential

__all__ = ["METHODS", "Sequential", "scan"]
