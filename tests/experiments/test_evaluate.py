"""Evaluation says what training said of the same examples, and what a plain loop says of others."""

import csv
import io
import json
import math
import os
import pathlib
import re
import shutil
import subprocess
import sys

import jax
import jax.numpy as jnp
import numpy as np
import processes
import pytest
from programs import call, refused, train, tree
from runs_by_hand import edit

from experiments.train.build import task_of
from experiments.train.load import load
from experiments.train.train import start as begin
from rnnx.training import Fresh, checkpoint

ROOT = pathlib.Path(__file__).resolve().parents[2]
TEXT = "".join(f"{a} and {b}, then {c}.\n" for a in "xyz" for b in ("one", "two") for c in range(10)) * 4


@pytest.fixture(scope="module")
def adding(tmp_path_factory):
    return train(tmp_path_factory.mktemp("adding") / "run", task="adding", length="8")


@pytest.fixture(scope="module")
def text(tmp_path_factory):
    """A run on a text beside it."""
    folder = tmp_path_factory.mktemp("text")
    (folder / "text.txt").write_text(TEXT)
    return train(folder / "run", task="text", length="8", data=str(folder / "text.txt"))


def evaluate(*given: str) -> int:
    return call("evaluate", *given)


def answer(capsys, run: pathlib.Path, *given: str) -> dict:
    """The JSON that a call prints, as the standard has it."""
    assert evaluate(f"--run={run}", "--format=json", *given) == 0
    out, err = capsys.readouterr()
    assert err == ""
    return json.loads(out, parse_constant=lambda word: pytest.fail(f"{word} is not JSON"))


NUMBERS = ("loss", "step_loss", "accuracy")


@pytest.mark.parametrize("task", ["adding", "text"])
def test_what_training_said(task, request, capsys):
    run = request.getfixturevalue(task)
    summary = json.loads((run / "summary.json").read_text())
    best, last = (answer(capsys, run, f"--which={which}") for which in ("best", "last"))
    assert answer(capsys, run) == best and best["which"] == "best"
    for row, told in zip(best["rows"], summary["rows"], strict=False):
        assert {name: row[name] for name in NUMBERS} == pytest.approx(told["test_at_best"], rel=1e-9)
        assert (row["seed"], row["step"], row["length"]) == (told["seed"], told["best_step"], 8)
    for row, told in zip(last["rows"], summary["rows"], strict=False):
        assert {name: row[name] for name in NUMBERS} == pytest.approx(told["test"], rel=1e-9)
    mean = best["rows"][2]
    assert mean["seed"] == "mean" and len(best["rows"]) == 3
    named = {name: mean[name] for name in summary["mean"]}
    assert named == pytest.approx(summary["mean"], rel=1e-9)
    assert ("bits" in mean) == (task == "text")
    assert mean["chance_loss"] == summary["chance_loss"] and best["criteria"] == [summary["criterion"]]


def test_the_validation_split_is_that_of_the_looks(adding, capsys):
    looks = [json.loads(line) for line in (adding / "metrics.jsonl").read_text().splitlines()]
    looks = [look for look in looks if look["kind"] == "look" and look["step"] == 6]
    for row, look in zip(answer(capsys, adding, "--split=valid", "--which=last")["rows"], looks, strict=False):
        assert row["loss"] == pytest.approx(look["loss"], rel=1e-9) and row["seed"] == look["seed"]


def test_other_lengths_against_a_plain_sum(adding, capsys):
    """The same 1000 sequences, one network at a time, by the sequential way."""
    found = answer(capsys, adding, "--length=20,8,3")
    assert [(row["length"], row["seed"]) for row in found["rows"]] == [
        (length, seed) for length in (20, 8, 3) for seed in (3, 5, "mean")
    ]
    run = load(str(adding), method="sequential")
    task = task_of(run.settings, 20)
    draw = jax.jit(Fresh(task, 100).fetch)
    batches = [draw((), np.array([0, 2**32 - 11 - i], np.uint32)) for i in range(10)]
    xs, targets = (jnp.concatenate([getattr(batch, name) for batch in batches]) for name in ("xs", "targets"))
    for i, row in enumerate(found["rows"][:2]):
        params = jax.tree.map(lambda leaf, i=i: leaf[i], run.params)
        ys = jax.vmap(lambda xs, params=params: run.work.model.network.apply(params, xs)[1])(xs)
        assert row["loss"] == pytest.approx(float(jnp.mean(jnp.square(ys[:, 0] - targets[:, -1]))), rel=1e-9)
        assert row["examples"] == 1000


def test_a_checkpoint_of_other_numbers_is_noticed(adding, tmp_path, capsys):
    """The control: parameters a little larger, and evaluation no longer says what the summary says."""
    copy = shutil.copytree(adding, tmp_path / "run")
    run = load(str(adding))
    like = jax.eval_shape(lambda: begin(run.work, run.settings.seeds))
    step, progress, numbers = checkpoint.restore(copy / "checkpoints", like)
    larger = jax.tree.map(lambda leaf: np.asarray(leaf) * 1.01, run.params)
    shutil.rmtree(copy / "checkpoints")
    checkpoint.save(copy / "checkpoints", step, progress._replace(best=larger), numbers)
    told = json.loads((copy / "summary.json").read_text())["rows"][0]["test_at_best"]["loss"]
    assert answer(capsys, copy)["rows"][0]["loss"] != pytest.approx(told, rel=1e-4)


# ------------------------------------------------------------------------------------------------ output


def test_formats(text, capsys):
    rows = answer(capsys, text, "--length=8,4")["rows"]
    for form in ("csv", "md", "text"):
        assert evaluate(f"--run={text}", "--length=8,4", f"--format={form}") == 0
        out, err = capsys.readouterr()
        assert err == ""
        if form == "csv":
            table = list(csv.DictReader(io.StringIO(out)))
            assert [float(line["loss"]) for line in table] == [row["loss"] for row in rows]
            assert [line["seed"] for line in table] == ["3", "5", "mean"] * 2 and table[0]["run"] == str(text)
        else:
            lines = [re.split(r"[|\s]+", line.strip("| ")) for line in out.splitlines()]
            found = [line for line in lines if line[0] in ("8", "4")]
            assert [line[1] for line in found] == ["3", "5", "mean"] * 2
            for line, row in zip(found, rows, strict=True):
                assert float(line[2]) == pytest.approx(row["loss"], rel=1e-4)
                assert float(line[5]) == pytest.approx(row["step_loss"] / math.log(2), rel=1e-3)
            assert "chance: loss" in out and "solved: loss below" in out and "trained at length 8" in out


def test_a_file_of_rows(adding, tmp_path, capsys):
    out = tmp_path / "rows.json"
    found = answer(capsys, adding, f"--out={out}")
    assert json.loads(out.read_text()) == found
    again = answer(capsys, adding, f"--out={out}", "--length=4")
    assert json.loads(out.read_text()) == again != found, "an older answer is replaced"
    assert [p.name for p in tmp_path.iterdir()] == ["rows.json"]


def test_a_dry_run(adding, tmp_path, capsys, monkeypatch):
    monkeypatch.chdir(tmp_path)
    assert evaluate(f"--run={adding}", "--dry_run", "--out=rows.json", "--length=8,100") == 0
    out, err = capsys.readouterr()
    assert err == "" and "which = best" in out and "length = 8,100" in out and "361 parameters" in out
    assert "MiB" in out and not list(tmp_path.iterdir())


# -------------------------------------------------------------------------------------------------- data


def test_data_that_moved(text, tmp_path, capsys):
    """As seen from a run whose text is not where it was."""
    copy = shutil.copytree(text, tmp_path / "run")
    flags = json.loads((copy / "run.json").read_text())["flags"]
    edit(copy, flags=flags | {"data": str(tmp_path / "gone.txt")})
    refused(evaluate(f"--run={copy}"), *capsys.readouterr(), ("gone.txt", "--data", "No such file", "path"))
    found = answer(capsys, copy, f"--data={text.parent / 'text.txt'}")
    assert found["rows"] == answer(capsys, text)["rows"] and found["other_data"] is None


def test_other_data(text, tmp_path, capsys):
    same, fewer, more = (tmp_path / name for name in ("same", "fewer", "more"))
    same.write_text(TEXT)
    fewer.write_text(TEXT.replace("x", "y").replace("7", "8"))  # other positions in an alphabet of its own
    more.write_text(TEXT + "Ω" * 200)
    before = answer(capsys, text)["rows"]
    refused(evaluate(f"--run={text}", f"--data={fewer}"), *capsys.readouterr(), (f"--data={fewer}", "SHA-256"))
    other = ("--other_data",)
    for row, told in zip(answer(capsys, text, f"--data={same}", *other)["rows"], before, strict=True):
        assert row == told
    found = answer(capsys, text, f"--data={fewer}", *other, "--split=train")
    assert found["other_data"] == str(fewer)
    task = task_of(load(str(text)).settings, 8)
    words = "".join(task.alphabet[i] for i in task.load("train"))
    assert "x" in words and "7" in words
    assert found["rows"][0]["loss"] == pytest.approx(_plain_loss(text, words.replace("x", "y").replace("7", "8")))
    refused(evaluate(f"--run={text}", f"--data={more}", *other), *capsys.readouterr(), (f"--data={more}", "'Ω'"))


def _plain_loss(path, words: str) -> float:
    """Mean loss of a symbol of the first network, of readers side by side that each go on where they are."""
    run = load(str(path))
    symbols = jnp.array([run.work.task.alphabet.index(word) for word in words])
    readers = min(32, (len(symbols) - 8) // 32)
    lane = (len(symbols) - 1) // readers
    steps = lane // 8 * 8
    params = jax.tree.map(lambda leaf: leaf[0], run.params)
    starts = np.arange(readers) * lane
    xs = jnp.stack([symbols[start : start + steps] for start in starts])
    targets = jnp.stack([symbols[start + 1 : start + 1 + steps] for start in starts])
    scores = jax.vmap(lambda xs: run.work.model.network.apply(params, xs)[1])(xs)
    return -float(jnp.mean(jnp.take_along_axis(jax.nn.log_softmax(scores), targets[..., None], 2)))


# --------------------------------------------------------------------------------------------- bad input

# What is given, and words that the one line must hold. RUN is a good run, the others are in `here`.
BAD = [
    ("", "--run", "not given", "directory"),
    ("--run=", "--run", "nothing given", "directory"),
    ("--run=MISSING", "--run=MISSING", "no such directory", "experiments.train"),
    ("--run=FILE", "--run=FILE", "is a file", "experiments.train"),
    ("--run=EMPTY", "--run=EMPTY", "holds no run.json", "experiments.train"),
    ("--run=TORN", "--run=TORN", "damaged", "experiments.train"),
    ("--run=FLIPPED", "--run=FLIPPED", "damaged", "experiments.train"),
    ("--run=LIST", "--run=LIST", "damaged", "experiments.train"),
    ("--run=FOREIGN", "--run=FOREIGN", "run of gradient_norms", "experiments.train"),
    ("--run=UNKNOWN", "--run=UNKNOWN", "flags that cannot be read", "'lstn'"),
    ("--run=RUNNING", "--run=RUNNING", "not finished", "running", "--which=last"),
    ("--run=RUNNING --which=best", "--run=RUNNING", "not finished", "--which=last"),
    ("--run=BARE", "--run=BARE", "checkpoints cannot be read", "no usable checkpoint", "train it again"),
    ("--run=CUT", "--run=CUT", "checkpoints cannot be read", "its SHA-256 differs", "train it again"),
    ("--run=WIDER", "--run=WIDER", "checkpoints cannot be read", "another model"),
    ("--run=NARROW", "--run=NARROW", "float32", "JAX_ENABLE_X64=0"),
    ("--run=RUN --which=first", "--which", "'first'", "best, last"),
    ("--run=RUN --split=train", "--split=train", "generated", "valid, test"),
    ("--run=RUN --split=tset", "--split", "'tset'", "did you mean test"),
    ("--run=RUN --length=1", "--length=1", "length is 1", "at least 2"),
    ("--run=RUN --length=8,x", "--length", "'x'", "100,200"),
    ("--run=RUN --length=8,8", "--length", "8 stands twice", "once"),
    ("--run=RUN --length=-3", "--length", "-3 is outside", "100,200"),
    ("--run=RUN --method=associative", "--method=associative", "not affine", "sequential"),
    ("--run=RUN --method=paralel", "--method", "'paralel'", "auto, sequential"),
    ("--run=RUN --data=FILE", "--data=FILE", "reads no file", "leave it out"),
    ("--run=RUN --other_data", "--other_data", "no --data", "--data=FILE"),
    ("--run=RUN --other_data=maybe", "--other_data", "maybe", "--noother_data"),
    ("--run=RUN --format=xml", "--format", "'xml'", "text, md, csv, json"),
    ("--run=RUN --out=", "--out", "nothing given", "a file"),
    ("--run=RUN --out=EMPTY", "--out=EMPTY", "is a directory", "name of a file"),
    ("--run=RUN --out=FILE", "--out=FILE", "something else", "another file"),
    ("--run=RUN --out=FOREIGN/run.json", "--out=FOREIGN/run.json", "something else", "another file"),
    ("--run=RUN --out=MISSING/rows.json", "--out=MISSING/rows.json", "no directory", "make it"),
    ("--run=RUN --lenght=3", "--lenght", "unknown", "--length"),
    ("--run=RUN text", "'text'", "unexpected"),
]  # fmt: skip


@pytest.fixture(scope="module")
def here(adding, tmp_path_factory):
    """A directory of what the table names."""
    path = tmp_path_factory.mktemp("here")
    record = json.loads((adding / "run.json").read_text())
    for name in ("EMPTY", "TORN", "LIST", "FOREIGN", "UNKNOWN", "RUNNING", "BARE", "NARROW"):
        (path / name).mkdir()
    (path / "FILE").write_text("dear")
    (path / "TORN" / "run.json").write_text(json.dumps(record)[:100])
    (path / "LIST" / "run.json").write_text("[]")
    more = {"FOREIGN": {"program": "gradient_norms"}, "UNKNOWN": {"flags": record["flags"] | {"cell": "lstn"}},
            "RUNNING": {"status": "running"}, "BARE": {}, "NARROW": {"x64": False}}  # fmt: skip
    for name, change in more.items():
        (path / name / "run.json").write_text(json.dumps(record))
        edit(path / name, **change)
    for name in ("RUN", "CUT", "WIDER", "FLIPPED"):
        shutil.copytree(adding, path / name)
    for file in (path / "CUT" / "checkpoints").rglob("d/*"):
        file.write_bytes(file.read_bytes()[:10])
    edit(path / "WIDER", flags=record["flags"] | {"units": "9"})
    sealed = (path / "FLIPPED" / "run.json").read_text()
    (path / "FLIPPED" / "run.json").write_text(sealed.replace('"units": "', '"units": "1'))
    return path


@pytest.mark.parametrize("row", BAD, ids=[row[0] for row in BAD])
def test_one_line_and_nothing_written(row, here, capsys, monkeypatch):
    monkeypatch.chdir(here)
    given, *words = row
    before = tree(here)
    refused(evaluate(*given.split()), *capsys.readouterr(), tuple(words))
    assert tree(here) == before, "something was written"


def test_good_input_is_not_refused(here, capsys, monkeypatch):
    """The control: the same directory, and flags that make sense."""
    monkeypatch.chdir(here)
    before = tree(here)
    assert evaluate("--run=RUN", "--length=8", "--format=csv") == 0
    assert capsys.readouterr().err == "" and tree(here) == before


def test_an_interrupted_run(adding, tmp_path, capsys):
    """What it had learned by then, where that is asked for."""
    copy = shutil.copytree(adding, tmp_path / "run")
    edit(copy, status="interrupted")
    (copy / "summary.json").unlink()
    refused(evaluate(f"--run={copy}"), *capsys.readouterr(), ("interrupted", "--which=last"))
    assert answer(capsys, copy, "--which=last")["rows"] == answer(capsys, adding, "--which=last")["rows"]


# --------------------------------------------------------------------------------------------- processes


def start(*words: str) -> subprocess.CompletedProcess:
    env = {**os.environ, "JAX_ENABLE_X64": "1"}
    return subprocess.run([sys.executable, *words], capture_output=True, text=True, cwd=ROOT, env=env)


def test_help_is_quick_and_imports_no_jax():
    told = processes.help_is_quick("evaluate")
    assert told.startswith("Evaluate a trained run")
    for flag in ("run", "which", "split", "length", "data", "other_data", "method", "format", "out", "dry_run"):
        assert re.search(rf"--(\[no\])?{flag}\b", told), flag


def test_as_a_process(adding, capsys):
    found = answer(capsys, adding)
    done = start("-m", "experiments.evaluate", f"--run={adding}", "--format=json")
    assert done.returncode == 0 and done.stderr == ""
    for row, told in zip(json.loads(done.stdout)["rows"], found["rows"], strict=True):
        assert row["loss"] == pytest.approx(told["loss"], rel=1e-9)


def test_a_damaged_run_as_a_process(here):
    """No traceback, not from the threads that read either."""
    done = start("-m", "experiments.evaluate", f"--run={here / 'CUT'}")
    refused(done.returncode, done.stdout, done.stderr, ("CUT", "cannot be read"))
