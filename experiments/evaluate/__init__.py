"""Evaluate a trained run."""
