"""Flax modules around cells: layers, stacks of layers, and the networks that answer what a task asks."""

from rnnx.networks.classifier import POOLS, Classifier
from rnnx.networks.forecaster import Forecaster
from rnnx.networks.language_model import LanguageModel
from rnnx.networks.layers import Bidirectional, Recurrent
from rnnx.networks.pure import Pure
from rnnx.networks.stacked import Stacked, stacked
from rnnx.networks.tagger import Tagger
from rnnx.networks.watch import Seen, Watch

__all__ = [
    "POOLS",
    "Bidirectional",
    "Classifier",
    "Forecaster",
    "LanguageModel",
    "Pure",
    "Recurrent",
    "Seen",
    "Stacked",
    "Tagger",
    "Watch",
    "stacked",
]
