"""What is no run, or no flag, is refused in one line, and nothing is written."""

import json
import os

import numpy as np
import processes
import pytest
from programs import refused, report, tree
from runs_by_hand import edit, norms

from experiments.tables import to_json


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
