"""Every cell by its name: one line each. `CELLS[name](inputs, units)` is legal for all inputs, units >= 1."""

from rnnx.cells.gated.gru import GRU, GRUBefore
from rnnx.cells.gated.lstm import LSTM
from rnnx.cells.simple.elman import Elman
from rnnx.cells.wrappers.connections import Highway, Residual
from rnnx.cells.wrappers.dropout import DropConnect, Dropout
from rnnx.cells.wrappers.norms import InputNorm, LayerNorm
from rnnx.cells.wrappers.precision import Precision
from rnnx.cells.wrappers.readout import Readout
from rnnx.cells.wrappers.stack import Stack
from rnnx.cells.wrappers.zoneout import Zoneout

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

# Cells made of another cell, which they take as their field `cell` (a stack: of several, its field `cells`).
WRAPPERS = {
    "readout": Readout,
    "stack": Stack,
    "residual": Residual,
    "highway": Highway,
    "layer_norm": LayerNorm,
    "input_norm": InputNorm,
    "zoneout": Zoneout,
    "dropout": Dropout,
    "drop_connect": DropConnect,
    "precision": Precision,
}
