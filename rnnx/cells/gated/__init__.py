"""Cells that decide by gates what to keep and what to take."""
