"""Layers seen from outside: what goes into each, and the gradient of what comes out."""

from typing import Any, NamedTuple

from jax import Array


class Seen(NamedTuple):
    """What one recurrent layer met on its way through a sequence."""

    layer: Any  # the Recurrent itself
    xs: Any  # what its cell read, [T, D], in the order of the sequence
    ys: Array  # what it said, [T, O]
    state: Any  # where it started from; None: afresh


class Watch:
    """Handed to a network, it notes each recurrent layer's input and adds `taps[i]` to the output of the i-th.

    Taps of zeros change nothing, and the gradient with respect to them is dL/dys of that layer: all that it takes to
    look at the layer's own backward pass alone. A fresh one for each call.
    """

    def __init__(self, taps: tuple[Array, ...] | None = None):
        self.taps = taps
        self.seen: list[Seen] = []

    def passed(self, layer: Any, xs: Any, ys: Array, state: Any) -> Array:
        """Called by a layer with its input and its output; what it returns goes on instead of ys."""
        self.seen.append(Seen(layer, xs, ys, state))
        return ys if self.taps is None else ys + self.taps[len(self.seen) - 1]
