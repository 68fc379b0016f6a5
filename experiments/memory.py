"""How much memory there is for what a program computes."""

import math
import os

import jax


def of_device() -> float:
    """Bytes of the first device, of this machine where it is the CPU; infinitely many where nobody knows."""
    device = jax.devices()[0]
    if device.platform == "cpu":
        return os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") if hasattr(os, "sysconf") else math.inf
    return (device.memory_stats() or {}).get("bytes_limit", math.inf)
