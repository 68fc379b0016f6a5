"""Every cell by its name: one line each. `CELLS[name](inputs, units)` is legal for all inputs, units >= 1."""

from rnnx.cells.gated.gru import GRU, GRUBefore
from rnnx.cells.gated.lstm import LSTM
from rnnx.cells.simple.elman import Elman
from rnnx.cells.wrappers.readout import Readout

CELLS = {
    # simple
    "elman": Elman,
    # gated
    "lstm": LSTM,
    "gru": GRU,
    "gru_before": GRUBefore,
    # leaky
    # unitary
    # linear
    # matrix
}

# Cells made of another cell, which they take as their field `cell`.
WRAPPERS = {
    "readout": Readout,
}
