"""The same run makes the same bytes in any process."""

import subprocess
import sys

import processes
import pytest


def same_bytes(*words: str) -> str:
    script = [sys.executable, "tests/reliability/same_bytes.py", *words]
    done = subprocess.run(script, capture_output=True, text=True, cwd=processes.ROOT, timeout=1800)
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


def test_two_processes_make_the_same_bytes():
    assert "0 wrong" in same_bytes("--few", "--processes=2", "--cells=gru", "--units=24")


@pytest.mark.full
def test_five_processes_and_seeds_alone():
    assert "0 wrong" in same_bytes()
