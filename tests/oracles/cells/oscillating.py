"""Cells of the family oscillating."""

ORACLES = {}
