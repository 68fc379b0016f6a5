"""What happens in ONE step: equations, weights, initialisers. One family a file, one line in the catalogue."""

from rnnx.cells import elman, gru, lstm
from rnnx.cells.catalogue import CELLS, WRAPPERS
from rnnx.cells.elman import Elman
from rnnx.cells.gru import GRU
from rnnx.cells.initialisers import INITIALISERS
from rnnx.cells.lstm import LSTM
from rnnx.cells.readout import Readout
from rnnx.cells.spelling import build, from_json, spell, to_json

__all__ = [
    "CELLS",
    "GRU",
    "INITIALISERS",
    "LSTM",
    "WRAPPERS",
    "Elman",
    "Readout",
    "build",
    "elman",
    "from_json",
    "gru",
    "lstm",
    "spell",
    "to_json",
]
