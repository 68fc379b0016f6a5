"""Hundreds of bad inputs over the programs: status 2, one line that names the flag and a remedy, nothing written."""

import os

import jax
import pytest
from bad_inputs import CASES, SINGLE, disk
from programs import PROGRAMS, call, tree

from experiments import memory, starting
from experiments.report import tensorboard


@pytest.fixture
def here(tmp_path, monkeypatch):
    """A working directory with what the commands name, on a machine of 16 GiB that has tensorboardX."""
    disk(tmp_path)
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(memory, "of_device", lambda: 2.0**34)
    monkeypatch.setattr(tensorboard, "installed", lambda: True)
    return tmp_path


def test_there_are_hundreds():
    assert len(CASES) == len(set(CASES)) >= 1000 and {program for program, _ in CASES} == set(PROGRAMS)
    for program, least in (("train", 400), ("length_frontier", 150), ("gradient_norms", 150), ("report", 60)):
        assert sum(name == program for name, _ in CASES) >= least, program


@pytest.mark.parametrize("program", PROGRAMS)
def test_each_is_one_line_and_writes_nothing(program, here, capsys):
    before = tree(here)
    for case in CASES:
        if case[0] != program:
            continue
        given = [case[1]] if case in SINGLE else case[1].split(" ")
        status = call(program, *given)
        out, err = capsys.readouterr()
        told = (*case, status, out, err)
        assert status == 2 and out == "" and err.startswith("error: ") and err.count("\n") == 1, told
        assert err.isprintable() or err[:-1].isprintable(), told
        flag = given[-1].split("=")[0]
        assert not flag.startswith("--") or flag.strip("-") in err, told
        assert any(word in err for word in ("write", "see --help", "leave", "put")), told
    assert tree(here) == before, program


def test_an_unwritable_page(here, capsys, monkeypatch):
    """As a user without the right to write: root may write anywhere, so the answer of the system is set."""
    before = tree(here)
    monkeypatch.setattr(os, "access", lambda *_: False)
    for flag in ("--out", "--tensorboard"):
        assert call("report", "run", f"{flag}=new") == 2
        out, err = capsys.readouterr()
        assert out == "" and err.count("\n") == 1 and f"flag {flag}=new: " in err and "cannot be written; write" in err
    assert tree(here) == before


@pytest.mark.parametrize("error", [MemoryError(), jax.errors.JaxRuntimeError("INTERNAL: Out of memory allocating 9")])
def test_too_little_memory_is_one_line(error, capsys):
    """Where it was not seen before."""

    def work():
        raise error

    with pytest.raises(SystemExit) as stop:
        starting.guarded(work, "")
    err = capsys.readouterr().err
    assert stop.value.code == 2 and err.startswith("error: out of memory; write") and err.count("\n") == 1


def test_another_error_of_xla_is_a_bug():
    """The control: it keeps its traceback."""

    def work():
        raise jax.errors.JaxRuntimeError("INTERNAL: a shape")

    with pytest.raises(jax.errors.JaxRuntimeError):
        starting.guarded(work, "")


def test_the_control_is_good_input(here, capsys):
    """What looks alike and is right goes through: nothing is refused for its own sake."""
    before = tree(here)
    for given in ("--units=3", "--learning_rate=1e-3", "--cell=lstm(forget_bias=0)", "--seeds=0,1,7", "--dropout=0.0"):
        assert call("train", given, "--dry_run") == 0, capsys.readouterr()
    for given in ("--seeds=4294967295,", "--lengths=10000000", "--cells=lstm(forget_bias=0)", "--out=../x"):
        assert call("gradient_norms", given, "--dry_run") == 0, capsys.readouterr()
    for given in ("run", "./run/", "EMPTY/../run", "--format=csv run"):
        assert call("report", *given.split(" ")) == 0, capsys.readouterr()
    assert tree(here) == before
