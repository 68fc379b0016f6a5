"""How much memory there is for what a program computes, and whether it is enough."""

import math
import os

import jax

from experiments.exits import BadInput


def of_device() -> float:
    """Bytes of the first device, of this machine where it is the CPU; infinitely many where nobody knows."""
    device = jax.devices()[0]
    if device.platform == "cpu":
        return os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") if hasattr(os, "sysconf") else math.inf
    return (device.memory_stats() or {}).get("bytes_limit", math.inf)


def check(what: str, moving: float, standing: float, longer: str, devices: int = 1) -> None:
    """Raises BadInput where memory cannot hold the bytes that grow with the length and those that do not.

    They are what cannot be done without, so that nothing is refused that would run. `longer` is the flag of the length
    with its value; `devices` share the work.
    """
    there = of_device() * devices
    needed = moving + standing
    if needed > there:
        flag = longer if moving > standing else "--units"
        raise BadInput(
            f"flag {flag}: {what} needs more than {needed / 2**30:.0f} GiB, the memory has {there / 2**30:.0f}; write "
            f"a smaller {longer.split('=')[0]}, --units, --seeds or --batch_size"
        )
