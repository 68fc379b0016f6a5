"""Every cell by its name: one line each. `CELLS[name](inputs, units)` is legal for all inputs, units >= 1."""

from rnnx.cells.elman import Elman
from rnnx.cells.gru import GRU
from rnnx.cells.lstm import LSTM
from rnnx.cells.readout import Readout

CELLS = {
    "elman": Elman,
    "gru": GRU,
    "lstm": LSTM,
}

# Cells made of another cell, which they take as their field `cell`.
WRAPPERS = {
    "readout": Readout,
}
