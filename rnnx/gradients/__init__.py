"""Ways to get dL/dparams. An estimator is a value called as `estimator(cell, loss, params, batch, states)`."""

from rnnx.gradients.bptt import BPTT, Estimate

ESTIMATORS = {
    "bptt": BPTT,
}

__all__ = ["BPTT", "ESTIMATORS", "Estimate"]
