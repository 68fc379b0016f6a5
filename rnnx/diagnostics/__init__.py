"""What the dynamics and the gradients are doing."""

from rnnx.diagnostics.decay import half_life, share_below_float32, slope
from rnnx.diagnostics.flow import Curve, Flow, flow
from rnnx.diagnostics.scaled import log10_norm

__all__ = ["Curve", "Flow", "flow", "half_life", "log10_norm", "share_below_float32", "slope"]
