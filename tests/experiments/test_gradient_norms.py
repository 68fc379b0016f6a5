"""The program as its users run it: processes, files, resumption, records."""

import csv
import math
import os
import pathlib
import re
import shutil
import signal
import time
from functools import partial

import numpy as np
import processes
import pytest
import small_files
from processes import ROOT, strict

from experiments import quick

FILES = {"results.jsonl", "flow.npz", "summary.csv", "summary.json", "run.json", "config.flags"}
FIGURES = {"gradient_norms.png", "gradient_norms.svg"}
SMALL = ("--cells=elman(init=orthogonal)", "--lengths=4,6", "--units=5", "--batch_size=3", "--seeds=0,3")


start, run = partial(processes.start, "gradient_norms"), partial(processes.run, "gradient_norms")


def results(path: pathlib.Path) -> dict[str, bytes]:
    """The files that must be byte-identical between equal runs."""
    return {name: (path / name).read_bytes() for name in (FILES | FIGURES) - {"run.json"}}


@pytest.fixture(scope="module")
def trained(tmp_path_factory):
    """One run with training, looked at by several tests: (directory, standard output)."""
    path = tmp_path_factory.mktemp("trained") / "run"
    out, _ = run(*SMALL, "--train_steps=30", "--learning_rate=0.01", f"--out={path}")
    return path, out


def test_help_is_quick_and_imports_no_jax():
    told = processes.help_is_quick("gradient_norms")
    assert told.lstrip().startswith("Measure how the gradient")
    for flag in ("task", "cells", "lengths", "units", "seeds", "batch_size", "loss", "train_steps", "optimizer",
                 "learning_rate", "method", "out", "format", "smoke", "dry_run", "variant", "data"):  # fmt: skip
        assert re.search(rf"--(\[no\])?{flag}\b", told), flag


def test_files_and_rows(trained):
    path, out = trained
    assert {p.name for p in path.iterdir()} - {"source.diff", ".lock", ".sums.json"} == FILES | FIGURES
    rows = [strict(line) for line in (path / "results.jsonl").read_text().splitlines()]
    grid = [(r["cell"], r["length"], r["trained_steps"], r["seed"]) for r in rows]
    cell = "elman(init=orthogonal)"
    assert grid == [(cell, length, steps, seed) for length in (4, 6) for steps in (0, 30) for seed in (0, 3)]
    pinned = "cell task length seed trained_steps log10_norm_first log10_norm_last slope_log10_per_step".split()
    for row in rows:
        assert set(pinned) <= set(row)
        assert all(math.isfinite(row[name]) for name in pinned[5:])
    assert rows[0]["parameters_sha256"] != rows[2]["parameters_sha256"], "training changed nothing"
    assert len({row["loss"] for row in rows}) == len(rows)
    assert cell in out and "T=4" in out and "after 30 steps of training" in out and str(path) in out


def test_flow_arrays_are_what_the_rows_say(trained):
    path, _ = trained
    with np.load(path / "flow.npz", allow_pickle=False) as arrays:
        kinds = ("state_mean", "state_of_mean", "input_mean")
        assert set(arrays.files) == {
            f"elman(init=orthogonal)/{n}/{steps}/{kind}" for n in (4, 6) for steps in (0, 30) for kind in kinds
        }
        for line in (path / "results.jsonl").read_text().splitlines():
            row = strict(line)
            curve = arrays[f"{row['cell']}/{row['length']}/{row['trained_steps']}/state_mean"]
            assert curve.shape == (2, row["length"])
            one = curve[[0, 3].index(row["seed"])]
            assert row["log10_norm_last"] == pytest.approx(float(one[0]), rel=1e-6)
            assert row["log10_norm_first"] == pytest.approx(float(one[-1]), rel=1e-6)
            lags = np.arange(row["length"])
            used = (lags >= 0.1 * row["length"]) & (lags <= 0.9 * row["length"])
            line = np.polyfit(lags[used], one[used].astype(np.float64), 1)
            assert row["slope_log10_per_step"] == pytest.approx(line[0], abs=1e-5)


def test_summaries(trained):
    path, _ = trained
    rows = [strict(line) for line in (path / "results.jsonl").read_text().splitlines()]
    summary = strict((path / "summary.json").read_text())
    with open(path / "summary.csv", newline="") as file:
        table = list(csv.DictReader(file))
    assert summary["schema"] == 1 and summary["smoke"] is False and len(summary["rows"]) == len(table) == 4
    for line, text in zip(summary["rows"], table, strict=True):
        mine = [r["slope_log10_per_step"] for r in rows
                if (r["length"], r["trained_steps"]) == (line["length"], line["trained_steps"])]  # fmt: skip
        assert line["slope_log10_per_step_mean"] == pytest.approx(sum(mine) / 2)
        assert [line["slope_log10_per_step_min"], line["slope_log10_per_step_max"]] == sorted(mine)
        assert float(text["slope_log10_per_step_mean"]) == line["slope_log10_per_step_mean"]


def test_the_record(trained):
    record = strict((trained[0] / "run.json").read_text())
    assert record["schema"] == 1 and record["status"] == "complete" and record["program"] == "gradient_norms"
    for name in ("argv", "flags", "packages", "python", "os", "processor", "devices", "x64", "matmul_precision", "prng",
                 "environment", "seeds", "started", "ended", "state_sha256", "files_sha256", "git"):  # fmt: skip
        assert name in record
    assert record["seeds"] == [0, 3] and record["x64"] is False and record["data_sha256"] is None
    allowed = {"XLA_FLAGS", "JAX_PLATFORMS", "JAX_ENABLE_X64", "JAX_DEFAULT_MATMUL_PRECISION", "JAX_NUM_CPU_DEVICES"}
    assert set(record["environment"]) <= allowed


def test_figures_are_pictures(trained):
    png, svg = ((trained[0] / name).read_bytes() for name in sorted(FIGURES))
    assert png.startswith(b"\x89PNG") and len(png) > 20_000
    assert svg.startswith(b"<?xml") and b"elman(init=orthogonal)" in svg or b"<path" in svg


def test_config_flags_runs_it_again_to_the_same_bytes(trained, tmp_path):
    run(f"--flagfile={trained[0]}/config.flags", f"--out={tmp_path}/again")
    assert results(tmp_path / "again") == results(trained[0])


def test_a_finished_run_is_shown_again_in_any_format(trained):
    path, _ = trained
    before = (path / "run.json").read_bytes()
    flags = (f"--flagfile={path}/config.flags", f"--out={path}")
    out, err = run(*flags, "--format=json")
    assert len(strict(out)) == 4 and "results.jsonl" in err, "machine formats keep standard output clean"
    out, _ = run(*flags, "--format=csv")
    assert out == (path / "summary.csv").read_text()
    out, _ = run(*flags, "--format=md")
    assert "| elman(init=orthogonal) |" in out
    assert (path / "run.json").read_bytes() == before, "nothing was run again"


def test_other_flags_are_refused_by_name(trained):
    before = results(trained[0])
    _, err = run(*SMALL, "--train_steps=31", "--learning_rate=0.01", f"--out={trained[0]}", status=2)
    assert "--train_steps=30 (now 31)" in err and "another --out" in err and err.count("\n") == 1
    assert results(trained[0]) == before


def test_a_seed_does_not_depend_on_the_others(tmp_path):
    """Bit for bit at initialisation; after training to float32's rounding, since XLA may sum two seeds and one in other
    orders (jax 0.10.1 does not, jax 0.12 does in the last bit). Compiled as users compile it."""
    alone = [flag for flag in SMALL if "seeds" not in flag]
    rows = {}
    for seeds in ("0,3", "3,"):
        path = tmp_path / seeds
        flags = (*alone, f"--seeds={seeds}", "--lengths=6", "--train_steps=30", f"--out={path}")
        run(*flags, env={**os.environ, "XLA_FLAGS": ""})
        rows[seeds] = [strict(line) for line in (path / "results.jsonl").read_text().splitlines()]
    for mine, theirs in zip(rows["3,"], [row for row in rows["0,3"] if row["seed"] == 3], strict=True):
        if not mine["trained_steps"]:
            assert mine == theirs
        for name in ("loss", "log10_norm_first", "log10_norm_last", "log10_parameter_norm"):
            assert mine[name] == pytest.approx(theirs[name], rel=1e-5, abs=1e-6), name
    assert rows["3,"][0]["loss"] != rows["0,3"][0]["loss"], "the control: another seed is another number"


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGKILL])
def test_an_interrupted_run_resumes_to_the_same_bytes(number, trained, tmp_path):
    """The signal falls after the first unit; the second command finds it done, and ends in the same bytes."""
    path = tmp_path / "run"
    flags = (*SMALL, "--train_steps=30", "--learning_rate=0.01", f"--out={path}")
    process = start(*flags)
    while not (path / "results.jsonl").exists():
        time.sleep(0.02)
        assert process.poll() is None
    process.send_signal(number)
    _, err = process.communicate(timeout=120)
    if number != signal.SIGKILL:
        assert process.returncode == 75 and "resumes" in err
        assert strict((path / "run.json").read_text())["status"] == "interrupted"
    half = (path / "results.jsonl").read_bytes()
    assert half.count(b"\n") == 4, "one unit, all its seeds, whole"
    run(*flags)
    assert (path / "results.jsonl").read_bytes().startswith(half)
    assert results(path) == results(trained[0])


def test_a_second_signal_ends_it_at_once(tmp_path):
    process = start(*SMALL, "--lengths=3000", "--units=200", "--train_steps=100000", f"--out={tmp_path}/run")
    while not (tmp_path / "run" / "run.json").exists():
        assert process.poll() is None, process.communicate()
        time.sleep(0.02)
    time.sleep(1.0)  # until it is within its unit: before that the first signal is enough
    process.send_signal(signal.SIGSTOP)  # so that it hears both before it can stop for the first
    process.send_signal(signal.SIGINT)
    process.send_signal(signal.SIGTERM)
    process.send_signal(signal.SIGCONT)
    begin = time.monotonic()
    process.communicate(timeout=60)
    assert process.returncode in (128 + signal.SIGINT, 128 + signal.SIGTERM) and time.monotonic() - begin < 2


def test_a_loss_that_is_not_finite_stops_with_its_place(tmp_path):
    _, err = run(
        "--cells=elman(nonlinearity=identity)", "--lengths=40", "--units=8", "--seeds=5,", "--train_steps=200",
        "--optimizer=sgd", "--learning_rate=1000", f"--out={tmp_path}/run", status=3,
    )  # fmt: skip
    line = err.splitlines()[-1]
    assert re.match(r"error: .*cell elman\(nonlinearity=identity\), length 40, seed 5, step \d+", line)
    assert strict((tmp_path / "run" / "run.json").read_text())["status"] == "non-finite"


def test_without_matplotlib_the_run_succeeds_and_says_so(tmp_path):
    (tmp_path / "matplotlib.py").write_text("raise ModuleNotFoundError('matplotlib')")
    path = os.pathsep.join([str(tmp_path), str(ROOT)])
    _, err = run(
        *SMALL,
        f"--out={tmp_path}/run",
        env={**os.environ, "PYTHONPATH": path, "XLA_FLAGS": quick.flags()},
    )
    assert "pip install 'rnnx[lab]'" in err
    assert {p.name for p in (tmp_path / "run").iterdir()} - {"source.diff", ".lock", ".sums.json"} == FILES


@pytest.mark.parametrize(
    "flags",
    [
        ("--task=digits", "--lengths=8", "--cells=gru"),
        ("--task=text", "--lengths=5", "--loss=all", "--cells=lstm"),
        ("--task=copy", "--variant=variable", "--lengths=3", "--cells=gru"),
        ("--task=adding", "--variant=hs97", "--lengths=30", "--cells=lstm(forget_bias=2)"),
    ],
    ids=lambda flags: flags[0],
)
def test_every_task(flags, tmp_path):
    run(*flags, "--smoke", "--units=4", "--seeds=1", "--train_steps=1", f"--out={tmp_path}/run")
    rows = [strict(line) for line in (tmp_path / "run" / "results.jsonl").read_text().splitlines()]
    assert [row["trained_steps"] for row in rows] == [0, 1] and math.isfinite(rows[1]["slope_log10_per_step"])
    record = strict((tmp_path / "run" / "run.json").read_text())
    assert record["smoke"] is True
    assert bool(record["data_sha256"]) == (flags[0] in ("--task=digits", "--task=text"))


@pytest.mark.parametrize("task", ["images", "series", "recordings", "music"])
def test_every_task_that_reads_a_file(task, tmp_path):
    """With padding, with targets of many columns, and where the file is a directory."""
    file = small_files.of_all(tmp_path)[task]
    flags = (f"--task={task}", f"--data={file}", "--lengths=8", "--smoke", "--cells=gru", "--units=4", "--seeds=1,")
    run(*flags, "--loss=all", "--train_steps=1", f"--out={tmp_path}/run")
    rows = [strict(line) for line in (tmp_path / "run" / "results.jsonl").read_text().splitlines()]
    assert [row["trained_steps"] for row in rows] == [0, 1] and rows[1]["task"] == task
    assert all(math.isfinite(row[name]) for row in rows for name in ("loss", "slope_log10_per_step", "chance_loss"))
    record = strict((tmp_path / "run" / "run.json").read_text())
    assert record["data_sha256"] and record["flags"]["data"] == file


def test_a_gradient_of_zero_is_no_divergence(tmp_path):
    """A text of one character is predicted without error from the start: the gradient is exactly zero."""
    (tmp_path / "a.txt").write_text("a" * 400)
    run("--smoke", "--task=text", f"--data={tmp_path}/a.txt", "--lengths=8", "--cells=gru", f"--out={tmp_path}/run")
    rows = [strict(line) for line in (tmp_path / "run" / "results.jsonl").read_text().splitlines()]
    assert rows[-1]["log10_norm_last"] is None and rows[-1]["nonfinite"]["log10_norm_last"] == "-inf"


def test_a_lost_file_is_made_again(trained, tmp_path):
    path = tmp_path / "run"
    shutil.copytree(trained[0], path)
    (path / "gradient_norms.png").unlink()
    (path / "summary.csv").unlink()
    run(f"--flagfile={path}/config.flags", f"--out={path}")
    assert results(path) == results(trained[0])


def test_a_start_that_was_killed_at_once_is_taken_up(tmp_path):
    """Nothing but a temporary file, as a kill in the first write leaves it."""
    (tmp_path / "run").mkdir()
    (tmp_path / "run" / ".run.json.77.tmp").write_text("{")
    run(*SMALL, f"--out={tmp_path}/run")
    assert FILES <= {p.name for p in (tmp_path / "run").iterdir()}
