"""Ways to take a cell THROUGH TIME: one answer, many costs."""

from rnnx.scans.associative import Associative
from rnnx.scans.bidirectional import bidirectional
from rnnx.scans.checkpointed import Checkpointed
from rnnx.scans.deferred import Deferred
from rnnx.scans.door import report, scan
from rnnx.scans.exponent import exponent
from rnnx.scans.generate import generate
from rnnx.scans.methods import METHODS, explain
from rnnx.scans.native import Native
from rnnx.scans.newton import Newton, Report
from rnnx.scans.sequential import Sequential
from rnnx.scans.sharded import sharded

__all__ = [
    "METHODS",
    "Associative",
    "Checkpointed",
    "Deferred",
    "Native",
    "Newton",
    "Report",
    "Sequential",
    "bidirectional",
    "explain",
    "exponent",
    "generate",
    "report",
    "scan",
    "sharded",
]
