"""The flags of training, and one run's settings: every default filled in. Imports no JAX."""

import os
from dataclasses import dataclass, fields
from typing import Any

from absl import flags

from experiments import flags as kinds
from experiments import names
from experiments.cell_specs import CellSpec, parse
from experiments.exits import BadInput
from experiments.resolving import directory, spelled
from experiments.tables import FORMATS

flags.disclaim_key_flags()  # the flags are the program's that calls `define`, and stand in its --help

PROGRAM = "train"
MACHINES = ("devices", "coordinator", "process", "processes", "coordinator_bind")  # change no result but by rounding
WAIT = 55  # seconds for several processes to come together
LOCAL = ("checkpoint_every", "keep", "out", "format", "dry_run", *MACHINES)  # flags that change no result
SMOKE = {"units": 8, "length": None, "steps": 6, "batch_size": 4, "seeds": [0, 1], "flow_every": 2, "eval_every": 2}

_VARIANTS = "; ".join(f"{task}: {', '.join(variants)}" for task, variants in names.VARIANTS.items())


def define(values: flags.FlagValues = flags.FLAGS) -> None:
    """Define the flags that a run of training has."""

    def flag(kind: flags.ArgumentParser, name: str, default: Any, help: str) -> None:
        kinds.define(kind, name, default, help, values)

    count, share = kinds.whole(0, 10**9), kinds.at_least_0(1)
    flag(
        kinds.spec(names.TASKS, "adding"),
        "task",
        "adding",
        "What is learned, with options in brackets where the task has any, e.g. 'sentiment(distance=6)'. "
        f"Of: {', '.join(names.TASKS)}.",
    )
    flag(kinds.free("a variant"), "variant", None, f"Form of the task, by default its first. {_VARIANTS}.")
    flag(kinds.place("a path"), "data", None, f"File or directory of the data, for: {', '.join(names.FILES)}.")
    flag(kinds.whole(0, 10**7), "length", None, "Length of sequences in steps; 0: as the data has it. By task.")
    flag(
        kinds.spec(names.CELLS, "lstm(forget_bias=1)"),
        "cell",
        "lstm",
        f"Cell of every layer, with options in brackets. Of: {', '.join(names.CELLS)}.",
    )
    flag(kinds.whole(1, 10**5), "units", 64, "Hidden units of a layer, in each direction, 1 or more.")
    flag(kinds.whole(1, 1000), "layers", 1, "Layers, 1 or more.")
    kinds.switch("bidirectional", "Layers read the sequence from both ends.", values)
    kinds.switch("residual", "Add what a layer reads to what it says, where the widths agree.", values)
    kinds.switch("norm", "LayerNorm of what every layer says.", values)
    flag(kinds.word(names.POOLS), "pool", "last", f"How one answer is made of all steps: {', '.join(names.POOLS)}.")
    flag(kinds.whole(0, 10**5), "embedding", 0, "Width of the symbols' embedding for --task=text; 0: 64 or fewer.")
    flag(share, "dropout", 0.0, "Share of every layer's outputs that is dropped in training, 0 to below 1.")
    flag(share, "input_dropout", 0.0, "The same for the network's input.")
    flag(kinds.word(names.METHODS), "method", "auto", f"Way through time: {', '.join(names.METHODS)}. auto chooses.")
    flag(kinds.whole(1, 10**9), "steps", None, "Updates; by default 2000, or what --epochs makes.")
    flag(kinds.whole(1, 10**6), "epochs", None, "Passes over the data, instead of --steps.")
    flag(kinds.whole(1, 10**6), "batch_size", 64, "Examples in a batch, 1 or more.")
    flag(kinds.whole(1, 100), "buckets", 1, "Groups by length, so that batches have little padding; 1 for none.")
    flag(
        kinds.wholes(1, 10**7, "write e.g. 20,50,100"),
        "curriculum",
        None,
        "Lengths to begin with, in steps: each and then --length gets an equal share of the updates.",
    )
    flag(
        kinds.spec(names.OPTIMIZERS, "adam(b2=0.99)"),
        "optimizer",
        "adam",
        f"Of optax, with its options in brackets: {', '.join(names.OPTIMIZERS)}.",
    )
    flag(kinds.positive(), "learning_rate", 5e-3, "Learning rate at its highest, above 0.")
    flag(kinds.word(names.SCHEDULES), "schedule", "cosine", f"How it goes on: {', '.join(names.SCHEDULES)}.")
    flag(count, "warmup", 0, "Updates in which it rises from 0.")
    flag(share, "end", 0.0, "Where the schedule ends, as a share of the highest.")
    flag(kinds.at_least_0(), "weight_decay", 0.0, "Decoupled weight decay, 0 or more.")
    flag(kinds.at_least_0(), "noise", 0.0, "Variance of noise on the gradient at first, 0 or more.")
    flag(kinds.at_least_0(), "clip_norm", 1.0, "Bound of the gradient's norm; 0: none.")
    flag(kinds.at_least_0(), "clip_value", 0.0, "Bound of each of its entries; 0: none.")
    flag(kinds.at_least_0(), "clip_block", 0.0, "Bound of the norm of each array of parameters; 0: none.")
    flag(kinds.at_least_0(), "penalty", 0.0, "Weight of Pascanu's regulariser, 0 or more.")
    flag(kinds.word(("squares", "norms")), "penalty_form", "squares", "Of ratios of squared norms, or of norms.")
    flag(kinds.seeds(10**4), "seeds", 1, "Seeds: a count, or a list with a comma (0,1,7; 7, is seed 7). 0 to 2^32-1.")
    flag(
        count,
        "eval_every",
        0,
        "Updates between looks at held-out data; 0: about twenty looks, at steps of --flow_every.",
    )
    flag(count, "flow_every", 50, "Updates between looks at the gradient's flow through time; 0: none.")
    flag(count, "patience", 0, "Stop after so many looks without a better one; 0: never.")
    flag(count, "checkpoint_every", 0, "Updates between checkpoints; 0: one at every look.")
    flag(kinds.whole(1, 10**4), "keep", 2, "Checkpoints that are kept, the newest so many.")
    flag(
        kinds.word(names.NONFINITE),
        "on_nonfinite",
        "stop",
        "What a loss or gradient that is not finite does: stop (status 3), or skip the update.",
    )
    flag(kinds.whole(1, 10**9), "max_skips", 10, "Updates of a seed that may be skipped; one more stops the run.")
    flag(kinds.place("a directory"), "out", None, "Directory of the run. By default runs/train/<hash of flags>.")
    flag(kinds.word(FORMATS), "format", "text", f"Format of the table on standard output: {', '.join(FORMATS)}.")
    flag(kinds.count_or_all(10**4), "devices", 1, "Devices of this process that share a batch: a number, or all.")
    flag(kinds.address(), "coordinator", None, "Of several processes: HOST:PORT where process 0 is found.")
    flag(kinds.whole(0, 10**4), "process", None, "Of several processes: which one this is, from 0.")
    flag(kinds.whole(2, 10**4), "processes", None, "Of several processes: how many there are.")
    flag(
        kinds.free("an address"),
        "coordinator_bind",
        None,
        "Address on which process 0 listens; by default this machine alone hears it. Nothing asks who connects.",
    )
    kinds.switch(
        "smoke",
        "Try everything in seconds: small sizes wherever no flag says otherwise, compiled without optimisation.",
        values,
    )
    kinds.switch(
        "deterministic", "Only operations that give the same bits every time (on a GPU; slower there).", values
    )
    kinds.switch("debug_nans", "Stop with a traceback where a NaN is first made; slow.", values)
    kinds.switch("dry_run", "Say what would run, its parameters, memory and time; write nothing.", values)


@dataclass(frozen=True)
class Settings:
    task: CellSpec
    variant: str
    data: str  # "" where the task reads none
    length: int | None  # None: as the task likes
    cell: CellSpec
    units: int
    layers: int
    bidirectional: bool
    residual: bool
    norm: bool
    pool: str
    embedding: int
    dropout: float
    input_dropout: float
    method: str
    steps: int | None
    epochs: int | None
    batch_size: int
    buckets: int
    curriculum: tuple[int, ...]
    optimizer: CellSpec
    learning_rate: float
    schedule: str
    warmup: int
    end: float
    weight_decay: float
    noise: float
    clip_norm: float
    clip_value: float
    clip_block: float
    penalty: float
    penalty_form: str
    seeds: tuple[int, ...]
    eval_every: int
    flow_every: int
    patience: int
    checkpoint_every: int
    keep: int
    on_nonfinite: str
    max_skips: int
    out: str | None
    format: str
    smoke: bool
    deterministic: bool
    debug_nans: bool
    dry_run: bool
    devices: int | str = 1  # or "all"
    coordinator: str | None = None
    process: int | None = None
    processes: int | None = None
    coordinator_bind: str | None = None

    @classmethod
    def read(cls, values: Any = flags.FLAGS) -> "Settings":
        """From flags already parsed; what needs JAX to be checked is checked by the program."""

        def value(name: str) -> Any:
            found = values[name]
            if values.smoke and name in SMOKE and not found.present:
                return SMOKE[name]
            return found.value

        made = {field.name: value(field.name) for field in fields(cls)}
        for name in ("task", "cell", "optimizer"):
            if isinstance(made[name], str):
                made[name] = parse(made[name])[0]
        task = made["task"].name
        made["variant"] = variant(task, made["variant"])
        if made["data"] and task not in names.FILES:
            readers = ", ".join(names.FILES)
            raise BadInput(f"flag --data={made['data']}: --task={task} reads no file; leave it out, or take {readers}")
        if made["epochs"] and values["steps"].present:
            raise BadInput(f"flag --epochs={made['epochs']}: --steps is given too; give one of them")
        if made["epochs"]:
            made["steps"] = None
        _check_processes(made)
        made["data"] = os.path.abspath(made["data"]) if made["data"] else ""
        made["curriculum"] = tuple(made["curriculum"] or ())
        seeds = made["seeds"]
        made["seeds"] = tuple(range(seeds) if isinstance(seeds, int) else seeds)
        return cls(**made)

    def resolved(self, **canonical: str) -> dict[str, str]:
        """What determines the results, as the values of flags; `canonical` spellings replace those of the user."""
        told = {field.name: getattr(self, field.name) for field in fields(self) if field.name not in LOCAL}
        return {name: spelled(name, value) for name, value in {**told, **canonical}.items()
                if value not in (None, "", ())}  # fmt: skip

    @property
    def absent(self) -> str:
        """What to say where several processes did not come together."""
        who = "not all processes came" if self.process == 0 else "process 0 did not answer"
        return (
            f"flag --coordinator={self.coordinator}: {who} within {WAIT} s; start all {self.processes} of them, "
            "--process=0 on that host, on a free port"
        )

    def directory(self, resolved: dict[str, str]) -> str:
        """--out, or a name made of the resolved flags, so that the same command finds its run again."""
        return self.out or directory(PROGRAM, resolved)


def _check_processes(made: dict[str, Any]) -> None:
    names = ("coordinator", "process", "processes")
    given = [name for name in names if made[name] is not None]
    missing = [name for name in names if made[name] is None]
    if given and missing:
        raise BadInput(
            f"flag --{given[0]}={made[given[0]]}: --{missing[0]} is not given; several processes need all of "
            "--coordinator=HOST:PORT --process=I --processes=N"
        )
    if given and made["process"] >= made["processes"]:
        raise BadInput(
            f"flag --process={made['process']}: there are --processes={made['processes']}, numbered from 0; write at "
            f"most {made['processes'] - 1}"
        )
    if made["coordinator_bind"] and not given:
        raise BadInput(f"flag --coordinator_bind={made['coordinator_bind']}: there is one process; leave it out")


def variant(task: str, given: str | None) -> str:
    """The variant of a task, its first unless another is given."""
    chosen = given or names.VARIANTS[task][0]
    try:
        kinds.word(names.VARIANTS[task]).parse(chosen)
    except ValueError as error:
        raise BadInput(f"flag --variant={chosen}: for --task={task}, {error}") from None
    return chosen


def settings_of(resolved: dict[str, str]) -> Settings:
    """The settings of a run from the flags that its record keeps."""
    values = flags.FlagValues()
    define(values)
    values(["", *(f"--{name}={value}" for name, value in resolved.items())])
    return Settings.read(values)
