"""The flags of one run, resolved: every default filled in. Imports no JAX."""

from dataclasses import dataclass, fields
from typing import Any

from absl import flags

from experiments import flags as kinds
from experiments import names, sharding
from experiments.cell_specs import CellSpec, parse
from experiments.exits import BadInput
from experiments.resolving import directory, spelled
from experiments.tables import FORMATS
from experiments.train import options

flags.disclaim_key_flags()  # the flags are the program's that calls `define`, and stand in its --help

PROGRAM = "length_frontier"
LENGTHS = {
    "adding": (20, 40, 60, 100, 150, 200),
    "copy": (5, 10, 20, 40, 80),
    "temporal_order": (20, 40, 60, 100, 150, 200),
    "multiplication": (20, 40, 60, 100, 150, 200),
    "memorisation": (5, 10, 20, 40, 80),
    "parity": (5, 10, 20, 40),
    "delayed_xor": (10, 20, 40, 80),
    "sentiment": (8, 16, 32, 64),
    "agreement": (16, 32, 64),
}  # tasks that can be had at any length
LOCAL = ("out", "format", "dry_run")  # flags that change no result
SMOKE = {"cells": "elman,lstm", "lengths": [10, 12], "units": 8, "seeds": [0, 1], "batch_size": 4, "steps": 4,
         "eval_every": 2, "learning_rates": [1e-3, 1e-2]}  # fmt: skip


VARIANTS = "; ".join(f"{task}: {', '.join(names.VARIANTS[task])}" for task in LENGTHS)


def define(values: flags.FlagValues = flags.FLAGS) -> None:
    """Define the flags that the program has."""

    def flag(kind: flags.ArgumentParser, name: str, default: Any, help: str) -> None:
        kinds.define(kind, name, default, help, values)

    flag(
        kinds.spec(tuple(LENGTHS), "adding"),
        "task",
        "adding",
        f"What is learned, with options in brackets where the task has any. Of: {', '.join(LENGTHS)}.",
    )
    flag(kinds.free("a variant"), "variant", None, f"Form of the task, by default its first. {VARIANTS}.")
    flag(
        kinds.cells(names.CELLS),
        "cells",
        "elman,lstm,gru",
        f"Cells, with options in brackets. Of: {', '.join(names.CELLS)}.",
    )
    flag(
        kinds.wholes(1, 10**7, "write e.g. 20,50,100"),
        "lengths",
        None,
        "Sequence lengths, in steps, two or more; by default "
        + "; ".join(f"{task} {','.join(map(str, lengths))}" for task, lengths in LENGTHS.items())
        + ".",
    )
    flag(kinds.whole(1, 10**5), "units", 64, "Hidden units, 1 or more.")
    flag(kinds.seeds(1000), "seeds", 3, "Seeds: a count, or a list with a comma (0,1,7; 7, is seed 7). 0 to 2^32-1.")
    flag(kinds.rates(), "learning_rates", [5e-4, 2e-3, 5e-3], "Learning rates to choose from, above 0.")
    flag(kinds.word(names.SCHEDULES), "schedule", "constant", f"How they go on: {', '.join(names.SCHEDULES)}.")
    flag(
        kinds.spec(names.OPTIMIZERS, "adam(b2=0.99)"),
        "optimizer",
        "adam",
        f"Of optax, with its options in brackets: {', '.join(names.OPTIMIZERS)}.",
    )
    flag(kinds.at_least_0(), "clip_norm", 1.0, "Bound of the gradient's norm; 0: none.")
    flag(kinds.whole(1, 10**6), "batch_size", 32, "Examples in a batch, 1 or more.")
    flag(kinds.whole(1, 10**9), "steps", 4000, "Updates that a run may take.")
    flag(kinds.whole(1, 10**9), "eval_every", 100, "Updates between looks at 1,000 held-out examples.")
    flag(kinds.shard(), "shard", None, sharding.HELP)
    flag(
        kinds.place("a directory"),
        "out",
        None,
        "The run's directory. By default runs/length_frontier/<hash of flags>.",
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
    task: CellSpec
    variant: str
    cells: tuple[CellSpec, ...]
    lengths: tuple[int, ...]
    units: int
    seeds: tuple[int, ...]
    learning_rates: tuple[float, ...]
    schedule: str
    optimizer: CellSpec
    clip_norm: float
    batch_size: int
    steps: int
    eval_every: int
    smoke: bool
    shard: sharding.Shard | None
    out: str | None
    format: str
    dry_run: bool

    @classmethod
    def read(cls, values: Any = flags.FLAGS) -> "Settings":
        """From flags already parsed; what needs JAX to be checked is checked by the program."""

        def value(name: str) -> Any:
            found = values[name]
            if values.smoke and name in SMOKE and not found.present:
                return SMOKE[name]
            return found.value

        made = {field.name: value(field.name) for field in fields(cls)}
        for name in ("task", "optimizer"):
            made[name] = parse(made[name])[0] if isinstance(made[name], str) else made[name]
        cells, seeds = made["cells"], made["seeds"]
        made["cells"] = tuple(parse(cells) if isinstance(cells, str) else cells)
        made["seeds"] = tuple(range(seeds) if isinstance(seeds, int) else seeds)
        made["variant"] = options.variant(made["task"].name, made["variant"])
        made["lengths"] = tuple(sorted(made["lengths"] or LENGTHS[made["task"].name]))
        made["learning_rates"] = tuple(sorted(made["learning_rates"]))
        shortest, *longer = made["lengths"]
        if not longer:
            raise BadInput(f"flag --lengths={shortest}: a frontier lies between lengths; write two or more")
        return cls(**made)

    def resolved(self, cells: list[str]) -> dict[str, str]:
        """What determines the results, as the values of flags; `cells` in their canonical spelling."""
        left_out = (*LOCAL, *(() if self.shard else ("shard",)))
        told = {field.name: getattr(self, field.name) for field in fields(self) if field.name not in left_out}
        return {name: spelled(name, value) for name, value in {**told, "cells": tuple(cells)}.items()}

    def directory(self, resolved: dict[str, str]) -> str:
        return self.out or directory(PROGRAM, resolved)

    def training(self, cell: CellSpec, length: int) -> options.Settings:
        """The settings of training one cell at one length, at a learning rate of 1: its states say by how much less."""
        values = flags.FlagValues()
        options.define(values)
        given = {
            "task": self.task,
            "variant": self.variant,
            "cell": cell,
            "length": length,
            "units": self.units,
            "seeds": self.seeds,
            "learning_rate": 1.0,
            "schedule": self.schedule,
            "optimizer": self.optimizer,
            "clip_norm": self.clip_norm,
            "batch_size": self.batch_size,
            "steps": self.steps,
            "eval_every": self.eval_every,
            "flow_every": 0,
        }
        values(["", *(f"--{name}={spelled(name, value)}" for name, value in given.items())])
        return options.Settings.read(values)
