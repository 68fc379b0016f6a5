"""The program of reports: on real runs, on a laptop, without matplotlib."""

import importlib.util
import os
import re
import subprocess
import sys

import processes
import pytest
from programs import call, refused, report, train
from runs_by_hand import TABLES, lengths, norms, training

from experiments.tables import to_csv


@pytest.fixture(scope="module")
def real(tmp_path_factory):
    """A run of each kind, by the programs themselves."""
    root = tmp_path_factory.mktemp("real")
    assert call("gradient_norms", "--smoke", f"--out={root / 'norms'}") == 0
    small = ("--smoke", "--cells=gru", "--lengths=6,8", f"--out={root / 'frontier'}")
    assert call("length_frontier", *small) == 0
    train(root / "train", flow_every="2")
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
    assert call("gradient_norms", "--smoke", f"--out={real / 'norms'}") == 0
    for line in capsys.readouterr().out.split(str(real))[0].splitlines():
        assert line in told, "a line of the program's own table is missing"


def test_an_older_report_is_replaced(tmp_path):
    """Without figures that the new one has not."""
    training(tmp_path / "a")
    norms(tmp_path / "b")
    assert report(tmp_path / "a", f"--out={tmp_path / 'out'}") == 0
    assert report(f"--out={tmp_path / 'out'}", tmp_path / "b") == 0, "flags may stand before runs"
    assert {p.name for p in (tmp_path / "out").iterdir()} == TABLES | {"gradient_norms.png"}


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
