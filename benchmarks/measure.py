"""How things are timed here: compiled once, compared first, then run in turns, so that noise falls on all alike."""

import json
import os
import platform
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import jax
import numpy as np


def machine() -> dict[str, Any]:
    """What the numbers were taken on."""
    processor = platform.processor() or platform.machine()
    info = Path("/proc/cpuinfo")
    if info.exists():
        names = [line.split(":")[1].strip() for line in info.read_text().splitlines() if line.startswith("model name")]
        processor = names[0] if names else processor
    return {
        "python": platform.python_version(),
        "jax": jax.__version__,
        "backend": jax.default_backend(),
        "devices": [device.device_kind for device in jax.devices()],
        "processor": processor,
        "cores": os.cpu_count(),
        "load": os.getloadavg()[0],
    }


def compiled(functions: dict[str, Callable[..., Any]], *args: Any) -> dict[str, Any]:
    """Each function compiled for `args`, side by side."""
    lowered = [jax.jit(function).lower(*args) for function in functions.values()]
    with ThreadPoolExecutor() as pool:
        return dict(zip(functions, pool.map(lambda program: program.compile(), lowered), strict=True))


def differences(programs: dict[str, Any], *args: Any) -> dict[str, float]:
    """The largest difference of each program's results from the first one's, relative to the largest entry."""
    told = {name: jax.device_get(program(*args)) for name, program in programs.items()}
    want = jax.tree.leaves(next(iter(told.values())))

    def difference(tree: Any) -> float:
        pairs = zip(jax.tree.leaves(tree), want, strict=True)
        return max(float(np.max(np.abs(a - b), initial=0) / max(np.max(np.abs(b), initial=0), 1e-30)) for a, b in pairs)

    return {name: difference(tree) for name, tree in told.items()}


def milliseconds(programs: dict[str, Any], *args: Any, seconds: float = 2.0) -> dict[str, float]:
    """The median time of each program, in turns for about `seconds` a program (5 to 50 rounds)."""
    times: dict[str, list[float]] = {name: [] for name in programs}
    started, rounds = time.perf_counter(), 0
    while rounds < 5 or (rounds < 50 and time.perf_counter() - started < seconds * len(programs)):
        for name, program in programs.items():
            begin = time.perf_counter()
            jax.block_until_ready(program(*args))
            times[name].append(1e3 * (time.perf_counter() - begin))
        rounds += 1
    return {name: float(np.median(t)) for name, t in times.items()}


def mebibytes(program: Any) -> float:
    """Temporaries of a compiled program."""
    return program.memory_analysis().temp_size_in_bytes / 2**20


def table(rows: list[dict[str, Any]]) -> str:
    """Rows as aligned text; numbers to three digits."""
    if not rows:
        return "(nothing)"
    names = list(dict.fromkeys(name for row in rows for name in row))
    cells = [[_text(row.get(name, "")) for name in names] for row in rows]
    widths = [max(len(text) for text in column) for column in zip(names, *cells, strict=True)]
    lines = [names, *cells]
    return "\n".join("  ".join(text.rjust(w) for text, w in zip(line, widths, strict=True)) for line in lines)


def _text(value: Any) -> str:
    return f"{value:.3g}" if isinstance(value, float) else str(value)


def geometric_mean(ratios: list[float]) -> float:
    return float(np.exp(np.mean(np.log(ratios))))


def write(path: str, told: dict[str, Any]) -> None:
    """As JSON, by rename."""
    target = Path(path)
    target.parent.mkdir(parents=True, exist_ok=True)
    draft = target.with_suffix(".part")
    draft.write_text(json.dumps(told, indent=1, allow_nan=False) + "\n")
    draft.replace(target)
