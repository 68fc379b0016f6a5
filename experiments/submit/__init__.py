"""Grids and runs of training as jobs of a cluster."""
