"""What happens in ONE step: equations, weights, initialisers. One family a file, one line in the catalogue."""

from rnnx.cells.catalogue import CELLS, WRAPPERS
from rnnx.cells.gated import gru, lstm
from rnnx.cells.gated.gru import GRU, GRUBefore
from rnnx.cells.gated.lstm import LSTM
from rnnx.cells.initialisers import INITIALISERS
from rnnx.cells.memory import MEMORIES
from rnnx.cells.simple import elman
from rnnx.cells.simple.elman import Elman
from rnnx.cells.spelling import build, from_json, spell, to_json
from rnnx.cells.wrappers.connections import Highway, Residual
from rnnx.cells.wrappers.dropout import DropConnect, Dropout
from rnnx.cells.wrappers.norms import InputNorm, LayerNorm
from rnnx.cells.wrappers.precision import Precision
from rnnx.cells.wrappers.readout import Readout
from rnnx.cells.wrappers.stack import Stack
from rnnx.cells.wrappers.zoneout import Zoneout

__all__ = [
    "CELLS",
    "DropConnect",
    "Dropout",
    "Elman",
    "GRU",
    "GRUBefore",
    "Highway",
    "INITIALISERS",
    "InputNorm",
    "LSTM",
    "LayerNorm",
    "MEMORIES",
    "Precision",
    "Readout",
    "Residual",
    "Stack",
    "WRAPPERS",
    "Zoneout",
    "build",
    "elman",
    "from_json",
    "gru",
    "lstm",
    "spell",
    "to_json",
]
