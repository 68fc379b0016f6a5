"""Grids as jobs: what is submitted, what is refused, and that a job which saved is queued again.

Slurm is not here: programs of its names stand in, and the jobs are started, and sent signals, as Slurm does it.
"""

import json
import os
import pathlib
import re
import signal
import subprocess
import sys
import time

import processes
import pytest
from programs import call, refused, tree

from experiments import quick
from experiments.submit import program
from experiments.submit.job import Ended, Job
from experiments.submit.options import Settings

GRID = ("experiments.length_frontier", "--smoke", "--cells=elman,gru", "--lengths=8,6")
SMALL = ("experiments.length_frontier", "--smoke", "--cells=elman", "--lengths=8,6")
WORK = """
import pathlib, sys, time
from experiments.exits import Interrupted
from experiments.interrupts import Interrupts

*_, out = sys.argv
here, stop = pathlib.Path(out.removeprefix("--out=")).parent, Interrupts()

def work():
    (here / "begun").touch()
    while not (here / "status").exists():
        stop.check()
        time.sleep(0.02)
    return int((here / "status").read_text())

try:
    sys.exit(stop.run(work))
except Interrupted:
    (here / "saved").touch()
    sys.exit(75)
"""  # a program that works until it is told how to end, or to stop


def submit(*given: str) -> int:
    return call("submit", *given)


def until(true, what: str, seconds: float = 120.0):
    """What `true` says, as soon as it says something."""
    end = time.monotonic() + seconds
    while not (found := true()):
        assert time.monotonic() < end, what
        time.sleep(0.05)
    return found


def children(process: int) -> list[int]:
    path = pathlib.Path(f"/proc/{process}/task/{process}/children")
    return list(map(int, path.read_text().split())) if path.exists() else []


# ------------------------------------------------------------------------------------------- what is refused


@pytest.mark.parametrize(
    ("given", "words"),
    [
        (("--out=x",), ("no program given", "behind --")),
        (("--out=x", "experiments.train"), ("'experiments.train'", "behind --")),
        (("--out=x", "--", "experiments.trian"), ("'experiments.trian'", "experiments.train")),
        (("--out=x", "--", "os"), ("'os'", "experiments.train")),
        (("--", "experiments.train"), ("--out", "write a directory")),
        (("--out=a%j", "--", "experiments.train"), ("--out", "another")),
        (("--out=a\n#SBATCH b", "--", "experiments.train"), ("--out", "write a directory")),
        (("--out=x", "--partition=a b", "--", "experiments.train"), ("--partition", "short")),
        (("--out=x", "--shards=2", "--", "experiments.train"), ("--shards=2", "leave it out")),
        (("--out=x", "--", *GRID, "--shard=1/2"), ("--shard", "before --")),
        (("--out=x", "--", *GRID, "--out", "y"), ("--out", "before --")),
        (("--out=x", "--", *GRID, "-dry_run"), ("--dry_run", "before --")),
        (("--out=x", "--minutes=1", "--", *GRID), ("--minutes=1", "outside 5 to")),
        (("--out=x", "--shards=5", "--dry_run", "--", *GRID), ("--shard=1/5", "4 shards at most")),
        (("--out=x", "--dry_run", "--", "experiments.train", "--cell=lstn"), ("--cell", "'lstn'", "lstm")),
        (("--out=x", "--dry_run", "--", "experiments.train", "--", "stray"), ("'stray'",)),
    ],
)
def test_what_is_refused(given, words, tmp_path, capfd, monkeypatch):
    monkeypatch.setenv("PYTHONPATH", str(processes.ROOT))
    monkeypatch.chdir(tmp_path)
    refused(submit(*given), *capfd.readouterr(), words)
    assert tree(tmp_path) == []


def test_where_nothing_can_be_submitted(tmp_path, capsys, monkeypatch):
    given = (f"--out={tmp_path / 'run'}", "--", *GRID)
    monkeypatch.setenv("PATH", str(tmp_path))
    refused(submit(*given), *capsys.readouterr(), ("--cluster=slurm", "srun", "--cluster=local"))
    monkeypatch.setitem(sys.modules, "submitit", None)
    refused(submit("--cluster=local", *given), *capsys.readouterr(), ("submitit", "pip install 'rnnx[slurm]'"))
    assert tree(tmp_path) == []


def test_a_dry_run_says_what_would_be_submitted_and_writes_nothing(tmp_path, capsys, monkeypatch):
    monkeypatch.setitem(sys.modules, "submitit", None)
    assert submit("--shards=2", f"--out={tmp_path / 'a b'}", "--dry_run", "--", *GRID) == 0
    out, _ = capsys.readouterr()
    for number in (1, 2):
        assert f"--lengths=8,6 --shard={number}/2 '--out={tmp_path}/a b/{number}'\n" in out
    assert out.startswith("Shard 1: ") and "2 units" in out
    assert out.endswith(f"experiments.report '{tmp_path}/a b'/[0-9]* --out='{tmp_path}/a b'/report\n")
    assert tree(tmp_path) == []


def test_help_is_quick_and_names_every_flag():
    told = processes.help_is_quick("submit")
    for flag in ("cluster", "shards", "out", "minutes", "requeues", "cpus", "gpus", "memory", "partition", "dry_run"):
        assert re.search(rf"--(\[no\])?{flag}\b", told), flag


# -------------------------------------------------------------------------------------- processes as a cluster


def test_a_grid_in_local_shards_is_the_whole_grid_though_one_was_told_to_save(tmp_path):
    """Two jobs; one hears what Slurm sends before the end of its time, is started again, and the report has all."""
    pytest.importorskip("submitit")
    out = tmp_path / "grid"
    command = [
        sys.executable,
        "-m",
        "experiments.submit",
        "--cluster=local",
        "--shards=2",
        f"--out={out}",
        "--",
        *SMALL,
    ]
    env = {**os.environ, "XLA_FLAGS": quick.flags()}
    with open(tmp_path / "told", "w") as file:  # a pipe would stay open as long as the jobs
        subprocess.run(command, check=True, stdout=file, cwd=processes.ROOT, env=env)
    jobs = re.findall(r"^(\d+)  shard ./2  (.*)$", (tmp_path / "told").read_text(), re.MULTILINE)
    assert [path for _, path in jobs] == [str(out / "1"), str(out / "2")]
    until((out / "1" / "run.json").exists, "the first shard does not begin")
    (task,) = children(int(jobs[0][0]))
    for process in (*children(task), task):
        os.kill(process, signal.SIGUSR2)
    logs = [out / "jobs" / f"{job}_0_log.out" for job, _ in jobs]

    def done():
        return all(path.exists() and "Exiting after successful completion" in path.read_text() for path in logs)

    until(done, "the shards do not end", 240.0)
    assert "Requeued job" in logs[0].read_text() and "Requeued job" not in logs[1].read_text()
    records = [json.loads((out / name / "run.json").read_text()) for name in "12"]
    assert [record["status"] for record in records] == ["complete"] * 2
    assert [len(record["starts"]) for record in records] == [2, 1]
    report, err = processes.run("report", str(out / "1"), str(out / "2"), "--format=json")
    assert len(json.loads(report)) == 2 and "missing" not in err
    report, err = processes.run("report", str(out / "1"), "--format=json")
    assert len(json.loads(report)) == 1 and "missing" in err, "the control: half of it"


# ------------------------------------------------------------------------------------------------- as Slurm


@pytest.fixture
def slurm(tmp_path, monkeypatch):
    """A directory where what stands in for Slurm keeps what it was told."""
    pytest.importorskip("submitit")
    tools = tmp_path / "tools"
    tools.mkdir()
    for name, text in (
        ("srun", ""),
        ("sbatch", f'cp "$1" "{tmp_path}/script"; echo Submitted batch job 77'),
        ("scontrol", f'echo "$@" >> "{tmp_path}/scontrol"'),
    ):
        (tools / name).write_text(f"#!/bin/sh\n{text}\n")
        (tools / name).chmod(0o755)
    (tmp_path / "work.py").write_text(WORK)
    monkeypatch.setenv("PATH", f"{tools}{os.pathsep}{os.environ['PATH']}")
    monkeypatch.setenv("PYTHONPATH", f"{tmp_path}{os.pathsep}{processes.ROOT}")
    for name in [name for name in os.environ if name.startswith(("SLURM_", "SUBMITIT_"))]:
        monkeypatch.delenv(name)
    return tmp_path


def settings(out: pathlib.Path, **given) -> Settings:
    usual = {"cluster": "slurm", "shards": 2, "minutes": 60, "requeues": 20, "cpus": 2, "gpus": 0, "memory": None}
    usual |= {"partition": None, "dry_run": False}
    return Settings("work", (), out=str(out / "grid"), **{**usual, **given})


def started(out: pathlib.Path) -> subprocess.Popen:
    """The first job of the array, as the script starts it."""
    env = {"SUBMITIT_EXECUTOR": "slurm", "SLURM_JOB_ID": "78", "SLURM_ARRAY_JOB_ID": "77", "SLURM_ARRAY_TASK_ID": "0"}
    command = [sys.executable, "-m", "submitit.core._submit", str(out / "grid" / "jobs")]
    (out / "grid" / "begun").unlink(missing_ok=True)
    job = subprocess.Popen(command, env={**os.environ, **env}, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE)
    until((out / "grid" / "begun").exists, "the program does not begin")
    return job


def ended(job: subprocess.Popen) -> tuple[int, str]:
    _, err = job.communicate(timeout=60)
    return job.returncode, err.decode()


def sent(job: subprocess.Popen, *numbers: int) -> None:
    """To all processes of the job, which is how Slurm does it."""
    (work,) = children(job.pid)
    for number in numbers:
        for process in (work, job.pid):
            os.kill(process, number)


def told(out: pathlib.Path) -> str:
    """What scontrol was asked for."""
    return (out / "scontrol").read_text() if (out / "scontrol").exists() else ""


def test_the_script_of_an_array(slurm, capsys):
    assert program._submit(settings(slurm, gpus=1, memory=4, partition="short", minutes=30)) == 0
    assert [line.split()[:3] for line in capsys.readouterr().out.splitlines()] == [
        ["77_0", "shard", "1/2"],
        ["77_1", "shard", "2/2"],
    ]
    script = (slurm / "script").read_text()
    for line in ("array=0-1%2", "cpus-per-task=2", "gpus-per-node=1", "mem=4GB", "partition=short", "time=30",
                 "signal=USR2@120"):  # fmt: skip
        assert f"#SBATCH --{line}\n" in script, line
    (slurm / "tools" / "sbatch").write_text("#!/bin/sh\necho sbatch: error: invalid partition specified >&2; exit 1\n")
    (slurm / "work.py").write_text("print('ready')")
    with pytest.raises(program.BadInput, match="nothing was submitted: sbatch: error: invalid partition specified; "):
        program.run(settings(slurm, partition="shrt"))


def test_a_job_that_saved_is_queued_again(slurm):
    """However often the signals come, and to whom; started again it does the same, to the end."""
    program._submit(settings(slurm))
    job = started(slurm)
    sent(job, signal.SIGTERM, signal.SIGUSR2, signal.SIGUSR2)
    status, err = ended(job)
    assert status == 255 and told(slurm) == "requeue 77_0\n", err
    assert (slurm / "grid" / "saved").exists() and not list((slurm / "grid" / "jobs").glob("*result*"))
    job = started(slurm)
    (slurm / "grid" / "status").write_text("0")
    assert ended(job)[0] == 0 and told(slurm) == "requeue 77_0\n"
    assert list((slurm / "grid" / "jobs").glob("77_0_*result*"))


def test_a_job_that_failed_is_not_queued_again(slurm):
    program._submit(settings(slurm))
    job = started(slurm)
    (slurm / "grid" / "status").write_text("3")
    status, err = ended(job)
    assert status == 1 and "work ended with status 3" in err and told(slurm) == ""


def test_a_job_whose_time_ends_too_often_is_not_queued_again(slurm):
    program._submit(settings(slurm, requeues=0, minutes=5))
    job = started(slurm)
    sent(job, signal.SIGUSR2)
    status, err = ended(job)
    assert status == 1 and "too many times" in err and told(slurm) == ""
    assert (slurm / "grid" / "saved").exists()


def test_a_job_that_is_cancelled_saves_and_waits_for_slurm_to_end_it(slurm):
    program._submit(settings(slurm))
    job = started(slurm)
    sent(job, signal.SIGTERM)
    until((slurm / "grid" / "saved").exists, "it does not save")
    time.sleep(0.5)
    assert job.poll() is None and told(slurm) == ""
    job.kill()
    job.communicate()


# ------------------------------------------------------------------------------------------------- right here


def test_debug_runs_here_and_has_the_statuses_of_the_program(slurm, capfd):
    (slurm / "grid").mkdir()
    (slurm / "grid" / "status").write_text("0")
    assert program._submit(settings(slurm, cluster="debug")) == 0
    (slurm / "grid" / "status").write_text("3")
    assert program._submit(settings(slurm, cluster="debug")) == 3
    assert capfd.readouterr().err.splitlines() == [f"error: shard {i}/2: work ended with status 3" for i in (1, 2)]
    with pytest.raises(Ended, match="ended with status 3"):
        Job(settings(slurm).command(1))()
