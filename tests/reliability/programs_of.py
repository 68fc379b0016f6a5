"""Programs by name, called in this process with flags of their own."""

import importlib
import pathlib

from absl import flags

PROGRAMS = ("train", "length_frontier", "evaluate", "sample", "submit")
DEFINE = {"train": "options", "length_frontier": "settings", "evaluate": "options", "sample": "options",
          "submit": "options"}  # fmt: skip


def call(program: str, *given: str) -> int:
    """The exit status of a program."""
    values = flags.FlagValues()
    importlib.import_module(f"experiments.{program}.{DEFINE[program]}").define(values)
    main = importlib.import_module(f"experiments.{program}.__main__").main
    try:
        return main([program, *given], values)
    except SystemExit as stop:
        return stop.code


def tree(path: pathlib.Path) -> list[str]:
    return sorted(str(p) for p in path.rglob("*"))
