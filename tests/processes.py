"""Programs as their users run them: processes, and what they leave behind."""

import json
import os
import pathlib
import subprocess
import sys
import time

from experiments import quick

ROOT = pathlib.Path(__file__).resolve().parents[1]


def start(program: str, *flags: str, **how) -> subprocess.Popen:
    command = [sys.executable, "-m", f"experiments.{program}", *flags]
    # Nothing here measures numbers: compile quickly.
    how.setdefault("env", {**os.environ, "XLA_FLAGS": quick.flags()})
    return subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, cwd=ROOT, **how)


def run(program: str, *flags: str, status: int = 0, **how) -> tuple[str, str]:
    """(standard output, standard error) of a program that must end with a status."""
    process = start(program, *flags, **how)
    out, err = process.communicate(timeout=300)
    assert process.returncode == status, err
    return out, err


def strict(text: str):
    """JSON as the standard has it: no NaN, no Infinity."""

    def refuse(word):
        raise AssertionError(f"{word} is not JSON")

    return json.loads(text, parse_constant=refuse)


def rows(path: pathlib.Path) -> list[dict]:
    """Of a file with one JSON value a line."""
    return [strict(line) for line in path.read_text().splitlines()]


def help_is_quick(program: str) -> str:
    """What --help prints; it must come in a second (of three tries, on a busy machine) and import no JAX, no NumPy."""
    code = (
        "import sys, runpy; sys.argv[1:] = ['--help']\n"
        f"try: runpy.run_module('experiments.{program}', run_name='__main__', alter_sys=True)\n"
        "except SystemExit as stop: print('exit', stop.code, [m for m in ('jax', 'numpy') if m in sys.modules])"
    )
    took = []
    for _ in range(3):
        begin = time.monotonic()
        done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, cwd=ROOT)
        assert done.stdout.rstrip().endswith("exit 0 []"), done.stderr
        took.append(time.monotonic() - begin)
        if took[-1] < 1.0:
            return done.stdout
    raise AssertionError(took)
