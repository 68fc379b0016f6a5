"""The cells of rnnx/cells/linear."""

ORACLES = {}
