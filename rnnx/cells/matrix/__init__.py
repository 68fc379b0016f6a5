"""Cells whose state is a matrix: memories of key and value."""
