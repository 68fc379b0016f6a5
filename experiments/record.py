"""What a run was: enough to trace every number back to code, versions, machine and data."""

import datetime
import importlib.metadata
import os
import pathlib
import platform
import subprocess
from typing import Any

import jax
import numpy as np

from experiments.run_directory import SCHEMA, digest

PACKAGES = ("rnnx", "jax", "jaxlib", "flax", "optax", "orbax-checkpoint", "numpy", "chex", "absl-py")
ENVIRONMENT = ("XLA_FLAGS", "JAX_PLATFORMS", "JAX_ENABLE_X64", "JAX_DEFAULT_MATMUL_PRECISION", "JAX_NUM_CPU_DEVICES")
ROOT = pathlib.Path(__file__).resolve().parent.parent


def now() -> str:
    return datetime.datetime.now(datetime.UTC).isoformat(timespec="seconds")


def record(program: str, argv: list[str], flags: dict[str, str], **more: Any) -> dict[str, Any]:
    """The content of run.json at the start of a run."""
    return {
        "schema": SCHEMA,
        "program": program,
        "argv": argv[1:],
        "flags": flags,
        **more,
        "status": "running",
        "started": now(),
        "ended": None,
        "git": _git(),
        "packages": {name: _version(name) for name in PACKAGES},
        "python": platform.python_version(),
        "os": platform.platform(),
        "processor": _processor(),
        "devices": [device.device_kind for device in jax.devices()],
        "backend": jax.default_backend(),
        "x64": jax.config.values["jax_enable_x64"],
        "matmul_precision": str(jax.config.values["jax_default_matmul_precision"] or "default"),
        "prng": str(jax.config.values["jax_default_prng_impl"]),
        "environment": {name: os.environ[name] for name in ENVIRONMENT if name in os.environ},
    }


def data_digest(task: Any) -> str | None:
    """SHA-256 of all splits of a task's data, and of what its symbols stand for; None for generated tasks."""
    leaves = [np.ascontiguousarray(leaf) for split in task.splits for leaf in jax.tree.leaves(task.load(split))]
    told = repr(getattr(task, "alphabet", None)).encode()
    return digest(told + b"".join(leaf.tobytes() for leaf in leaves)) if leaves else None


def source_diff() -> str:
    """What the working tree changes against the commit that run.json names; empty without git."""
    return _run("diff", "HEAD") or ""


def _git() -> dict[str, Any] | None:
    commit = _run("rev-parse", "HEAD")
    if commit is None:
        return None
    return {"commit": commit.strip(), "dirty": bool((_run("status", "--porcelain", "-uno") or "").strip())}


def _run(*words: str) -> str | None:
    """git's answer about this source tree, None where there is none."""
    if not (ROOT / ".git").exists():
        return None
    try:
        done = subprocess.run(["git", "-C", str(ROOT), *words], capture_output=True, text=True, timeout=20)
    except (OSError, subprocess.TimeoutExpired):
        return None
    return done.stdout if done.returncode == 0 else None


def _version(name: str) -> str | None:
    try:
        return importlib.metadata.version(name)
    except importlib.metadata.PackageNotFoundError:
        return None


def _processor() -> str:
    try:
        lines = pathlib.Path("/proc/cpuinfo").read_text().splitlines()
        return next(line.split(":", 1)[1].strip() for line in lines if line.startswith("model name"))
    except (OSError, StopIteration):
        return platform.processor() or platform.machine()
