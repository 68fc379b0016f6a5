"""What holds for any JSON, table, grid, checkpoint and flag: strict, without formulas, dealt out, found, read back."""

import csv
import io
import json
import math

import jax
import numpy as np
import processes
import pytest
from absl import flags
from drawing import fails, holds
from hypothesis import assume
from hypothesis import strategies as st

from experiments import exits, tables
from experiments.run_directory import RunDirectory
from experiments.sharding import Shard, deal
from experiments.starting import guarded, parse
from experiments.train.options import Settings, define, settings_of
from rnnx.training import checkpoint

KEYS = st.text(max_size=5).filter(lambda key: key != "nonfinite")
WILD = (math.nan, math.inf, -math.inf)
VALUE = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.sampled_from(WILD) | st.text(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(KEYS, inner, max_size=3),
    max_leaves=8,
)


def same(got, want) -> bool:
    """Whether JSON says what was written: numbers to the last bit, and beside null which number it was not."""
    if isinstance(want, dict):
        told = got.pop("nonfinite", {})
        wild = {key: str(v) for key, v in want.items() if isinstance(v, float) and not math.isfinite(v)}
        return told == wild and list(got) == list(want) and all(same(got[key], want[key]) for key in want)
    if isinstance(want, list):
        return len(got) == len(want) and all(map(same, got, want))
    if isinstance(want, float) and not math.isfinite(want):
        return got is None
    return type(got) is type(want) and repr(got) == repr(want)


@holds(value=st.dictionaries(KEYS, VALUE, max_size=4), indent=st.sampled_from([None, 1]))
def test_json_is_strict_and_comes_back(value, indent):
    line = tables.to_json(value, indent)
    assert same(processes.strict(line), value) and (indent or line.count("\n") == 1)


def test_the_control_is_json_as_python_writes_it():
    def plain(value):
        processes.strict(json.dumps(value))

    assert fails(plain, value=VALUE)


CELL = st.text(max_size=8) | st.text("=+-@\t\r\n\",;'x1", max_size=5) | st.floats() | st.integers() | st.none()


@holds(rows=st.lists(st.fixed_dictionaries({"a": CELL, "b": CELL}), min_size=1, max_size=4))
def test_csv_comes_back_and_holds_no_formula(rows):
    read = list(csv.DictReader(io.StringIO(tables.to_csv(rows), newline="")))
    assert len(read) == len(rows)
    for got, want in ((got[key], row[key]) for got, row in zip(read, rows, strict=True) for key in row):
        if isinstance(want, str):
            assert got[:1] not in tuple("=+-@\t\r") and got.removeprefix("'" if got != want else "") == want
        elif want is None or not math.isfinite(want):
            assert got == ""
        else:
            assert type(want)(got) == want


@holds(work=st.lists(st.floats(0.1, 1e9), min_size=1, max_size=40), which=st.integers(0, 39))
def test_shards_part_any_grid(work, which):
    """Every unit in one of them, none without; none has more than the lightest and one unit."""
    parts = 1 + which % len(work)
    hands = [deal(work, Shard(i + 1, parts)) for i in range(parts)]
    assert sorted(place for hand in hands for place in hand) == list(range(len(work)))
    loads = [sum(work[place] for place in hand) for hand in hands]
    assert all(hands) and max(loads) <= (min(loads) + max(work)) * (1 + 1e-9)


@pytest.fixture(scope="module", autouse=True)
def saved(tmp_path_factory):
    global FOLDER
    FOLDER = tmp_path_factory.mktemp("properties")
    checkpoint.save(FOLDER / "checkpoints", 1, {"w": np.arange(7.0), "key": jax.random.key(1)}, {"step": 1})


@holds(which=st.integers(0), place=st.integers(0))
def test_any_flipped_bit_of_a_checkpoint_is_found(which, place):
    folder = FOLDER / "checkpoints"
    files = [path for path in sorted((folder / "1").rglob("*")) if path.is_file() and path.stat().st_size]
    path = files[which % len(files)]
    whole = path.read_bytes()
    broken = bytearray(whole)
    broken[place // 8 % len(whole)] ^= 1 << place % 8
    path.write_bytes(broken)
    try:
        assert path.name in (checkpoint.damage(folder, 1) or "")
    finally:
        path.write_bytes(whole)
    assert checkpoint.damage(folder, 1) is None


# ------------------------------------------------------------------------------------------------ flags

SEEDS = st.integers(1, 9).map(str) | st.lists(st.integers(0, 2**32 - 1), min_size=1, max_size=4, unique=True).map(
    lambda seeds: ",".join(map(str, seeds)) + ","
)
POSITIVE = st.floats(1e-300, 1e300).map(repr)
GIVEN = st.fixed_dictionaries(
    {},
    optional={
        "learning_rate": POSITIVE,
        "noise": POSITIVE,
        "dropout": st.floats(0, 0.99).map(repr),
        "clip_norm": POSITIVE | st.just("0"),
        "units": st.integers(1, 10**5).map(str),
        "length": st.integers(0, 10**7).map(str),
        "bidirectional": st.sampled_from(["true", "false"]),
        "seeds": SEEDS,
        "curriculum": st.lists(st.integers(1, 99), min_size=1, max_size=3, unique=True).map(
            lambda lengths: ",".join(map(str, lengths))
        ),
        "cell": st.floats(-9, 9).map(lambda bias: f"lstm(forget_bias={bias!r},recurrent_init=identity:0.5)"),
        "optimizer": st.floats(0, 0.999).map(lambda b2: f"adam(b2={b2!r})"),
        "data": st.text(min_size=1, max_size=12) | st.text("ab/ \n\r\t#'=\u2028", min_size=1, max_size=6),
    },
)


@holds(chosen=GIVEN)
def test_config_flags_come_back(chosen):
    """What a run keeps of its flags makes the same run again, through the file too."""
    if "data" in chosen:
        chosen = chosen | {"task": "text"}
    try:
        first = settings_of(chosen).resolved()
    except flags.IllegalFlagValueError:
        assume(False)
    directory = RunDirectory(str(FOLDER / "run"), "train", first)
    (FOLDER / "config.flags").write_text(directory.config)
    values = flags.FlagValues()
    define(values)
    parse(["train", f"--flagfile={FOLDER / 'config.flags'}"], values)
    assert Settings.read(values).resolved() == first == settings_of(first).resolved()


NAMES = st.sampled_from(["task", "variant", "data", "cell", "units", "seeds", "learning_rate", "optimizer", "out",
                         "curriculum", "coordinator", "devices", "method", "bidirectional"])  # fmt: skip


@holds(name=NAMES, text=st.text(max_size=12) | st.text("0123456789.,-+e_()=: \n/", max_size=8))
def test_any_text_for_a_flag_is_taken_or_refused_in_one_line(name, text):
    values, err = flags.FlagValues(), io.StringIO()
    define(values)

    def work() -> int:
        Settings.read(values)
        return 0

    with pytest.MonkeyPatch.context() as patched:
        patched.setattr("sys.stderr", err)
        try:
            parse(["train", f"--{name}={text}"], values)
            status = guarded(work, "")
        except SystemExit as stop:
            status = stop.code
    told = err.getvalue()
    assert (status, told) == (0, "") or status == exits.BAD_INPUT and told.startswith("error: "), (status, told)
    assert len(told.splitlines()) == (status != 0) and f"--{name}=" in told + f"--{name}=" * (status == 0)
