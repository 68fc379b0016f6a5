"""The cells of rnnx/cells/unitary."""

ORACLES = {}
