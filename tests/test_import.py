"""What `import rnnx` brings along, and what it costs, each in a process of its own."""

import os
import subprocess
import sys

import pytest

import rnnx

HEAVY = ("orbax", "absl", "matplotlib", "flax", "optax", "sklearn")


def run(program: str, leave: tuple[str, ...] = ()) -> str:
    """The output of a Python program that shares with this one only the path and the variables, less `leave`."""
    path = os.pathsep.join(filter(None, sys.path))
    done = subprocess.run(
        [sys.executable, "-c", program],
        env={name: value for name, value in os.environ.items() if name not in leave} | {"PYTHONPATH": path},
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


def cost(module: str) -> float:
    """Processor time of `import jax, <module>` over that of `import jax`, taken one after the other in one process.

    So a neighbour that takes the core does not count, and one that slows it slows both. Bytecode is kept, as it is
    wherever rnnx is installed: compiling the sources is no cost of importing them twice.
    """
    program = f"""
from time import process_time
start = process_time()
import jax
between = process_time()
import {module}
print((process_time() - start) / (between - start))
"""
    return float(run(program, leave=("PYTHONDONTWRITEBYTECODE",)))


def test_rnnx_costs_little_beside_jax():
    """At most half as much again; best of up to five, of which the first may have to compile."""
    assert any(cost("rnnx") < 1.5 for _ in range(5))
    assert any(cost("rnnx.training") > 1.5 for _ in range(5))  # the control: flax and optax are dear


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
