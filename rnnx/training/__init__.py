"""One update, pure. optax lives here and nowhere lower."""

from rnnx.training.supervised import OPTIMIZERS, Metrics, Supervised, TrainState

__all__ = ["OPTIMIZERS", "Metrics", "Supervised", "TrainState"]
