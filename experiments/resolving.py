"""Settings as the values of flags, and the directory that belongs to them."""

import hashlib
from typing import Any

from experiments.cell_specs import CellSpec
from experiments.sharding import Shard


def spelled(name: str, value: Any) -> str:
    """A value as its flag takes it."""
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, (CellSpec, Shard)):
        return str(value)
    if isinstance(value, tuple):
        one = name == "seeds" and len(value) == 1  # 7, is seed 7
        return ",".join(spelled(name, part) for part in value) + ("," if one else "")
    return repr(value) if isinstance(value, float) else str(value)


def directory(program: str, resolved: dict[str, str]) -> str:
    """A name made of the resolved flags, so that the same command finds its run again."""
    told = "".join(f"{name}={value}\n" for name, value in resolved.items())
    return f"runs/{program}/{hashlib.sha256(told.encode()).hexdigest()[:12]}"
