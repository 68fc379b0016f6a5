"""Inputs that every program refuses: of each flag values that are none, and what is wrong together or on the disk."""

import json
import os
import pathlib

import runs_by_hand as runs

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
    "gradient_norms": {
        WHOLES: ("units", "lengths", "seeds", "batch_size", "train_steps"),
        NUMBERS: ("learning_rate",),
        WORDS: ("task", "variant", "cells", "loss", "optimizer", "method", "format", "shard"),
    },
    "report": {WORDS: ("format",)},
    "submit": {WHOLES: ("shards", "minutes", "requeues", "cpus", "gpus", "memory"), WORDS: ("cluster",)},
}  # fmt: skip
RATES = ("--learning_rate=1e39", "--learning_rate=1e-46")  # more and less than a float32 holds
SEEDS = ("--seeds=4294967296,", "--seeds=1,1", "--seeds=-1,", "--seeds=,", "--seeds=0,,1", "--seeds=1;2")
GRIDS = ("--lengths=10,10", "--lengths=10,0", "--lengths=10,,20", "--cells=lstm,lstm", "--cells=lstm,lstn",
         "--cells=elman(init=../x)", "--cells=lstm(forget_bias=nan)", "--cells=lstm(", "--shard=3/2", "--shard=0/2",
         "--shard=2", "--lengths=10000001")  # fmt: skip
PLACES = ("--out=", "--out=a\0b", f"--out={'x' * 300}", "--smoke --out=FILE", "--smoke --out=FILE/x",
          "--smoke --out=FOREIGN")  # fmt: skip
FLAGLESS = ("stray", "--lenght=3", "--smoke=maybe", "--flagfile=/nowhere", "--units")
HUGE = ("--lengths=10000000", "--lengths=10,10000000 --seeds=1,", "--lengths=2,3 --cells=elman --units=100000")
HUGE_RUNS = ("--length=10000000", "--curriculum=9000000 --length=10000000", "--length=2 --cell=elman --units=100000")
TOGETHER = {  # words of a command, apart by spaces; FILE, FOREIGN and so on are in the directory of `disk`
    "train": (*SEEDS, *RATES, *PLACES, *FLAGLESS, *HUGE_RUNS),
    "length_frontier": (*SEEDS, *GRIDS, *PLACES, *FLAGLESS, *HUGE),
    "evaluate": FLAGLESS,
    "sample": FLAGLESS,
    "submit": FLAGLESS,
    "gradient_norms": (*SEEDS, *RATES, *GRIDS, *PLACES, *FLAGLESS, *HUGE, "--task=text --data=../x", "--data=FILE",
                       "--task=text --data=FOREIGN", "--task=images", "--variant=tcn --task=digits"),
    "report": (
        "", "NOWHERE", "../NOWHERE", "FILE", "EMPTY", "FOREIGN", "FOREIGN/thesis.tex", "run/run.json", "run/*", "~/run",
        "http://e.vil/run", "run run", "run run/../run", "run ./run/", "run BROKEN", "run LINKED", "run OTHER",
        "run UNREADABLE", "run nan", "run -1", "run LOOP", "x" * 300, "a\0b", "a\x1b[2Jb", "run -- --format=md",
        *(f"run --{flag}={place}" for flag in ("out", "tensorboard")
          for place in ("", "FILE", "FILE/x", "FOREIGN", "run", "LOOP", "a\0b", "a\0\x1b[2J", "x" * 300, "x/" * 3000)),
        "run --out=run/run.json", "run --out=/dev/null", "run --out=/proc/x/y", "run --format", "run --out",
        "run --tensorboard", "run --outt=x", "run --fromat=md", "run --no_such", "run --seeds=3",
        "run --flagfile=/nowhere", "run --noout", "run --format=md --format=xml",
    ),
}  # fmt: skip
SINGLE = [
    (program, f"--{flag}={bad}")
    for program, kinds in FLAGS.items()
    for values, flags in kinds.items()
    for flag in flags
    for bad in values
]
CASES = [*SINGLE, *((program, words) for program, all_words in TOGETHER.items() for words in all_words)]


def disk(path: pathlib.Path) -> None:
    """What the commands above name."""
    runs.lengths(path / "run")
    runs.lengths(path / "OTHER")
    rows = (path / "OTHER" / "results.jsonl").read_text()
    (path / "OTHER" / "results.jsonl").write_text(rows.replace("-0.1", "-0.2"))
    runs.lengths(path / "BROKEN", units="9")
    (path / "BROKEN" / "run.json").write_text(json.dumps({"schema": 1})[:-1])
    runs.lengths(path / "LINKED", units="9")
    (path / "LINKED" / "results.jsonl").unlink()
    (path / "LINKED" / "results.jsonl").symlink_to(path / "OTHER" / "results.jsonl")
    runs.lengths(path / "UNREADABLE", units="9")
    (path / "UNREADABLE" / "results.jsonl").write_bytes(b"\xff\xfe\n")
    (path / "LOOP").symlink_to(path / "LOOP")
    (path / "EMPTY").mkdir()
    (path / "FILE").write_text("dear")
    (path / "FOREIGN").mkdir()
    (path / "FOREIGN" / "thesis.tex").write_text("dear")
    os.symlink("nowhere", path / "FOREIGN" / "link")
