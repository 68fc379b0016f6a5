"""The flags of one run, resolved: every default filled in. Imports no JAX."""

import os
from dataclasses import dataclass
from typing import Any

from experiments import flags as kinds
from experiments import names
from experiments.cell_specs import CellSpec, parse
from experiments.exits import BadInput
from experiments.resolving import directory
from experiments.sharding import Shard

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


@dataclass(frozen=True)
class Settings:
    task: str
    variant: str
    file: str  # "" where the task reads none
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
    def read(cls, flags: Any) -> "Settings":
        """From absl's FLAGS, already parsed; what needs JAX to be checked is checked by the program."""

        def value(name: str) -> Any:
            if flags.smoke and name in SMOKE and not flags[name].present:
                return SMOKE[name]
            return flags[name].value

        task = flags.task
        variant = flags.variant or names.VARIANTS[task][0]
        try:
            kinds.word(names.VARIANTS[task]).parse(variant)
        except ValueError as error:
            raise BadInput(f"flag --variant={variant}: for --task={task}, {error}") from None
        if flags.file and task not in names.FILES:
            readers = ", ".join(f"--task={name}" for name in names.FILES)
            raise BadInput(f"flag --file={flags.file}: --task={task} reads no file; write {readers}, or leave it out")
        if not flags.file and task in names.FILES and task != "text":
            raise BadInput(f"flag --file: --task={task} reads a file; write the path of {names.FILES[task]}")
        return cls(
            task=task,
            variant=variant,
            file=os.path.abspath(flags.file) if flags.file else "",
            cells=tuple(parse(value("cells")) if isinstance(value("cells"), str) else value("cells")),
            lengths=tuple(value("lengths") or LENGTHS[task]),
            units=value("units"),
            seeds=tuple(range(value("seeds")) if isinstance(value("seeds"), int) else value("seeds")),
            batch_size=value("batch_size"),
            loss=flags.loss,
            train_steps=value("train_steps"),
            optimizer=flags.optimizer,
            learning_rate=flags.learning_rate,
            method=flags.method,
            smoke=flags.smoke,
            shard=flags.shard,
            out=flags.out,
            format=flags.format,
            dry_run=flags.dry_run,
        )

    def resolved(self, cells: list[str]) -> dict[str, str]:
        """What determines the results, as the values of flags; `cells` in their canonical spelling."""
        seeds = ",".join(map(str, self.seeds)) + ("," if len(self.seeds) == 1 else "")
        flags = {
            "task": self.task,
            "variant": self.variant,
            "file": self.file,
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
        return {name: value for name, value in flags.items() if value}

    def directory(self, flags: dict[str, str]) -> str:
        """--out, or a name made of the resolved flags, so that the same command finds its run again."""
        return self.out or directory(PROGRAM, flags)
