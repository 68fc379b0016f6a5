"""The flags of submitting. Imports neither JAX nor submitit."""

import os
import re
from dataclasses import dataclass
from typing import Any

from absl import flags

from experiments import flags as kinds
from experiments import sharding
from experiments.exits import BadInput

flags.disclaim_key_flags()  # the flags are the program's that calls `define`, and stand in its --help

GRIDS = ("experiments.gradient_norms", "experiments.length_frontier")
PROGRAMS = (*GRIDS, "experiments.train")
OURS = ("out", "shard", "dry_run", "nodry_run", "help", "helpshort", "helpfull", "helpxml")  # not the program's here
EXAMPLE = "-- experiments.length_frontier --cells=lstm,gru"


def define(values: flags.FlagValues = flags.FLAGS) -> None:
    """Define the flags that submitting has."""
    where = "Where to: slurm; local, processes of this machine, all at once; debug, here, one after the other."
    for kind, name, default, help in (
        (kinds.word(("slurm", "local", "debug")), "cluster", "slurm", where),
        (kinds.whole(1, sharding.MOST), "shards", 1, "Jobs that a grid is dealt out to; a run of training is one."),
        (kinds.place("a directory"), "out", None, "Directory of the directories of the shards. Required."),
        (kinds.whole(5, 10**6), "minutes", 60, "Time of a job, 5 or more, at whose end it saves and is queued again."),
        (kinds.whole(0, 1000), "requeues", 20, "How often a job whose time ends is queued again, 0 or more."),
        (kinds.whole(1, 10**4), "cpus", 2, "Cores of a job, 1 or more."),
        (kinds.whole(0, 100), "gpus", 0, "GPUs of a job, 0 or more."),
        (kinds.whole(1, 10**5), "memory", None, "Memory of a job in GB. By default the cluster's."),
        (kinds.free("a name"), "partition", None, "Partition of Slurm. By default the cluster's."),
    ):
        kinds.define(kind, name, default, help, values)
    kinds.switch("dry_run", "Check the program and its flags, say what would be submitted; write nothing.", values)


@dataclass(frozen=True)
class Settings:
    program: str
    given: tuple[str, ...]  # the program's flags
    cluster: str
    shards: int
    out: str
    minutes: int
    requeues: int
    cpus: int
    gpus: int
    memory: int | None
    partition: str | None
    dry_run: bool

    @classmethod
    def read(cls, words: list[str], behind: list[str], values: Any = flags.FLAGS) -> "Settings":
        """From flags already parsed, and what stands behind --; the program checks its own flags later."""
        if words or not behind:
            told = f"unexpected word {words[0]!r}" if words else "no program given"
            raise BadInput(f"{told}; write the program and its flags behind --, e.g. {EXAMPLE}")
        program, *given = behind
        try:
            kinds.word(PROGRAMS).parse(program)
        except ValueError as error:
            raise BadInput(f"behind --: {error}") from None
        for name in (re.sub("^--?", "", word).split("=")[0] for word in given):
            if name in OURS:
                raise BadInput(f"flag --{name} behind --: is not the program's here; write --out, --dry_run before --")
        made = {name: values[name].value for name in cls.__annotations__ if name in values}
        out, partition = made["out"], made["partition"]
        if program not in GRIDS and made["shards"] > 1:
            raise BadInput(f"flag --shards={made['shards']}: {program} is no grid; leave it out")
        if not out:
            raise BadInput("flag --out: not given; write a directory that all machines see, e.g. --out=runs/grid")
        if "%" in out or not out.isprintable():
            raise BadInput(f"flag --out={out!r}: has a character that Slurm reads as another; write another directory")
        if partition and not re.fullmatch(r"[\w.,@+-]+", partition):
            raise BadInput(f"flag --partition={partition!r}: is not a name; write e.g. --partition=short")
        return cls(program, tuple(given), **{**made, "out": os.path.abspath(out)})

    def folder(self, number: int) -> str:
        return os.path.join(self.out, str(number))

    def command(self, number: int) -> list[str]:
        """A shard's program and flags."""
        shard = [f"--shard={number}/{self.shards}"] if self.shards > 1 else []
        return [self.program, *self.given, *shard, f"--out={self.folder(number)}"]
