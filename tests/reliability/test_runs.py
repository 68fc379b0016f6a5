"""Runs of training under what happens to processes: kills, signals, a full disk, a neighbour, damage."""

import json
import pathlib
import re
import resource
import signal
import subprocess
import sys
import time

import processes
import pytest
from short_run import RUN, cut_short, end

ROOT = processes.ROOT


def kills(*words: str) -> str:
    script = [sys.executable, "tests/reliability/kills.py", *words]
    done = subprocess.run(script, capture_output=True, text=True, cwd=ROOT, timeout=1800)
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


def test_killed_and_signalled_runs_end_in_the_same_bytes():
    """A few; `python tests/reliability/kills.py --kills=200` is the whole."""
    assert "4 kills (KILL,TERM), 2 inside a save" in kills("--kills=4", "--signal=KILL,TERM")


@pytest.mark.full
def test_fifty_signals_end_with_75():
    assert "0 wrong" in kills("--kills=50", "--signal=TERM,INT,USR2")


@pytest.fixture(scope="module")
def whole(tmp_path_factory) -> pathlib.Path:
    path = tmp_path_factory.mktemp("whole") / "run"
    processes.run("train", *RUN, f"--out={path}")
    return path


@pytest.fixture
def cut(whole, tmp_path) -> pathlib.Path:
    """Unfinished, with rows that no checkpoint knows of."""
    path = cut_short(whole, tmp_path / "run")
    with open(path / "metrics.jsonl", "a") as file:
        file.write('{"kind": "st')
    return path


def test_it_goes_on_from_the_last_whole_checkpoint(cut, whole):
    out, err = processes.run("train", *RUN, f"--out={cut}")
    assert end(cut) == end(whole) and "warning" not in err
    record = json.loads((cut / "run.json").read_text())
    assert record["status"] == "complete" and len(record["starts"]) == 2


def test_damage_is_told_and_made_good(cut, whole):
    """A flipped bit in the newest: one line, the one before is taken, the same end."""
    name = next(p for p in sorted((cut / "checkpoints" / "50" / "arrays").rglob("d/*")) if p.stat().st_size)
    content = bytearray(name.read_bytes())
    content[len(content) // 2] ^= 16
    name.write_bytes(content)
    _, err = processes.run("train", *RUN, f"--out={cut}")
    assert re.fullmatch(
        r"warning: checkpoint 50 in \S+ is rejected: \S+ is not what was written, its SHA-256 differs\n", err
    )
    assert end(cut) == end(whole) and len(list((cut / "checkpoints" / "quarantine").iterdir())) == 1


def test_rows_that_it_did_not_write_are_refused(cut):
    content = bytearray((cut / "metrics.jsonl").read_bytes())
    content[100] ^= 1
    (cut / "metrics.jsonl").write_bytes(content)
    _, err = processes.run("train", *RUN, f"--out={cut}", status=2)
    assert len(err.splitlines()) == 1 and "metrics.jsonl is damaged" in err and "another --out" in err
    assert (cut / "metrics.jsonl").read_bytes() == content
    assert json.loads((cut / "run.json").read_text())["status"] == "running"


def test_when_all_are_damaged_the_way_out_is_told(cut):
    for manifest in (cut / "checkpoints" / "manifests").iterdir():
        manifest.write_text("{}")
    before = (cut / "metrics.jsonl").read_bytes()
    _, err = processes.run("train", *RUN, f"--out={cut}", status=2)
    last = err.splitlines()[-1]
    assert (
        "no usable checkpoint" in last and "start anew" in last and "another --out" in last and "Traceback" not in err
    )
    assert (cut / "metrics.jsonl").read_bytes() == before


def test_a_second_process_is_refused_and_the_first_unharmed(tmp_path, whole):
    path = tmp_path / "run"
    slow = (*RUN, "--steps=200000", "--eval_every=100000", "--checkpoint_every=100000")
    first = processes.start("train", *slow, f"--out={path}")
    while not (path / "metrics.jsonl").exists():
        assert first.poll() is None, first.communicate()
        time.sleep(0.05)
    _, err = processes.run("train", *slow, f"--out={path}", status=2)
    assert re.search(rf"process {first.pid} on \S+ is at work there", err) and len(err.splitlines()) == 1
    first.send_signal(signal.SIGUSR2)
    first.communicate(timeout=60)
    assert first.returncode == 75


def test_a_second_signal_ends_it_at_once(tmp_path):
    path = tmp_path / "run"
    process = processes.start("train", *RUN, "--steps=200000", f"--out={path}")
    while not (path / "metrics.jsonl").exists():
        assert process.poll() is None, process.communicate()
        time.sleep(0.05)
    process.send_signal(signal.SIGSTOP)  # so that it cannot end a chunk between the two
    process.send_signal(signal.SIGINT)
    process.send_signal(signal.SIGTERM)
    process.send_signal(signal.SIGCONT)
    began = time.monotonic()
    process.communicate(timeout=30)
    assert process.returncode in (128 + signal.SIGINT, 128 + signal.SIGTERM) and time.monotonic() - began < 5


def test_a_full_disk_is_told_and_harms_nothing(cut, whole):
    """Files may grow to 16 KB only: what lay there is as it was, and with room again the run ends as ever."""
    code = (
        "import resource, runpy, sys; resource.setrlimit(resource.RLIMIT_FSIZE, (16384, 16384))\n"
        f"sys.argv = ['train', *{list(RUN)!r}, '--out={cut}']\n"
        "runpy.run_module('experiments.train', run_name='__main__')"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, cwd=ROOT, timeout=300)
    assert done.returncode == 2 and "Traceback" not in done.stderr, done.stderr
    assert re.search(r"File too large; \d+ MiB are free there; make room", done.stderr.splitlines()[-1])
    for name in ("run.json", "config.flags"):
        assert (cut / name).read_bytes()
    processes.run("train", *RUN, f"--out={cut}")
    assert end(cut) == end(whole) and resource.getrlimit(resource.RLIMIT_FSIZE)[0] == resource.RLIM_INFINITY
