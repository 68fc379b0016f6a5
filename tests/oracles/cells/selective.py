"""Cells of the family selective."""

ORACLES = {}
