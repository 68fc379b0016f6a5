"""One update, one loop, one checkpoint: pure functions. optax and orbax live here and nowhere lower."""

from rnnx.training.batches import Epochs, Fresh, Streams
from rnnx.training.clipping import Clip, Clipped
from rnnx.training.layer_flow import layer_flow
from rnnx.training.learner import NONFINITE, Learner, Metrics, TrainState
from rnnx.training.loop import specs, steps_of
from rnnx.training.objectives import OfCell, OfNetwork
from rnnx.training.rule import OPTIMIZERS, SCHEDULES, Rule
from rnnx.training.scores import Scores, evaluate, scores
from rnnx.training.stopping import Best

__all__ = [
    "NONFINITE",
    "OPTIMIZERS",
    "SCHEDULES",
    "Best",
    "Clip",
    "Clipped",
    "Epochs",
    "Fresh",
    "Learner",
    "Metrics",
    "OfCell",
    "OfNetwork",
    "Rule",
    "Scores",
    "Streams",
    "TrainState",
    "evaluate",
    "layer_flow",
    "scores",
    "specs",
    "steps_of",
]
