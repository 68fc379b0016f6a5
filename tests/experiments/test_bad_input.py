"""Bad input is one line on standard error that names the flag and the remedy, status 2, and nothing written."""

import os
import shutil
import subprocess
import sys

import pytest
import small_files
from programs import call, tree

# What is given, and words that the one line must hold.
BAD = [
    ("--cells=lstn", "--cells", "'lstn'", "lstm"),
    ("--cells=elman,transformer", "--cells", "'transformer'", "elman, "),
    ("--cells=", "--cells", "empty", "write"),
    ("--cells=lstm,", "--cells", "empty", "write"),
    ("--cells=lstm(", "--cells", "bracket", "write"),
    ("--cells=lstm)", "--cells", "bracket", "write"),
    ("--cells=elman(relu)", "--cells", "'relu'", "option=value"),
    ("--cells=elman(nonlin=relu)", "--cells", "'nonlin'", "nonlinearity"),
    ("--cells=elman(nonlinearity=rel)", "--cells", "'rel'", "relu"),
    ("--cells=elman(nonlinearity=3)", "--cells", "3", "str"),
    ("--cells=elman(init=orthogonl)", "--cells", "'orthogonl'", "orthogonal"),
    ("--cells=elman(forget_bias=1)", "--cells", "'forget_bias'", "init"),
    ("--cells=lstm(forget_bias=nan)", "--cells", "'nan'", "0.5"),
    ("--cells=lstm(forget_bias=1e999)", "--cells", "finite", "0.5"),
    ("--cells=lstm(forget_bias=high)", "--cells", "'high'", "float"),
    ("--cells=lstm(forget_bias=1,forget_bias=2)", "--cells", "twice", "once"),
    ("--cells=lstm(units=3)", "--cells", "'units'", "forget_bias"),
    ("--cells=lstm,lstm", "--cells", "twice", "once"),
    ("--cells=lstm,lstm(forget_bias=1)", "--cells", "twice", "once"),
    ("--cells=elman(init=__import__('os'))", "--cells", "__import__", "write"),
    ("--lengths=10,abc", "--lengths", "'abc'", "10,100"),
    ("--lengths=", "--lengths", "empty", "10,100"),
    ("--lengths=10,,20", "--lengths", "empty", "10,100"),
    ("--lengths=10,10", "--lengths", "10 stands twice", "once"),
    ("--lengths=0", "--lengths", "0 is outside", "10,100"),
    ("--lengths=-5", "--lengths", "-5 is outside", "10,100"),
    ("--lengths=1e3", "--lengths", "'1e3'", "10,100"),
    ("--lengths=10.5", "--lengths", "'10.5'", "10,100"),
    ("--lengths=99999999999", "--lengths", "outside", "10,100"),
    ("--lengths=1", "--lengths", "length is 1", "at least 2"),
    ("--task=addin", "--task", "'addin'", "adding"),
    ("--task=", "--task", "''", "adding"),
    ("--variant=tcm", "--variant", "'tcm'", "tcn"),
    ("--task=digits --variant=urnn", "--variant", "'urnn'", "permuted"),
    ("--task=digits --lengths=10", "--lengths", "length is 10", "1, 2, 4, 8, 16, 32, 64"),
    ("--task=text --lengths=9000000", "--lengths", "9000000", "at most"),
    ("--task=text --data=BINARY", "--data", "not UTF-8 at byte 1", "iconv"),
    ("--task=text --data=EMPTY", "--data", "is empty", "write the path"),
    ("--task=text --data=MISSING", "--data", "No such file", "path"),
    ("--task=text --data=.", "--data", "directory", "path"),
    ("--data=BINARY", "--data", "--task=adding", "--task=text"),
    ("--task=images", "--data", "--task=images", "four IDX files"),
    ("--task=series", "--data", "--task=series", "a CSV file"),
    ("--task=recordings", "--data", "--task=recordings", "_TRAIN.ts"),
    ("--task=music", "--data", "--task=music", "MATLAB"),
    ("--task=images --data=MISSING", "--data", "No such file", "four IDX files"),
    ("--task=images --data=BINARY", "--data", "Not a directory", "four IDX files"),
    ("--task=images --data=FOREIGN", "--data", "without train-images-idx3-ubyte", "put it there"),
    ("--task=images --data=IMAGES --lengths=9", "--lengths", "length is 9", "1, 2, 4, 8, 16, 32, 64"),
    ("--task=images --data=TORN", "--data", "t10k-images-idx3-ubyte.gz is damaged gzip", "again"),
    ("--task=series --data=BINARY", "--data", "not UTF-8 at byte 1", "iconv"),
    ("--task=series --data=RAGGED", "--data", "RAGGED:3 has 1 values", "as many"),
    ("--task=series --data=MISSING", "--data", "No such file", "a CSV file"),
    ("--task=recordings --data=RAGGED", "--data", "does not end in _TRAIN.ts", "NAME_TRAIN.ts"),
    ("--task=recordings --data=Lone_TRAIN.ts", "--data", "Lone_TEST.ts: No such file", "beside it"),
    ("--task=recordings --data=Made_TRAIN.ts --lengths=13", "--lengths", "length is 13", "at most 12"),
    ("--task=music --data=BINARY", "--data", "no MATLAB file", "piano rolls"),
    ("--task=music --data=EMPTY", "--data", "is empty", "piano rolls"),
    ("--units=0", "--units", "0 is outside", "write"),
    ("--units=many", "--units", "'many'", "write"),
    ("--units=1_0", "--units", "'1_0'", "write"),
    ("--seeds=0", "--seeds", "0 is outside", "0,1,7"),
    ("--seeds=-1,", "--seeds", "-1 is outside", "0,1,7"),
    ("--seeds=4294967296,", "--seeds", "4294967296 is outside", "4294967295"),
    ("--seeds=1,1", "--seeds", "1 stands twice", "once"),
    ("--seeds=x", "--seeds", "'x'", "0,1,7"),
    ("--seeds=,", "--seeds", "empty", "0,1,7"),
    ("--batch_size=0", "--batch_size", "0 is outside", "write"),
    ("--loss=first", "--loss", "'first'", "last, all"),
    ("--train_steps=-1", "--train_steps", "-1 is outside", "write"),
    ("--optimizer=adm", "--optimizer", "'adm'", "adam"),
    ("--learning_rate=nan", "--learning_rate", "'nan'", "0.001"),
    ("--learning_rate=1_0", "--learning_rate", "'1_0'", "0.001"),
    ("--learning_rate=inf", "--learning_rate", "'inf'", "0.001"),
    ("--learning_rate=0", "--learning_rate", "'0'", "0.001"),
    ("--learning_rate=-1e-3", "--learning_rate", "'-1e-3'", "0.001"),
    ("--method=paralel", "--method", "'paralel'", "auto, sequential"),
    ("--format=xml", "--format", "'xml'", "text, md, csv, json"),
    ("--smoke=maybe", "--smoke", "maybe", "--nosmoke"),
    ("--out=", "--out", "nothing given", "a directory"),
    ("--out=BINARY", "--out", "is a file", "directory"),
    ("--out=FOREIGN", "--out", "something else", "another --out"),
    ("--lenghts=10", "--lenghts", "unknown", "--lengths"),
    ("--only_check_args", "--only_check_args", "unknown", "--help"),
    ("--no_such_flag", "--no_such_flag", "unknown", "--help"),
    ("--flagfile=MISSING", "--flagfile", "No such file", "path"),
    ("--units", "units", "Missing value", "--help"),
    ("lstm", "'lstm'", "unexpected", "--lengths"),
]  # fmt: skip


@pytest.fixture
def here(tmp_path, monkeypatch):
    """A working directory with the files that the table names."""
    (tmp_path / "BINARY").write_bytes(b"a\xff\xfe")
    (tmp_path / "EMPTY").touch()
    small_files.images(tmp_path / "IMAGES")
    small_files.images(tmp_path / "TORN")
    (tmp_path / "TORN" / "t10k-images-idx3-ubyte.gz").write_bytes(b"\x1f\x8b torn")
    (tmp_path / "RAGGED").write_text("date,a\nd,1\nd\n")
    small_files.recordings(tmp_path)
    shutil.copy(tmp_path / "Made_TRAIN.ts", tmp_path / "Lone_TRAIN.ts")
    (tmp_path / "FOREIGN").mkdir()
    (tmp_path / "FOREIGN" / "thesis.tex").write_text("dear")
    monkeypatch.chdir(tmp_path)
    return tmp_path


@pytest.mark.parametrize("row", BAD, ids=[row[0] for row in BAD])
def test_one_line_and_nothing_written(row, here, capsys):
    given, *words = row
    before = tree(here)
    status = call("gradient_norms", *given.split(" "))
    out, err = capsys.readouterr()
    assert status == 2 and out == ""
    assert err.startswith("error: ") and err.count("\n") == 1
    for word in words:
        assert word in err, f"{word!r} is not in {err!r}"
    assert tree(here) == before, "something was written"


def test_good_input_is_not_refused(here, capsys):
    """The control: the same call with flags that make sense."""
    assert call("gradient_norms", "--dry_run", "--cells=lstm(forget_bias=0)", "--seeds=7,", "--lengths=3") == 0
    out, err = capsys.readouterr()
    assert err == "" and "cells = lstm(forget_bias=0)" in out and "seeds = 7," in out and "1 runs in 1 units" in out
    assert not (here / "runs").exists(), "a dry run writes nothing"


def test_an_unwritable_directory(here, capsys, monkeypatch):
    """As a user without the right to write: root may write anywhere, so the answer of the system is set."""
    monkeypatch.setattr(os, "access", lambda *_: False)
    assert call("gradient_norms", "--out=new", "--lengths=3") == 2
    assert "cannot be written; write another" in capsys.readouterr().err
    assert not (here / "new").exists()


@pytest.mark.parametrize("given", ["--cells=lstn", "--cells=elman(nonlin=relu)", "lstm"])
def test_as_a_process(given, tmp_path):
    """No traceback, before JAX is imported or after."""
    done = subprocess.run(
        [sys.executable, "-m", "experiments.gradient_norms", given, f"--out={tmp_path}/run"],
        capture_output=True,
        text=True,
    )
    assert done.returncode == 2 and done.stdout == "" and done.stderr.count("\n") == 1
    assert not (tmp_path / "run").exists()
