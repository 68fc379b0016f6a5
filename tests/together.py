"""Runs of training on several devices and in several processes."""

import os
import pathlib
import socket
import subprocess

import numpy as np
import processes

from experiments import quick


def start(devices: int, *flags: str) -> subprocess.Popen:
    env = {**os.environ, "XLA_FLAGS": quick.flags(), "JAX_NUM_CPU_DEVICES": str(devices), "JAX_ENABLE_X64": "1"}
    return processes.start("train", *flags, env=env)


def end(process: subprocess.Popen, timeout: float = 240) -> tuple[int, str, str]:
    """(status, standard output, standard error); whatever still runs after `timeout` is ended, and that is an error."""
    if process.stdout is None or process.stdout.closed:
        return process.returncode, "", ""
    try:
        out, err = process.communicate(timeout=timeout)
    finally:
        process.kill()
    return process.returncode, out, err


def port() -> int:
    """One that nobody listens on."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        return free.getsockname()[1]


def pair(*flags: str, devices: int = 2) -> list[subprocess.Popen]:
    """Two processes of one run."""
    where = f"--coordinator=127.0.0.1:{port()}"
    return [start(devices, *flags, where, f"--process={i}", "--processes=2") for i in (0, 1)]


def losses(path: pathlib.Path) -> np.ndarray:
    return np.array([row["loss"] for row in processes.rows(path / "metrics.jsonl")])
