"""Leaky and oscillating cells: time scales by construction, most of them discretised differential equations."""
