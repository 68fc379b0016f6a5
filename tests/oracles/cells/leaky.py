"""The cells of rnnx/cells/leaky."""

ORACLES = {}
