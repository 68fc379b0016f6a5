"""Ways to get dL/dparams. An estimator is a value called as `estimator(cell, loss, params, batch, states)`."""

from rnnx.gradients.bptt import BPTT, Estimate
from rnnx.gradients.norm_penalty import norm_penalty
from rnnx.gradients.truncation import Truncated

# By name: how each is made. `truncated` takes the two numbers that say which gradient it is.
ESTIMATORS = {
    "bptt": BPTT,
    "truncated": Truncated,
}

truncated = Truncated  # as the literature writes it: truncated(k1, k2)

__all__ = ["BPTT", "ESTIMATORS", "Estimate", "Truncated", "norm_penalty", "truncated"]
