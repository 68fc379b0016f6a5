"""Programs by name, called in this process with flags of their own."""

import importlib
import pathlib

from absl import flags

PROGRAMS = ("train", "length_frontier", "evaluate", "sample", "gradient_norms", "report", "submit")
DEFINE = {"train": "options", "length_frontier": "settings", "evaluate": "options", "sample": "options",
          "gradient_norms": "settings", "report": "options", "submit": "options"}  # fmt: skip


def call(program: str, *given: str) -> int:
    """The exit status of a program."""
    main = importlib.import_module(f"experiments.{program}.__main__").main
    try:
        values = flags.FlagValues()
        importlib.import_module(f"experiments.{program}.{DEFINE[program]}").define(values)
        return main([program, *given], values)
    except SystemExit as stop:
        return int(stop.code or 0)


def tree(path: pathlib.Path) -> list[tuple[str, bytes]]:
    """All that is in a directory."""
    return sorted((str(p), p.read_bytes() if p.is_file() else b"") for p in path.rglob("*"))
