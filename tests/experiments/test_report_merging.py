"""Runs that belong together become one table; what is not finished, or not as it was written, is told."""

import csv
import json

import processes
from programs import refused, report
from runs_by_hand import edit, lengths, norms, training

from experiments.tables import to_json


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


def test_grids_that_only_a_number_names_are_told(tmp_path, capsys):
    training(tmp_path / "a", cell="elman(nonlinearity=relu,init=identity,rather=long)")
    training(tmp_path / "b", cell="gru", units="33")
    assert report(tmp_path / "a", tmp_path / "b") == 0
    told, _ = capsys.readouterr()
    assert "grid 1: --cell='elman(nonlinearity=relu,init=identity,rather=long)'\n" in told
    assert "grid 2: --cell=gru --units=33\n" in told


def test_units_that_do_not_agree_are_refused_by_name(tmp_path, capsys):
    norms(tmp_path / "a")
    norms(tmp_path / "b", seeds=(1, 3))
    assert report(tmp_path / "a", tmp_path / "b") == 0, "the control: seed 1 stands in both, and is the same"
    capsys.readouterr()
    rows = processes.rows(tmp_path / "b" / "results.jsonl")
    for more in (1e-9, 1e-3):  # rounding of another program, and another number
        rows[0]["loss"] += more
        (tmp_path / "b" / "results.jsonl").write_text("".join(map(to_json, rows)))
        if more < 1e-6:
            assert report(tmp_path / "a", tmp_path / "b") == 0
            capsys.readouterr()
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
