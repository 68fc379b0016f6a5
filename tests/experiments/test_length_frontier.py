"""How long a sequence each cell learns: the frontier itself, and the program around it."""

import json
import math
import re

import processes
import pytest
from programs import call, refused, tree

from experiments.length_frontier.settings import LENGTHS
from experiments.length_frontier.summary import frontiers, summarise
from rnnx.tasks import TASKS

FILES = {"results.jsonl", "summary.csv", "summary.json", "run.json", "config.flags", "length_frontier.png",
         "length_frontier.svg"}  # fmt: skip
SMALL = ("--smoke", "--cells=elman,gru", "--lengths=8,6")


def row(length: int, rate: float, seed: int, solved: int | None, cell: str = "gru", loss: float = 0.1) -> dict:
    fade = {"slope_log10_per_step": -0.1, "log10_norm_first": -1.0}
    return {"cell": cell, "length": length, "learning_rate": rate, "seed": seed, "solved_step": solved,
            "best_loss": loss, **fade}  # fmt: skip


def test_a_length_counts_at_its_best_rate():
    """More seeds first, then fewer updates; a rate that solves nothing is taken only if all do that."""
    rows = [row(10, 0.1, 0, 500), row(10, 0.1, 1, None), row(10, 0.01, 0, 900), row(10, 0.01, 1, 700)]
    rows += [row(20, 0.1, 0, 300), row(20, 0.1, 1, 100), row(20, 0.01, 0, 400), row(20, 0.01, 1, 400)]
    rows += [row(40, 0.1, 0, None, loss=0.5), row(40, 0.1, 1, None), row(40, 0.01, 0, None, loss=0.05),
             row(40, 0.01, 1, None)]  # fmt: skip
    told = [(line["length"], line["learning_rate"], line["success"], line["median_steps"]) for line in summarise(rows)]
    assert told == [(10, 0.01, 1.0, 800), (20, 0.1, 1.0, 200), (40, 0.01, 0.0, math.inf)]


@pytest.mark.parametrize(
    ("curve", "length", "beyond"),
    [
        ({10: 1.0, 40: 0.0}, 20.0, ""),  # half way, by the logarithm
        ({10: 1.0, 20: 0.5, 40: 0.0}, 20.0, ""),
        ({10: 1.0, 20: 0.75, 40: 0.25, 80: 1.0}, math.sqrt(20 * 40), ""),  # the first crossing counts
        ({10: 0.4, 20: 0.0}, 10.0, "below"),
        ({10: 0.4, 20: 1.0}, 10.0, "below"),
        ({10: 1.0, 20: 0.5}, 20.0, "above"),
    ],
)
def test_the_frontier_is_where_one_half_is_crossed(curve, length, beyond):
    lines = [{"cell": "gru", "length": t, "success": s} for t, s in curve.items()]
    assert frontiers(lines) == {"gru": {"length": pytest.approx(length), "beyond": beyond}}


def test_tasks_are_those_of_any_length():
    """Data that lie in a file, or in images, have the lengths they have."""
    given = {name for name, task in TASKS.items() if not hasattr(task, "count")}
    assert set(LENGTHS) == given and all(len(lengths) > 1 for lengths in LENGTHS.values())


@pytest.fixture(scope="module")
def found(tmp_path_factory):
    """One run, looked at by several tests: (directory, exit status)."""
    path = tmp_path_factory.mktemp("frontier") / "run"
    return path, call("length_frontier", *SMALL, f"--out={path}")


def test_files_and_rows(found):
    path, status = found
    assert status == 0 and {p.name for p in path.iterdir()} - {"source.diff", ".lock", ".sums.json"} == FILES
    rows = processes.rows(path / "results.jsonl")
    grid = [(r["cell"], r["length"], r["learning_rate"], r["seed"]) for r in rows]
    assert grid == [(c, t, rate, s) for c in ("elman", "gru") for t in (6, 8) for rate in (1e-3, 1e-2) for s in (0, 1)]
    assert all(r["solved_step"] is None and 0.01 < r["best_loss"] < 10 and r["steps"] == 4 for r in rows)
    slopes = {(r["cell"], r["length"], r["seed"]): r["slope_log10_per_step"] for r in rows}
    assert all(slope < 0 for slope in slopes.values()) and len(set(slopes.values())) == 8
    summary = processes.strict((path / "summary.json").read_text())
    assert summary["frontiers"]["gru"] == {"length": 6.0, "beyond": "below"} and summary["smoke"] is True
    losses = {(r["learning_rate"], r["seed"]): r["best_loss"] for r in rows[:4]}
    assert losses[1e-3, 0] != losses[1e-2, 0] != losses[1e-2, 1], "rates and seeds are runs of their own"


def test_the_same_command_keeps_what_is_there(found, capsys):
    """A unit that is missing is measured again, and ends in the same bytes."""
    path, _ = found
    before = {name: (path / name).read_bytes() for name in FILES - {"run.json"}}
    lines = before["results.jsonl"].decode().splitlines(keepends=True)
    (path / "results.jsonl").write_text("".join(lines[:12]))  # three of four units
    assert call("length_frontier", *SMALL, f"--out={path}") == 0
    assert {name: (path / name).read_bytes() for name in FILES - {"run.json"}} == before
    assert re.search(r"T=6 +T=8 +T\*", capsys.readouterr().out)
    assert len(json.loads((path / "run.json").read_text())["starts"]) == 2


@pytest.mark.parametrize(
    ("given", "words"),
    [
        (("--lengths=20",), ("flag --lengths=20", "write two or more")),
        (("--lengths=1,20",), ("flag --lengths=1:", "needs at least 2")),
        (("--cells=lstm(bias=1)",), ("flag --cells=lstm(bias=1):",)),
        (("--task=digits",), ("flag --task=digits", "unknown 'digits'")),
        (("--learning_rates=0.1,-1",), ("flag --learning_rates", "'-1' is not a finite number above 0")),
        (("--learning_rates=0.1,0.1",), ("0.1 stands twice",)),
        (("--variant=urn",), ("flag --variant=urn", "did you mean urnn?")),
    ],
)
def test_bad_input_is_one_line_and_writes_nothing(given, words, tmp_path, capsys):
    status = call("length_frontier", *given, f"--out={tmp_path / 'run'}")
    refused(status, *capsys.readouterr(), words)
    assert tree(tmp_path) == []


def test_dry_run_writes_nothing(tmp_path, capsys):
    assert call("length_frontier", *SMALL, "--dry_run", f"--out={tmp_path / 'run'}") == 0
    assert "4 runs in each of 4 units" in capsys.readouterr().out and tree(tmp_path) == []


def test_help_is_quick_and_imports_no_jax():
    told = processes.help_is_quick("length_frontier")
    assert told.lstrip().startswith("Find the sequence length")
    for flag in ("task", "cells", "lengths", "units", "seeds", "learning_rates", "steps", "out", "smoke", "dry_run"):
        assert re.search(rf"--(\[no\])?{flag}\b", told), flag
