"""Reports: of real runs, of runs that a stranger made, and of what is no run."""

import csv
import html.parser
import importlib.util
import json
import os
import re
import shutil
import subprocess
import sys
from typing import Any

import numpy as np
import processes
import programs
import pytest
from absl.testing import flagsaver
from programs import refused, tree

from experiments.gradient_norms.__main__ import main as gradient_norms
from experiments.length_frontier import settings as frontier
from experiments.length_frontier.__main__ import main as length_frontier
from experiments.report.__main__ import main
from experiments.report.options import define
from experiments.run_directory import digest
from experiments.tables import to_csv, to_json

EVIL = """x<script src='http://e.vil'>alert("1")</script>&amp;|`](u)$\\frac"""
TABLES = {"report.html", "report.md", "report.csv", "report.json"}
NORM = {"schema": 1, "task": "adding", "variant": "urnn", "steps": 4, "chance_loss": 0.2, "loss": 0.3,
        "log10_norm_first": -1.5, "log10_norm_last": 0.25, "slope_log10_per_step": -0.5, "half_life_steps": 0.6,
        "share_below_float32": 0.0, "log10_parameter_norm": 0.1}  # fmt: skip
FADE = {"slope_log10_per_step": -0.1, "log10_norm_first": -1.0, "best_loss": 0.1, "steps": 9, "learning_rate": 0.1}
RECORD = {"schema": 1, "status": "complete", "git": {"commit": "c0ffee", "dirty": True}, "argv": ["--a=b c"],
          "packages": {"jax": "0.10.1"}, "python": "3.11.9", "started": "2026-01-02T03:04:05+00:00"}  # fmt: skip


def report(*given: Any) -> int:
    return programs.call(main, define, *map(str, given))


# ------------------------------------------------------------------------------------------ made by hand


def norms(path, cells=("elman",), lengths=(4,), seeds=(0, 1), keep=None, record=(), **flags: str):
    """A run of gradient_norms with numbers that say where they belong."""
    told = {"task": "adding", "variant": "urnn", "cells": ",".join(cells), "lengths": ",".join(map(str, lengths)),
            "units": "8", "seeds": ",".join(map(str, seeds)) + ",", **flags}  # fmt: skip
    names = {"task": told["task"], "variant": told["variant"]}
    rows = [
        NORM | {"cell": c, "length": t, "seed": s, "trained_steps": 0, "loss": t + s / 8, **names}
        for c in cells for t in lengths for s in seeds
    ]  # fmt: skip
    rows = rows if keep is None else [row for row in rows if keep(row)]
    arrays = {}
    for row in rows:
        curve = -np.arange(row["length"], dtype=np.float32)[None] - row["seed"]
        arrays.setdefault(f"{row['cell']}/{row['length']}/0/state_mean", []).append(curve)
    return made(path, "gradient_norms", told, rows, {k: np.concatenate(v) for k, v in arrays.items()}, record)


def lengths(path, cells=("elman",), lengths=(4, 8), seeds=(0, 1), record=(), **flags: str):
    rows = [
        FADE | {"cell": c, "length": t, "seed": s, "solved_step": 5 if t == 4 else None}
        for c in cells for t in lengths for s in seeds
    ]  # fmt: skip
    told = {"task": "adding", "variant": "urnn", "cells": ",".join(cells), "lengths": ",".join(map(str, lengths)),
            "units": "8", "steps": "9", "seeds": ",".join(map(str, seeds)) + ",", **flags}  # fmt: skip
    return made(path, "length_frontier", told, rows, None, record)


def training(path, seeds=(0, 1), updates=4, record=(), **flags: str):
    rows = []
    for step in range(updates + 1):
        for seed in seeds:
            scores = {"loss": 1 / (step + seed + 1), "step_loss": 0.5, "accuracy": 0.25}
            rows.append({"kind": "look", "step": step, "seed": seed, "split": "valid", **scores})
            rows.append({"kind": "flow", "step": step, "seed": seed, "layer": "body", "slope_log10_per_step": -0.1,
                         "lags": [0, 2, 4], "log10_norms": [0.0, -1.0 - step, None]})  # fmt: skip
            if step < updates:
                rows.append({"kind": "step", "step": step, "seed": seed, "loss": 0.7, "log10_gradient_norm": 0.1})
    told = {"task": "adding", "variant": "urnn", "length": "5", "cell": "lstm", "clip_norm": "1.0",
            "seeds": ",".join(map(str, seeds)) + ",", **flags}  # fmt: skip
    made(path, "train", told, rows, None, record)
    if dict(record).get("status", "complete") == "complete":
        test = {"loss": 0.125, "step_loss": 0.5, "accuracy": 0.75}
        told = [{"seed": seed, "steps": updates, "test": test, "first_solved_step": None} for seed in seeds]
        (path / "summary.json").write_text(to_json({"chance_loss": 0.2, "parameters": 9, "rows": told}))
    return path


def made(path, program, flags, rows, arrays, record):
    path.mkdir(parents=True)
    name = "metrics.jsonl" if program == "train" else "results.jsonl"
    (path / name).write_text("".join(map(to_json, rows)))
    names = [name]
    if arrays:
        np.savez(path / "flow.npz", **arrays)
        names.append("flow.npz")
    digests = {name: digest((path / name).read_bytes()) for name in names}
    told = {**RECORD, "program": program, "flags": flags, "files_sha256": digests, **dict(record)}
    if told["status"] != "complete":
        del told["files_sha256"]
    (path / "run.json").write_text(json.dumps(told))
    return path


def edit(path, **changes):
    """Other values in a record; None takes one away."""
    told = json.loads((path / "run.json").read_text()) | changes
    (path / "run.json").write_text(json.dumps({name: value for name, value in told.items() if value is not None}))


# --------------------------------------------------------------------------------------------- real runs


@pytest.fixture(scope="module")
def real(tmp_path_factory):
    """A run of each kind, by the programs themselves."""
    root = tmp_path_factory.mktemp("real")
    with flagsaver.flagsaver():
        assert gradient_norms(["gradient_norms", "--smoke", f"--out={root / 'norms'}"]) == 0
    small = ("--smoke", "--cells=gru", "--lengths=6,8", f"--out={root / 'frontier'}")
    assert programs.call(length_frontier, frontier.define, *small) == 0
    programs.train(root / "train", flow_every="2")
    return root


def test_a_real_run_of_each_kind(real, tmp_path, capsys):
    """Its tables are those of the program, its figures are pictures, its digests are right."""
    out = tmp_path / "out"
    assert report(real / "norms", real / "frontier", real / "train", f"--out={out}") == 0
    told, err = capsys.readouterr()
    assert err == "" and {p.name for p in out.iterdir()} == TABLES | {
        "gradient_norms.png", "length_frontier.png", "learning.png", "flow.png"
    }  # fmt: skip
    for path in out.glob("*.png"):
        assert path.read_bytes().startswith(b"\x89PNG") and path.stat().st_size > 10_000
    answer = processes.strict((out / "report.json").read_text())
    assert [grid["program"] for grid in answer["grids"]] == ["gradient_norms", "length_frontier", "train"]
    assert answer["warnings"] == [] and answer["remarks"] == []
    for one in answer["runs"]:
        assert one["files_sha256"] and all(sha["recorded"] == sha["found"] for sha in one["files_sha256"].values())
    for name, grid in zip(("norms", "frontier"), answer["grids"], strict=False):
        assert grid["results"] == processes.rows(real / name / "results.jsonl")
        summary = processes.strict((real / name / "summary.json").read_text())["rows"]
        assert [{k: line[k] for k in told} for line, told in zip(grid["rows"], summary, strict=True)] == summary
    scores = processes.strict((real / "train" / "summary.json").read_text())["rows"]
    assert [line["loss"] for line in answer["grids"][2]["rows"]] == [row["test_at_best"]["loss"] for row in scores]
    with flagsaver.flagsaver():
        assert gradient_norms(["gradient_norms", "--smoke", f"--out={real / 'norms'}"]) == 0
    for line in capsys.readouterr().out.split(str(real))[0].splitlines():
        assert line in told, "a line of the program's own table is missing"


# ------------------------------------------------------------------------------------------------ merging


def test_seeds_cells_and_lengths_join(tmp_path, capsys):
    norms(tmp_path / "a", seeds=(0, 2))
    norms(tmp_path / "b", seeds=(1, 2), cells=("gru(init=identity)",), lengths=(6,))
    norms(tmp_path / "c", seeds=(1,))
    assert report(tmp_path / "a", tmp_path / "b", tmp_path / "c", f"--out={tmp_path / 'out'}") == 0
    (grid,) = json.loads((tmp_path / "out" / "report.json").read_text())["grids"]
    found = [(row["cell"], row["length"], row["seed"]) for row in grid["results"]]
    assert found == [("elman", 4, s) for s in (0, 1, 2)] + [("gru(init=identity)", 6, s) for s in (1, 2)]
    assert grid["missing"] == [] and "3 runs" in capsys.readouterr().out


def test_other_flags_are_grids_of_their_own(tmp_path, capsys):
    """Named by what tells them apart."""
    norms(tmp_path / "a")
    norms(tmp_path / "b", units="16")
    assert report(tmp_path / "a", tmp_path / "b") == 0
    told, _ = capsys.readouterr()
    assert "adding (urnn), units=8: log10" in told and "adding (urnn), units=16: log10" in told


def test_units_that_do_not_agree_are_refused_by_name(tmp_path, capsys):
    norms(tmp_path / "a")
    norms(tmp_path / "b", seeds=(1, 3))
    assert report(tmp_path / "a", tmp_path / "b") == 0, "the control: seed 1 stands in both, and is the same"
    capsys.readouterr()
    rows = processes.rows(tmp_path / "b" / "results.jsonl")
    rows[0]["loss"] += 1e-9
    (tmp_path / "b" / "results.jsonl").write_text("".join(map(to_json, rows)))
    words = (f"{tmp_path}/a/results.jsonl and {tmp_path}/b/results.jsonl do not agree", "elman T=4, seed 1")
    refused(report(tmp_path / "a", tmp_path / "b"), *capsys.readouterr(), words)


def test_training_may_have_come_further_elsewhere(tmp_path, capsys):
    training(tmp_path / "a", updates=2, record={"status": "interrupted"})
    training(tmp_path / "b", seeds=(1, 5))
    assert report(tmp_path / "a", tmp_path / "b", "--format=csv") == 0
    out, err = capsys.readouterr()
    found = {row["seed"]: (row["steps"], row["split"], row["complete"]) for row in csv.DictReader(out.splitlines())}
    assert found == {"0": ("2", "valid", "False"), "1": ("4", "test", "True"), "5": ("4", "test", "True")}
    assert f"{tmp_path}/a: unfinished, interrupted" in err
    lines = (tmp_path / "b" / "metrics.jsonl").read_text().replace('"loss": 0.7', '"loss": 0.71')
    (tmp_path / "b" / "metrics.jsonl").write_text(lines)
    refused(report(tmp_path / "a", tmp_path / "b"), *capsys.readouterr(), ("do not agree on seed 1",))


# ------------------------------------------------------------------------------------------- not finished


def test_runs_that_are_not_finished_are_told(tmp_path, capsys):
    norms(tmp_path / "a", lengths=(4, 6, 8), keep=lambda row: row["length"] < 8, record={"status": "running"})
    training(tmp_path / "b", record={"status": "interrupted"})
    with open(tmp_path / "b" / "metrics.jsonl", "a") as file:
        file.write('{"kind": "ste')
    lengths(tmp_path / "c", record={"status": "interrupted"})
    (tmp_path / "c" / "results.jsonl").unlink()
    given = [tmp_path / name for name in "abc"]
    assert report(*given, f"--out={tmp_path / 'out'}") == 0
    out, err = capsys.readouterr()
    assert err == ""
    for words in ("a: unfinished, running", "missing: 1 of its units: elman T=8", "b: unfinished, interrupted",
                  "the last row is cut off", "missing: 2 of its units: elman T=4, elman T=8"):  # fmt: skip
        assert words in out and words in (tmp_path / "out" / "report.html").read_text(), words
    edit(tmp_path / "b", status="complete")
    refused(report(tmp_path / "b"), *capsys.readouterr(), ("metrics.jsonl:29: damaged", "no end"))


def test_a_file_that_the_run_did_not_write_is_told(tmp_path, capsys):
    norms(tmp_path / "run")
    assert report(tmp_path / "run", f"--out={tmp_path / 'out'}") == 0
    assert capsys.readouterr().err == "" and 'class="wrong"' not in (tmp_path / "out" / "report.html").read_text()
    text = (tmp_path / "run" / "results.jsonl").read_text()
    (tmp_path / "run" / "results.jsonl").write_text(text.replace("0.25", "0.26"))
    assert report(tmp_path / "run", f"--out={tmp_path / 'out'}") == 0
    err = capsys.readouterr().err
    assert err.startswith("warning: ") and err.count("\n") == 1 and "not the file that the run wrote" in err
    page = (tmp_path / "out" / "report.html").read_text()
    assert page.count('class="wrong"') == 2 and "but run.json says" in page
    assert json.loads((tmp_path / "out" / "report.json").read_text())["warnings"]
    assert "not the file that the run wrote" in (tmp_path / "out" / "report.md").read_text()


# --------------------------------------------------------------------------------------------- the pages


class Page(html.parser.HTMLParser):
    """What a browser would make of it."""

    def __init__(self, text: str):
        super().__init__()
        self.tags, self.open, self.faults, self.boxes, self.policy, self.words = [], [], [], [], "", []
        self.feed(text)
        self.close()
        self.faults += [f"<{tag}> is not closed" for tag in self.open]

    def handle_starttag(self, tag, attrs):
        given = dict(attrs)
        self.tags.append(tag)
        if tag not in ("meta", "img"):
            self.open.append(tag)
        if tag in ("script", "iframe", "object", "embed", "link", "base", "form", "svg"):
            self.faults.append(f"<{tag}>")
        for name, value in given.items():
            if name.startswith("on"):
                self.faults.append(name)
            if name in ("src", "href") and not (value or "").startswith(("data:image/png;base64,", "#")):
                self.faults.append(f"{name}={value}")
        if given.get("http-equiv") == "Content-Security-Policy":
            self.policy = given["content"]
        if tag == "table" and "box" not in self.boxes[-1:]:
            self.faults.append("a table that does not scroll")
        if tag == "div":
            self.boxes.append(given.get("class"))

    def handle_endtag(self, tag):
        if not self.open or self.open.pop() != tag:
            self.faults.append(f"</{tag}> closes nothing")

    def handle_data(self, data):
        if not self.open or self.open[-1] != "style":
            self.words.append(data)


def test_the_page_needs_nothing_and_does_nothing(tmp_path):
    norms(tmp_path / "a")
    training(tmp_path / "b")
    training(tmp_path / "c", cell="gru")
    assert report(tmp_path / "a", tmp_path / "b", tmp_path / "c", f"--out={tmp_path / 'out'}") == 0
    text = (tmp_path / "out" / "report.html").read_text()
    page = Page(text)
    assert page.faults == [] and page.tags.count("img") == 3 and page.tags.count("table") == 6
    assert "default-src 'none'" in page.policy and "script" not in page.policy
    assert not re.search(r"https?://|<script|@import|url\(", re.sub(r"base64,[^\"]*", "", text))
    for words in ('name="viewport"', "@media print", "prefers-color-scheme: dark", "overflow-x: auto"):
        assert words in text
    for words in ("c0ffee, with changes", "jax 0.10.1", "3.11.9", "--units=8", "2026-01-02", "'--a=b c'"):
        assert any(words in one for one in page.words), words


@pytest.mark.parametrize(
    "bad",
    ["<p><script></script></p>", '<img src="http://e.vil/a.png">', '<p onclick="x">a</p>', "<p>", "</p>",
     '<a href="javascript:x">a</a>', "<table></table>"],
)  # fmt: skip
def test_the_page_reader_sees_faults(bad):
    """The control."""
    assert Page(bad).faults and not Page("<p>a &lt;script&gt;</p>").faults


def test_what_a_stranger_wrote_is_text(tmp_path, capsys):
    """A cell, a flag, a word of the command, a directory: markup, formulas and mathematics are shown, not obeyed."""
    path = norms(tmp_path / f"a&{EVIL.replace('/', '')}", cells=(EVIL, "=1+1"), task=EVIL, variant="+v")
    edit(path, argv=["--x=" + EVIL], python=EVIL)
    training(tmp_path / "b", cell=EVIL, variant="@v")
    training(tmp_path / "c", cell="-c", variant="@v")
    assert report(path, tmp_path / "b", tmp_path / "c", f"--out={tmp_path / 'out'}") == 0
    capsys.readouterr()
    text = (tmp_path / "out" / "report.html").read_text()
    page = Page(text)
    assert page.faults == [] and "script" not in page.tags and any(EVIL in words for words in page.words)
    told = (tmp_path / "out" / "report.md").read_text()
    assert "<script" not in told and "](u)" not in told and "&lt;script" in told
    with open(tmp_path / "out" / "report.csv", newline="") as file:
        rows = list(csv.DictReader(file))
    assert {"'=1+1", EVIL, "'-c"} <= {row["cell"] for row in rows} and {row["variant"] for row in rows} == {
        "'+v",
        "'@v",
    }
    assert not any(value and value[0] in "=@+" for row in rows for value in row.values())
    assert (tmp_path / "out" / "gradient_norms.png").stat().st_size > 10_000
    for form in ("text", "md", "csv", "json"):
        assert report(path, f"--format={form}") == 0
        out = capsys.readouterr().out
        assert ("<script" in out) == (form != "md")


def test_the_same_runs_are_the_same_report(tmp_path):
    norms(tmp_path / "a")
    training(tmp_path / "b")
    for name in ("one", "two"):
        assert report(tmp_path / "a", tmp_path / "b", f"--out={tmp_path / name}") == 0
    assert tree(tmp_path / "one") == tree(tmp_path / "two")


# --------------------------------------------------------------------------------------------- bad input


def link(path, name, target):
    (path / name).unlink(missing_ok=True)
    (path / name).symlink_to(target)


def cut(path, name):
    (path / name).write_bytes((path / name).read_bytes()[:-9])


def change(path, **fields):
    rows = [row | fields for row in processes.rows(path / "results.jsonl")]
    (path / "results.jsonl").write_text("".join(map(to_json, rows)))


BAD = {
    "no record": (lambda p: (p / "run.json").unlink(), "no run.json"),
    "a damaged record": (lambda p: cut(p, "run.json"), "run.json: damaged, no JSON"),
    "a record of NaN": (lambda p: (p / "run.json").write_text('{"schema": NaN}'), "run.json: damaged, no JSON"),
    "a deep record": (lambda p: (p / "run.json").write_text("[" * 10**5), "run.json: damaged, no JSON"),
    "a list": (lambda p: (p / "run.json").write_text("[]"), "no run of gradient_norms"),
    "another program": (lambda p: edit(p, program="evaluate"), "something else of evaluate"),
    "a later schema": (lambda p: edit(p, schema=7), "schema 7, this version reads 1"),
    "flags that are none": (lambda p: edit(p, flags={"seeds": 3}), "'flags' is"),
    "flags without seeds": (lambda p: edit(p, flags={"task": "a"}), "no flag --seeds"),
    "seeds that are none": (
        lambda p: edit(p, flags={"task": "a", "variant": "b", "cells": "c", "lengths": "4", "seeds": "x"}),
        "--seeds is no list of numbers",
    ),
    "no status": (lambda p: edit(p, status=None), "no 'status'"),
    "a terminal's commands": (lambda p: edit(p, status="\x1b[2J"), "'status' is"),
    "git that is none": (lambda p: edit(p, git=[1]), "'git' is [1]"),
    "half a character": (lambda p: edit(p, more="\ud800"), "run.json: damaged, no JSON"),
    "no results": (lambda p: (p / "results.jsonl").unlink(), "results.jsonl: is missing"),
    "results cut off": (lambda p: cut(p, "results.jsonl"), "results.jsonl:2: damaged, its last line has no end"),
    "a row that is none": (lambda p: (p / "results.jsonl").write_text("3\n"), "jsonl:1: damaged, not an object"),
    "a row without a number": (lambda p: (p / "results.jsonl").write_text("{}\n"), "jsonl:1: damaged, no 'cell'"),
    "a cell that the flags have not": (
        lambda p: edit(p, flags=json.loads((p / "run.json").read_text())["flags"] | {"cells": "gru"}),
        "elman T=4 is no unit of the run",
    ),
    "a number that is text": (lambda p: change(p, loss="<b>"), "'loss' is '<b>'"),
    "a nonfinite that is none": (lambda p: change(p, loss=None, nonfinite={"loss": "big"}), "'nonfinite'"),
    "a seed of nobody": (lambda p: change(p, seed=77), "seed 77 is none of the run's"),
    "a cell of nobody": (lambda p: change(p, cell="gru"), "flow.npz: damaged"),
    "a length of nobody": (lambda p: change(p, length=5), "flow.npz: damaged"),
    "no curves": (lambda p: (p / "flow.npz").unlink(), "flow.npz: is missing"),
    "curves cut off": (lambda p: cut(p, "flow.npz"), "flow.npz: damaged"),
    "curves of others": (lambda p: np.savez(p / "flow.npz", a=np.zeros(3)), "flow.npz: damaged"),
    "too few curves": (
        lambda p: np.savez(p / "flow.npz", **{"elman/4/0/state_mean": np.zeros((1, 4))}), "is not what the rows say"
    ),
    "a digest of another file": (
        lambda p: edit(p, files_sha256={"../../etc/passwd": "0"}), "speaks of other files than results"
    ),
    "a link out of it": (lambda p: link(p, "results.jsonl", p.parent / "secret"), "leads out of the run"),
    "a record linked out of it": (lambda p: link(p, "run.json", p.parent / "secret"), "leads out of the run"),
    "curves linked out of it": (lambda p: link(p, "flow.npz", "/dev/zero"), "leads out of the run"),
    "a link to itself": (lambda p: link(p, "results.jsonl", "results.jsonl"), "results.jsonl: "),
    "a directory for a file": (
        lambda p: ((p / "results.jsonl").unlink(), (p / "results.jsonl").mkdir()), "results.jsonl: is no file"
    ),
    "a pipe": (lambda p: ((p / "flow.npz").unlink(), os.mkfifo(p / "flow.npz")), "flow.npz: is no file"),
}  # fmt: skip


@pytest.mark.parametrize("name", BAD)
def test_what_is_no_run_is_refused_in_one_line(name, tmp_path, capsys):
    """And nothing is written, though a good run stands beside it."""
    good, bad = norms(tmp_path / "good"), norms(tmp_path / "bad", units="9")
    (tmp_path / "secret").write_text("hidden\n")
    make, words = BAD[name]
    make(bad)
    refused(report(good, bad, f"--out={tmp_path / 'out'}"), *capsys.readouterr(), (str(bad), words))
    assert not (tmp_path / "out").exists()


def test_the_good_run_beside_it_is_not_refused(tmp_path):
    """The control; and a link may lead to the run, or from file to file in it."""
    norms(tmp_path / "good")
    (tmp_path / "good" / "results.jsonl").rename(tmp_path / "good" / "elsewhere")
    link(tmp_path / "good", "results.jsonl", "elsewhere")
    (tmp_path / "link").symlink_to(tmp_path / "good")
    assert report(tmp_path / "link", f"--out={tmp_path / 'out'}") == 0


@pytest.mark.parametrize(
    ("given", "words"),
    [
        ((), ("no run given", "runs/train/*")),
        (("nowhere",), ("nowhere: there is no such directory",)),
        (("file",), ("file: is a file",)),
        (("empty",), ("empty: no run.json",)),
        (("run", "./run"), ("run is given twice", "write each run once")),
        (("run", "--format=xml"), ("--format", "text, md, csv, json")),
        (("run", "--out=file"), ("--out=file", "is a file")),
        (("run", "--out=run"), ("--out=run", "something else than a report")),
        (("run", "--outt=x"), ("--outt", "did you mean --out?")),
        (("run", "--", "--out=x"), ("--out=x: there is no such directory",)),
        (("no\x1bwhere\n",), ("no\\x1bwhere\\n: there is no",)),
    ],
)  # fmt: skip
def test_bad_flags_are_one_line(given, words, tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    norms(tmp_path / "run")
    (tmp_path / "file").touch()
    (tmp_path / "empty").mkdir()
    before = tree(tmp_path)
    refused(report(*given), *capsys.readouterr(), words)
    assert tree(tmp_path) == before


def test_an_older_report_is_replaced(tmp_path):
    """Without figures that the new one has not."""
    training(tmp_path / "a")
    norms(tmp_path / "b")
    assert report(tmp_path / "a", f"--out={tmp_path / 'out'}") == 0
    assert report(f"--out={tmp_path / 'out'}", tmp_path / "b") == 0, "flags may stand before runs"
    assert {p.name for p in (tmp_path / "out").iterdir()} == TABLES | {"gradient_norms.png"}


# ---------------------------------------------------------------------------------------------- as it is


def test_help_is_quick_and_names_every_flag():
    told = processes.help_is_quick("report")
    assert told.lstrip().startswith("Report on any number of runs") and "Example: python -m experiments.report" in told
    for flag in ("out", "format", "tensorboard"):
        assert re.search(rf"--{flag}\b", told), flag


def test_a_report_needs_no_jax_and_no_network(tmp_path):
    """Runs of a cluster are looked at on a laptop."""
    norms(tmp_path / "a")
    lengths(tmp_path / "b")
    training(tmp_path / "c")
    code = (
        "import sys, socket\n"
        "def refuse(*_, **__): raise OSError('no network')\n"
        "socket.socket = socket.create_connection = refuse\n"
        "from experiments.report.__main__ import define, main\n"
        f"define(); status = main(['report', *{[str(tmp_path / n) for n in 'abc']}, '--out={tmp_path}/out'])\n"
        "print('status', status, sorted(m for m in ('jax', 'orbax', 'sklearn') if m in sys.modules))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, cwd=processes.ROOT)
    assert done.stdout.endswith("status 0 []\n"), done.stderr


def test_without_matplotlib_there_are_tables_and_one_line(tmp_path):
    norms(tmp_path / "a")
    training(tmp_path / "b")
    shadow = tmp_path / "shadow"
    shadow.mkdir()
    (shadow / "matplotlib.py").write_text("raise ModuleNotFoundError('matplotlib')")
    path = os.pathsep.join([str(shadow), str(processes.ROOT)])
    given = (str(tmp_path / "a"), str(tmp_path / "b"), f"--out={tmp_path}/out")
    out, err = processes.run("report", *given, env={**os.environ, "PYTHONPATH": path})
    assert err == "no figure: matplotlib is not installed; pip install 'rnnx[lab]'\n" and "Training: 1 run" in out
    assert {p.name for p in (tmp_path / "out").iterdir()} == TABLES


def test_tensorboard(tmp_path, capsys):
    training(tmp_path / "a")
    status = report(tmp_path / "a", f"--tensorboard={tmp_path / 'tb'}")
    if importlib.util.find_spec("tensorboardX") is None:
        refused(status, *capsys.readouterr(), ("--tensorboard", "pip install 'rnnx[tb]'"))
        assert not (tmp_path / "tb").exists()
    else:
        assert status == 0 and len(list((tmp_path / "tb").rglob("events.out.*"))) == 2
        assert report(tmp_path / "a", f"--tensorboard={tmp_path / 'tb'}") == 2


def test_csv_fields_are_no_formulas():
    for text in ("=1", "+1", "-1", "@a", "\t=1", "\r=1"):
        assert to_csv([{"a": text}]).split("\n", 1)[1].lstrip('"').startswith("'")
    assert to_csv([{"a": -1.5}]) == "a\n-1.5\n", "the control: a number is one"


def test_a_browser_shows_it(tmp_path):
    """A picture of the page, where a browser is installed."""
    browser = next(filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))), None)
    if browser is None:
        pytest.skip("no browser is installed")
    norms(tmp_path / "a")
    assert report(tmp_path / "a", f"--out={tmp_path / 'out'}") == 0
    flags = ["--headless", "--no-sandbox", "--disable-gpu", "--window-size=390,844"]
    shot, page = tmp_path / "shot.png", tmp_path / "out" / "report.html"
    subprocess.run([browser, *flags, f"--screenshot={shot}", page.as_uri()], check=True, timeout=60)
    assert shot.stat().st_size > 10_000
