"""The flags of measuring gradient norms, and what they resolve to. Imports no JAX."""

import os
from dataclasses import dataclass
from functools import partial
from typing import Any

from absl import flags

from experiments import flags as kinds
from experiments import names, sharding
from experiments.cell_specs import CellSpec, parse
from experiments.exits import BadInput
from experiments.resolving import directory
from experiments.sharding import Shard
from experiments.tables import FORMATS

flags.disclaim_key_flags()  # the flags are the program's that calls `define`, and stand in its --help

PROGRAM = "gradient_norms"
LENGTHS = {
    "adding": (50, 100, 200),
    "multiplication": (50, 100, 200),
    "copy": (25, 50, 100),
    "memorisation": (25, 50, 100),
    "temporal_order": (50, 100, 200),
    "parity": (25, 50, 100),
    "delayed_xor": (25, 50, 100),
    "sentiment": (16, 32, 64),
    "agreement": (16, 32, 64),
    "digits": (8, 16, 32, 64),
    "text": (32, 64, 128),
    "images": (28, 56, 112),
    "series": (24, 48, 96),
    "recordings": (8, 16, 24),
    "music": (16, 32, 64),
}
SMOKE = {"cells": "elman,lstm", "lengths": [16], "units": 8, "seeds": [0, 1], "batch_size": 4, "train_steps": 3}
VARIANTS = "; ".join(f"{task}: {', '.join(variants)}" for task, variants in names.VARIANTS.items())
FILES = "; ".join(f"{task}: {what}" for task, what in names.FILES.items())
DEFAULTS = "; ".join(f"{task} {','.join(map(str, lengths))}" for task, lengths in LENGTHS.items())


def define(values: flags.FlagValues = flags.FLAGS) -> None:
    """Define the flags that the program has."""
    flag = partial(kinds.define, values=values)
    flag(kinds.word(names.TASKS), "task", "adding", f"What is learned: {', '.join(names.TASKS)}.")
    flag(kinds.free("a variant"), "variant", None, f"Form of the task, by default its first. {VARIANTS}.")
    flag(kinds.place("a path"), "data", None, f"What a task of real data reads; text carries one. {FILES}.")
    flag(
        kinds.cells(names.CELLS),
        "cells",
        "elman,lstm,gru",
        "Cells, with options in brackets, e.g. 'elman(nonlinearity=relu,init=identity)', or all. "
        f"Of: {', '.join(names.CELLS)}.",
    )
    flag(
        kinds.wholes(1, 10**7, "write e.g. 10,100"),
        "lengths",
        None,
        "Sequence lengths, in steps (for copy and memorisation the delay; for digits and images a divisor of the "
        f"number of pixels; of recordings and music the first so many). By default {DEFAULTS}.",
    )
    flag(kinds.whole(1, 10**5), "units", 128, "Hidden units of every cell, 1 or more.")
    flag(kinds.seeds(10**4), "seeds", 8, "Seeds: a count, or a list with a comma (0,1,7; 7, is seed 7). 0 to 2^32-1.")
    flag(kinds.whole(1, 10**6), "batch_size", 32, "Examples in a batch, 1 or more.")
    flag(kinds.word(("last", "all")), "loss", "last", "Loss on the last scored step, or on all scored steps.")
    flag(kinds.whole(0, 10**8), "train_steps", 0, "Steps of training before a second measurement; 0 for none.")
    flag(kinds.word(names.OPTIMIZERS), "optimizer", "adam", f"Of optax: {', '.join(names.OPTIMIZERS)}.")
    flag(kinds.positive(), "learning_rate", 1e-3, "Learning rate, constant, above 0.")
    flag(
        kinds.word(names.METHODS),
        "method",
        "auto",
        f"Way through time in training: {', '.join(names.METHODS)}. auto chooses.",
    )
    flag(kinds.shard(), "shard", None, sharding.HELP)
    flag(
        kinds.place("a directory"), "out", None, "Directory of the run. By default runs/gradient_norms/<hash of flags>."
    )
    flag(kinds.word(FORMATS), "format", "text", f"Format of the table on standard output: {', '.join(FORMATS)}.")
    kinds.switch(
        "smoke",
        "Try everything in seconds: small sizes wherever no flag says otherwise, compiled without optimisation.",
        values,
    )
    kinds.switch("dry_run", "Say what would run, its parameters, memory and time; write nothing.", values)


@dataclass(frozen=True)
class Settings:
    task: str
    variant: str
    data: str  # "" where the task reads none
    cells: tuple[CellSpec, ...]
    lengths: tuple[int, ...]
    units: int
    seeds: tuple[int, ...]
    batch_size: int
    loss: str
    train_steps: int
    optimizer: str
    learning_rate: float
    method: str
    smoke: bool
    shard: Shard | None
    out: str | None
    format: str
    dry_run: bool

    @classmethod
    def read(cls, values: Any = flags.FLAGS) -> "Settings":
        """From flags already parsed; what needs JAX to be checked is checked by the program."""

        def value(name: str) -> Any:
            if values.smoke and name in SMOKE and not values[name].present:
                return SMOKE[name]
            return values[name].value

        task = values.task
        variant = values.variant or names.VARIANTS[task][0]
        try:
            kinds.word(names.VARIANTS[task]).parse(variant)
        except ValueError as error:
            raise BadInput(f"flag --variant={variant}: for --task={task}, {error}") from None
        if values.data and task not in names.FILES:
            readers = ", ".join(f"--task={name}" for name in names.FILES)
            raise BadInput(f"flag --data={values.data}: --task={task} reads no file; write {readers}, or leave it out")
        if not values.data and task in names.FILES and task != "text":
            raise BadInput(f"flag --data: --task={task} reads a file; write the path of {names.FILES[task]}")
        return cls(
            task=task,
            variant=variant,
            data=os.path.abspath(values.data) if values.data else "",
            cells=tuple(parse(value("cells")) if isinstance(value("cells"), str) else value("cells")),
            lengths=tuple(value("lengths") or LENGTHS[task]),
            units=value("units"),
            seeds=tuple(range(value("seeds")) if isinstance(value("seeds"), int) else value("seeds")),
            batch_size=value("batch_size"),
            loss=values.loss,
            train_steps=value("train_steps"),
            optimizer=values.optimizer,
            learning_rate=values.learning_rate,
            method=values.method,
            smoke=values.smoke,
            shard=values.shard,
            out=values.out,
            format=values.format,
            dry_run=values.dry_run,
        )

    def resolved(self, cells: list[str]) -> dict[str, str]:
        """What determines the results, as the values of flags; `cells` in their canonical spelling."""
        seeds = ",".join(map(str, self.seeds)) + ("," if len(self.seeds) == 1 else "")
        told = {
            "task": self.task,
            "variant": self.variant,
            "data": self.data,
            "cells": ",".join(cells),
            "lengths": ",".join(map(str, self.lengths)),
            "units": str(self.units),
            "seeds": seeds,
            "batch_size": str(self.batch_size),
            "loss": self.loss,
            "train_steps": str(self.train_steps),
            "optimizer": self.optimizer,
            "learning_rate": repr(self.learning_rate),
            "method": self.method,
            "smoke": str(self.smoke).lower(),
            "shard": str(self.shard or ""),
        }
        return {name: value for name, value in told.items() if value}

    def directory(self, flags: dict[str, str]) -> str:
        """--out, or a name made of the resolved flags, so that the same command finds its run again."""
        return self.out or directory(PROGRAM, flags)
