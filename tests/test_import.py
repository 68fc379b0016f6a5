"""What `import rnnx` brings along, and what it costs, each in a process of its own."""

import os
import subprocess
import sys

import pytest

import rnnx

HEAVY = ("orbax", "absl", "matplotlib", "flax", "optax", "sklearn")


def run(program: str) -> str:
    """The output of a Python program that shares nothing with this one but the path."""
    path = os.pathsep.join(filter(None, sys.path))
    done = subprocess.run(
        [sys.executable, "-c", program],
        env={**os.environ, "PYTHONPATH": path},
        capture_output=True,
        text=True,
        check=True,
        timeout=120,
    )
    return done.stdout


def brought(module: str) -> set[str]:
    """Those of HEAVY that importing `module` imports."""
    return set(run(f"import sys, {module}\nprint(*(m for m in {HEAVY!r} if m in sys.modules))").split())


def test_rnnx_brings_no_heavy_library():
    """Who imports a cell does not pay for optimizers, checkpoints, figures or flags."""
    assert brought("rnnx") == set()
    assert "optax" in brought("rnnx.training")  # the control: the check sees one that is there


def seconds(module: str) -> float:
    """Processor seconds, not the clock's: a neighbour that takes the core does not count."""
    return float(run(f"import time; start = time.process_time(); import {module}; print(time.process_time() - start)"))


def test_rnnx_costs_little_beside_jax():
    """At most half as much again; interleaved, best of up to five, so that a busy machine slows both."""
    best = {"jax": float("inf"), "rnnx": float("inf")}
    for _ in range(5):
        best = {module: min(least, seconds(module)) for module, least in best.items()}
        if best["rnnx"] < 1.5 * best["jax"]:
            return
    raise AssertionError(best)


def test_what_comes_later_is_there_when_asked_for():
    later = ("diagnostics", "gradients", "tasks")
    program = f"""
import rnnx, sys
assert not [name for name in {later!r} if f"rnnx.{{name}}" in sys.modules]
assert set({later!r}) <= set(dir(rnnx))
print(rnnx.tasks.Adding.__name__, rnnx.diagnostics.__name__, rnnx.gradients.__name__)
"""
    assert run(program).split() == ["Adding", "rnnx.diagnostics", "rnnx.gradients"]
    with pytest.raises(AttributeError, match="no attribute 'nothing'"):
        rnnx.nothing  # noqa: B018  # pyright: ignore[reportAttributeAccessIssue]
