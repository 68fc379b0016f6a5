"""The flags of sampling. Imports no JAX."""

from dataclasses import dataclass, fields
from typing import Any

from absl import flags

from experiments import flags as kinds
from experiments.exits import BadInput

flags.disclaim_key_flags()  # the flags are the program's that calls `define`, and stand in its --help

PROGRAM = "sample"


def define(values: flags.FlagValues = flags.FLAGS) -> None:
    """Define the flags that sampling has."""

    def flag(kind: flags.ArgumentParser, name: str, default: Any, help: str) -> None:
        kinds.define(kind, name, default, help, values)

    flag(
        kinds.place("a directory"),
        "run",
        None,
        "Directory of a run of python -m experiments.train --task=text. Required.",
    )
    flag(
        kinds.word(("best", "last")),
        "which",
        None,
        "What the run had learned at its best look at validation data, or at its end: best, last. By default best, "
        "where the run has it; last also of a run that was interrupted.",
    )
    flag(
        kinds.whole(0, kinds.HIGHEST_SEED),
        "seed_of_run",
        None,
        "Which of the networks of the run, by the seed it was trained from. By default the first.",
    )
    flag(
        kinds.free("at least one symbol", strip=False),
        "prompt",
        None,
        "Text that is gone on from, of symbols that training met. By default a newline, which is not printed, or "
        "the first symbol of the alphabet.",
    )
    flag(kinds.whole(1, 10**7), "symbols", 500, "Symbols written in each passage, 1 or more.")
    flag(
        kinds.at_least_0(),
        "temperature",
        1.0,
        "Scores are divided by it: below 1 safer, above 1 wilder, 0 the likeliest symbol each time.",
    )
    flag(kinds.whole(0, 10**7), "top_k", 0, "Draw from so many of the likeliest symbols; 0: from all.")
    flag(
        kinds.seeds(10**4),
        "seeds",
        1,
        "A passage for each seed: a count, or a list with a comma (0,1,7; 7, is seed 7). 0 to 2^32-1.",
    )
    flag(kinds.place("a path"), "data", None, "Where the text of training lies now. By default where it was.")
    flag(kinds.place("a file"), "out", None, "JSON file that is written, or replaced if it is an older answer.")
    kinds.switch("dry_run", "Say what would be written; write nothing.", values)


@dataclass(frozen=True)
class Settings:
    run: str
    which: str | None
    seed_of_run: int | None  # None: the first
    prompt: str | None  # None: of no consequence
    symbols: int
    temperature: float
    top_k: int
    seeds: tuple[int, ...]
    data: str | None
    out: str | None
    dry_run: bool

    @classmethod
    def read(cls, values: Any = flags.FLAGS) -> "Settings":
        """From flags already parsed; what the run has to allow is checked by the program."""
        made = {field.name: values[field.name].value for field in fields(cls)}
        if not made["run"]:
            raise BadInput("flag --run: not given; write the directory of a trained run, e.g. --run=runs/train/NAME")
        seeds = made["seeds"]
        made["seeds"] = tuple(range(seeds) if isinstance(seeds, int) else seeds)
        return cls(**made)
