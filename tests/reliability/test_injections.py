"""What is not finite ends training with its place, and is in no checkpoint."""

import subprocess
import sys

import processes
import pytest


def injections(*words: str) -> str:
    script = [sys.executable, "tests/reliability/injections.py", *words]
    done = subprocess.run(script, capture_output=True, text=True, cwd=processes.ROOT, timeout=1800)
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


def test_a_few():
    """One for each place; the control is an update that is never reached."""
    assert injections("--few") == "\n5 injections, 1 controls: 0 wrong\n"


@pytest.mark.full
def test_every_place_at_first_in_the_middle_and_at_last():
    assert "48 injections, 3 controls: 0 wrong" in injections()
