"""A run that goes on after its user's exception, and one that must not: other flags, floats, keys, trees, forms."""

import json
import os
import pathlib
import shutil
import subprocess
import sys

import processes
import pytest
from programs import call
from runs_by_hand import edit
from short_run import RUN, cut_short, end

from rnnx.training import checkpoint

WIDE = {**os.environ, "JAX_ENABLE_X64": "1"}  # as in this process, where the refusals are looked at


@pytest.fixture(scope="module")
def whole(tmp_path_factory) -> pathlib.Path:
    path = tmp_path_factory.mktemp("whole") / "run"
    processes.run("train", *RUN, f"--out={path}", env=WIDE)
    return path


# A task of the user's whose draw of a batch fails; where, says the first word.
RAISES = """
import runpy, sys
from rnnx.training import Fresh
at, draw = int(sys.argv.pop(1)), Fresh.draw
def broken(self, seed, step):
    if step == at:
        raise RuntimeError("the user's own")
    return draw(self, seed, step)
Fresh.draw = broken
runpy.run_module("experiments.train", run_name="__main__", alter_sys=True)
"""


def raises(at: int, path: pathlib.Path, whole: pathlib.Path) -> None:
    """The program ends with its user's traceback; the last save is there, whole; the same command ends as ever."""
    command = [sys.executable, "-c", RAISES, str(at), *RUN, f"--out={path}"]
    done = subprocess.run(command, capture_output=True, text=True, cwd=processes.ROOT, timeout=300, env=WIDE)
    assert done.returncode == 1 and "RuntimeError: the user's own" in done.stderr, done.stderr
    saved = checkpoint.steps(path / "checkpoints")
    assert saved[-1] == at // 10 * 10 and all(checkpoint.damage(path / "checkpoints", step) is None for step in saved)
    assert json.loads((path / "run.json").read_text())["status"] == "running"
    _, err = processes.run("train", *RUN, f"--out={path}", env=WIDE)
    assert end(path) == end(whole) and "warning" not in err


def test_an_exception_loses_no_save(whole, tmp_path):
    raises(37, tmp_path / "run", whole)


@pytest.mark.full
@pytest.mark.parametrize("at", [1, 9, 10, 13, 21, 30, 42, 49, 50, 59])
def test_no_exception_loses_a_save(at, whole, tmp_path):
    raises(at, tmp_path / "run", whole)


# ------------------------------------------------------------------------------------------------ refusals


@pytest.fixture
def cut(whole, tmp_path) -> pathlib.Path:
    return cut_short(whole, tmp_path / "run")


def content(path: pathlib.Path) -> dict[str, bytes]:
    """All files but the lock, which says who came last."""
    return {str(p.relative_to(path)): p.read_bytes() for p in path.rglob("*") if p.is_file() and p.name != ".lock"}


def refused(cut, status: int, err: str, before: dict[str, bytes], *words: str) -> None:
    assert status == 2 and len(err.splitlines()) == 1 and err.startswith("error: flag --"), err
    assert all(word in err for word in words), err
    assert content(cut) == before


@pytest.mark.parametrize(
    ("given", "words"),
    [
        ("--units=5", "--units=4 (now 5)"),
        ("--cell=gru", "--cell=elman (now gru)"),
        ("--task=copy", "--task=adding (now copy)"),
        ("--optimizer=sgd", "--optimizer=adam (now sgd)"),
        ("--steps=70", "--steps=60 (now 70)"),
        ("--seeds=0,4", "--seeds=0,3 (now 0,4)"),
        ("--learning_rate=0.1", "--learning_rate=0.005 (now 0.1)"),
    ],
)
def test_other_flags(given, words, cut, capsys):
    before = content(cut)
    status = call("train", *RUN, given, f"--out={cut}")
    refused(cut, status, capsys.readouterr().err, before, words)


@pytest.mark.parametrize(
    ("env", "words"),
    [
        ({"JAX_ENABLE_X64": "0"}, ".state.params['body']['layers'][0]['params'].value.w_x is float64"),
        ({"JAX_DEFAULT_PRNG_IMPL": "rbg"}, ".state.key is key<fry> (2, 2), expected key<rbg> (2, 4)"),
    ],
)
def test_other_floats_and_other_keys(env, words, cut):
    before = content(cut)
    _, err = processes.run("train", *RUN, f"--out={cut}", status=2, env=WIDE | env)
    refused(cut, 2, err, before, words)


def transplant(cut: pathlib.Path, *flags: str) -> None:
    """Checkpoints of a run with other flags, as a version would have made that builds networks otherwise."""
    other = cut.with_name("other")
    assert call("train", *RUN, *flags, "--steps=10", f"--out={other}") == 0
    shutil.rmtree(cut / "checkpoints")
    shutil.copytree(other / "checkpoints", cut / "checkpoints")


@pytest.mark.parametrize(
    ("flags", "words"),
    [
        (("--layers=2",), "['layers'][1]"),
        (("--optimizer=sgd",), ".state.optimizer"),
    ],
)
def test_other_trees(flags, words, cut, capsys):
    transplant(cut, *flags)
    before = content(cut)
    capsys.readouterr()
    status = call("train", *RUN, f"--out={cut}")
    refused(cut, status, capsys.readouterr().err, before, words, "it is of another model; write another --out")


def test_a_newer_form_of_a_checkpoint(cut, capsys, monkeypatch):
    before = content(cut)
    monkeypatch.setattr(checkpoint, "SCHEMA", 0)
    status = call("train", *RUN, f"--out={cut}")
    refused(cut, status, capsys.readouterr().err, before, "step 50 has schema 1, known is 0; take a newer version")


def test_a_newer_form_of_the_record(cut, capsys):
    edit(cut, schema=2)
    before = content(cut)
    status = call("train", *RUN, f"--out={cut}")
    refused(cut, status, capsys.readouterr().err, before, "run.json has schema 2, known is 1; take a newer version")


def test_the_control_goes_on(cut, whole, capsys):
    before = content(cut)
    assert call("train", *RUN, f"--out={cut}") == 0, capsys.readouterr().err
    assert end(cut) == end(whole) and content(cut) != before
