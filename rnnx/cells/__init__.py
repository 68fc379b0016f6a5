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
from rnnx.cells.wrappers.readout import Readout

__all__ = [
    "CELLS",
    "GRU",
    "INITIALISERS",
    "LSTM",
    "MEMORIES",
    "WRAPPERS",
    "Elman",
    "GRUBefore",
    "Readout",
    "build",
    "elman",
    "from_json",
    "gru",
    "lstm",
    "spell",
    "to_json",
]
