"""Hundreds of bad inputs over the programs: status 2, one line that names the flag, nothing written."""

import pytest
from programs_of import PROGRAMS, call, tree

NUMBERS = ("", "abc", "nan", "inf", "-inf", "-1", "1e999", "0x10", "1_0", "1.5.2", "1,5x", "--", "⅕")
WHOLES = (*NUMBERS, "2.5", "1e3", "99999999999999999999")
WORDS = ("", "nothing", "LSTM", "../x", "a b", "lstm;gru", "<script>")
FLAGS = {
    "train": {
        WHOLES: ("units", "layers", "length", "steps", "batch_size", "seeds", "eval_every", "flow_every", "patience",
                 "buckets", "epochs", "warmup", "keep", "max_skips", "curriculum", "embedding"),
        NUMBERS: ("learning_rate", "clip_norm", "clip_value", "clip_block", "dropout", "input_dropout", "weight_decay",
                  "noise", "penalty", "end"),
        WORDS: ("task", "variant", "cell", "optimizer", "schedule", "pool", "method", "penalty_form", "on_nonfinite",
                "format"),
    },
    "length_frontier": {
        WHOLES: ("units", "seeds", "batch_size", "steps", "eval_every", "lengths"),
        NUMBERS: ("learning_rates", "clip_norm"),
        WORDS: ("task", "cells", "optimizer", "schedule", "format"),
    },
    "evaluate": {WHOLES: ("length",), WORDS: ("which", "split", "format", "method")},
    "sample": {WHOLES: ("symbols", "top_k", "seeds", "seed_of_run"), NUMBERS: ("temperature",), WORDS: ("which",)},
    "submit": {WHOLES: ("shards", "minutes", "requeues", "cpus", "gpus", "memory"), WORDS: ("cluster",)},
}  # fmt: skip
CASES = [
    (program, flag, bad)
    for program, kinds in FLAGS.items()
    for values, flags in kinds.items()
    for flag in flags
    for bad in values
]


def test_there_are_hundreds():
    assert len(CASES) > 400 and {program for program, *_ in CASES} == set(PROGRAMS)


@pytest.mark.parametrize("program", PROGRAMS)
def test_each_is_one_line_and_writes_nothing(program, tmp_path, capsys, monkeypatch):
    monkeypatch.chdir(tmp_path)
    for _, flag, bad in (case for case in CASES if case[0] == program):
        status = call(program, f"--{flag}={bad}")
        out, err = capsys.readouterr()
        told = (program, flag, bad, status, out, err)
        assert status == 2 and out == "" and err.startswith("error: ") and err.count("\n") == 1, told
        assert f"--{flag}" in err and "Traceback" not in err, told
        assert tree(tmp_path) == [], told


@pytest.mark.parametrize("program", PROGRAMS)
@pytest.mark.parametrize("word", ["stray", "--lenght=3", "--smoke=maybe", "--flagfile=/nowhere", "--units"])
def test_words_that_are_no_flags(program, word, tmp_path, capsys, monkeypatch):
    monkeypatch.chdir(tmp_path)
    status = call(program, word)
    out, err = capsys.readouterr()
    assert (status, out, err.count("\n")) == (2, "", 1) and err.startswith("error: "), (program, word, err)
    assert tree(tmp_path) == []


def test_the_control_is_good_input(tmp_path, capsys, monkeypatch):
    """What looks alike and is right goes through: nothing is refused for its own sake."""
    monkeypatch.chdir(tmp_path)
    for given in ("--units=3", "--learning_rate=1e-3", "--cell=lstm(forget_bias=0)", "--seeds=0,1,7", "--dropout=0.0"):
        assert call("train", given, "--dry_run") == 0, capsys.readouterr()
    assert tree(tmp_path) == []
