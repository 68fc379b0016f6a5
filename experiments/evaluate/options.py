"""The flags of evaluation. Imports no JAX."""

from dataclasses import dataclass, fields
from typing import Any

from absl import flags

from experiments import flags as kinds
from experiments import names
from experiments.exits import BadInput
from experiments.tables import FORMATS

flags.disclaim_key_flags()  # the flags are the program's that calls `define`, and stand in its --help

PROGRAM = "evaluate"
SPLITS = ("train", "valid", "test")


def define(values: flags.FlagValues = flags.FLAGS) -> None:
    """Define the flags that an evaluation has."""

    def flag(kind: flags.ArgumentParser, name: str, default: Any, help: str) -> None:
        kinds.define(kind, name, default, help, values)

    flag(kinds.place("a directory"), "run", None, "Directory of a run of python -m experiments.train. Required.")
    flag(
        kinds.word(("best", "last")),
        "which",
        None,
        "What the run had learned at its best look at validation data, or at its end: best, last. By default best, "
        "where the run has it; last also of a run that was interrupted.",
    )
    flag(
        kinds.word(SPLITS),
        "split",
        "test",
        "Part of the data that is looked at, all of it: train, valid, test, where the task has them. Of a generated "
        "task 1000 sequences: valid, test.",
    )
    flag(
        kinds.wholes(0, 10**7, "write e.g. 100,200"),
        "length",
        None,
        "Lengths of sequences in steps, with commas; 0: as the data has it. By default that of training.",
    )
    flag(kinds.place("a path"), "data", None, "Where the data lie now. By default where they were in training.")
    kinds.switch(
        "other_data", "--data are other data than those of training, which have to be where they were.", values
    )
    flag(
        kinds.word(names.METHODS),
        "method",
        None,
        f"Way through time: {', '.join(names.METHODS)}. By default that of training.",
    )
    flag(kinds.word(FORMATS), "format", "text", f"Format of the table on standard output: {', '.join(FORMATS)}.")
    flag(kinds.place("a file"), "out", None, "JSON file that is written, or replaced if it is an older answer.")
    kinds.switch("dry_run", "Say what would be looked at, its memory and time; write nothing.", values)


@dataclass(frozen=True)
class Settings:
    run: str
    which: str | None
    split: str
    length: tuple[int, ...]  # (): that of training
    data: str | None
    other_data: bool
    method: str | None
    format: str
    out: str | None
    dry_run: bool

    @classmethod
    def read(cls, values: Any = flags.FLAGS) -> "Settings":
        """From flags already parsed; what the run has to allow is checked by the program."""
        made = {field.name: values[field.name].value for field in fields(cls)}
        if not made["run"]:
            raise BadInput("flag --run: not given; write the directory of a trained run, e.g. --run=runs/train/NAME")
        if made["other_data"] and not made["data"]:
            raise BadInput("flag --other_data: no --data given; write --data=FILE --other_data")
        made["length"] = tuple(made["length"] or ())
        return cls(**made)
