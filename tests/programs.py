"""Programs by name, called in this process, each time with flags of their own; and tiny trained runs for them."""

import contextlib
import importlib
import io
import pathlib
from functools import partial
from typing import Any

from absl import flags

from experiments.train import program
from experiments.train.options import settings_of

PROGRAMS = ("train", "length_frontier", "evaluate", "sample", "gradient_norms", "report", "submit")
DEFINE = {"length_frontier": "settings", "gradient_norms": "settings"}  # where `define` is, if not in options


def call(name: str, *given: Any) -> int:
    """The exit status of a program."""
    values = flags.FlagValues()
    main = importlib.import_module(f"experiments.{name}.__main__").main
    try:
        importlib.import_module(f"experiments.{name}.{DEFINE.get(name, 'options')}").define(values)
        return main([name, *map(str, given)], values)
    except SystemExit as stop:
        return int(stop.code or 0)


report = partial(call, "report")


def train(path: pathlib.Path, **given: str) -> pathlib.Path:
    """The directory of a run of six updates."""
    settings = settings_of({"smoke": "true", "flow_every": "0", "seeds": "3,5", "out": str(path), **given})
    with contextlib.redirect_stdout(io.StringIO()):
        assert program.run(settings, ["train"]) == 0
    return path


def tree(path: pathlib.Path) -> list[tuple[str, bytes]]:
    """All that is in a directory."""
    return sorted((str(p.relative_to(path)), p.read_bytes() if p.is_file() else b"") for p in path.rglob("*"))


def refused(status: int, out: str, err: str, words: tuple[str, ...]) -> None:
    """Bad input is one line that holds these words."""
    assert status == 2 and out == "" and err.startswith("error: ") and err.count("\n") == 1, (status, out, err)
    for word in words:
        assert word in err, f"{word!r} is not in {err!r}"
