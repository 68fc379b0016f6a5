"""Cells made of another cell, which keep its powers."""
