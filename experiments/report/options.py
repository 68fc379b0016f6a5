"""The flags of a report. Imports neither JAX nor NumPy."""

import os
from dataclasses import dataclass
from typing import Any

from absl import flags

from experiments import flags as kinds
from experiments.exits import BadInput
from experiments.tables import FORMATS

flags.disclaim_key_flags()  # the flags are the program's that calls `define`, and stand in its --help

PROGRAM = "report"


def define(values: flags.FlagValues = flags.FLAGS) -> None:
    """Define the flags that a report has."""
    kinds.define(
        kinds.place("a directory"),
        "out",
        None,
        "Directory of the report, new or that of an older report, which is replaced. By default none is written.",
        values,
    )
    kinds.define(
        kinds.word(FORMATS), "format", "text", f"Format of the tables on standard output: {', '.join(FORMATS)}.", values
    )
    kinds.define(
        kinds.place("a directory"),
        "tensorboard",
        None,
        "Directory for TensorBoard's event files: losses and gradient norms of runs of training. By default none. "
        "Needs the extra tb.",
        values,
    )


@dataclass(frozen=True)
class Settings:
    runs: tuple[str, ...]
    out: str | None
    format: str
    tensorboard: str | None

    @classmethod
    def read(cls, words: list[str], values: Any = flags.FLAGS) -> "Settings":
        if not words:
            raise BadInput("no run given; write directories of runs, e.g. python -m experiments.report runs/train/*")
        for word in words:
            if fault := kinds.no_place(word):
                raise BadInput(f"{shown(word)[:80] or 'an empty word'}: {fault}; write the directory of a run")
        places = [os.path.realpath(word) for word in words]
        for word, place in zip(words, places, strict=True):
            if places.count(place) > 1:
                raise BadInput(f"{shown(word)} is given twice; write each run once")
        return cls(tuple(words), values["out"].value, values["format"].value, values["tensorboard"].value)


def shown(text: str) -> str:
    """A user's string on one line, without what a terminal would obey."""
    return "".join(c if c.isprintable() else repr(c)[1:-1] for c in text)
