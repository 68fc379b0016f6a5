"""The evaluation itself: load, look, show."""

import sys
from dataclasses import replace
from typing import Any, NamedTuple

import numpy as np

from experiments import exits, tables
from experiments.evaluate.options import PROGRAM, Settings
from experiments.exits import BadInput
from experiments.interrupts import Interrupts
from experiments.record import SCHEMA
from experiments.run_directory import claim_file, write
from experiments.train import report
from experiments.train.build import kind_of, task_of
from experiments.train.held_out import HeldOut, splits_of
from experiments.train.load import Run, load, moved
from experiments.train.needs import FLOPS
from rnnx.tasks import solved

COMPILING = 5.0  # seconds, for each length


class Look(NamedTuple):
    """One length, ready to be looked at."""

    task: Any  # whose chance and criterion are told
    held_out: HeldOut


def run(settings: Settings) -> int:
    """The exit status of the program."""
    interrupts = Interrupts()
    return interrupts.run(lambda: _run(settings, interrupts))


def _run(settings: Settings, interrupts: Interrupts) -> int:
    out = claim_file(settings.out, PROGRAM) if settings.out else None
    trained = load(settings.run, settings.which, None if settings.other_data else settings.data, settings.method)
    lengths = settings.length or (trained.work.task.length,)
    looks = [_look(settings, trained, length) for length in lengths]
    if settings.dry_run:
        sys.stdout.write(describe(settings, trained, looks))
        return exits.OK
    rows = []
    for look in looks:
        interrupts.check()
        rows += rows_of(settings, trained, look)
    interrupts.check()
    answer = _answer(settings, trained, looks, rows)
    if out:
        write(out, tables.to_json(answer, indent=1))
    sys.stdout.write(show(answer, settings.format))
    return exits.OK


def _look(settings: Settings, trained: Run, length: int) -> Look:
    work = trained.work
    task = work.task if length == work.task.length else task_of(trained.settings, length)
    if settings.split not in splits_of(task):
        made = "" if hasattr(task, "count") else " is generated, no example of training comes twice: it"
        splits = splits_of(task)
        raise BadInput(
            f"flag --split={settings.split}: --task={trained.settings.task}{made} has {', '.join(splits)}; "
            f"write {' or '.join(splits)}"
        )
    for name in ("inputs", "outputs"):
        if getattr(task, name) != getattr(work.task, name):
            raise BadInput(
                f"flag --length={length}: there a sequence has {getattr(task, name)} {name}, and "
                f"{getattr(work.task, name)} at the {work.task.length} steps that were trained; write another length"
            )
    if not settings.other_data:
        return Look(task, HeldOut(task, work.model, settings.split, len(trained.settings.seeds)))
    other = task_of(replace(trained.settings, data=moved(trained.settings, settings.data)), length)
    data = None
    if kind_of(task) == "language_model":
        data = _in_the_words_of(task, other, settings)
    elif any(getattr(task, name, None) != getattr(other, name, None) for name in ("inputs", "outputs", "alphabet")):
        raise BadInput(f"flag --data={settings.data}: other inputs or classes than in training; write other data")
    read = other if data is None else task
    return Look(other, HeldOut(read, work.model, settings.split, len(trained.settings.seeds), data))


def _in_the_words_of(task: Any, other: Any, settings: Settings) -> np.ndarray:
    """Another text, as positions in the alphabet of the task."""
    places = {symbol: i for i, symbol in enumerate(task.alphabet)}
    found = other.load(settings.split)
    unknown = [other.alphabet[i] for i in np.unique(found).tolist() if other.alphabet[i] not in places]
    if unknown:
        raise BadInput(
            f"flag --data={settings.data}: its {settings.split} split has {len(unknown)} symbols that training never "
            f"met, e.g. {unknown[0]!r}; write a text without them"
        )
    return np.array([places.get(symbol, -1) for symbol in other.alphabet], np.int32)[found]


# ----------------------------------------------------------------------------------------------- answers


def rows_of(settings: Settings, trained: Run, look: Look) -> list[dict[str, Any]]:
    """A row for each seed, and their mean."""
    found = look.held_out.look(trained.params)
    means, seeds = found.means(), trained.settings.seeds
    numbers = [{name: float(value[i]) for name, value in means.items()} for i in range(len(seeds))]
    rows = []
    for seed, step, one in zip((*seeds, "mean"), (*trained.steps, None), (*numbers, report.mean(numbers)), strict=True):
        row = {"length": look.task.length, "seed": seed, "step": step, **one}
        if kind_of(look.task) == "language_model":
            row["bits"] = report.bits(one["step_loss"])
        row["examples"] = int(found.examples[0])
        row["chance_loss"] = float(look.task.chance)
        row["solved"] = None if seed == "mean" else solved(look.task, one["loss"], one["accuracy"])
        rows.append(row)
    return rows


def _answer(settings: Settings, trained: Run, looks: list[Look], rows: list[dict[str, Any]]) -> dict[str, Any]:
    """All that is known, for JSON."""
    return {
        "schema": SCHEMA,
        "program": PROGRAM,
        "run": str(trained.path),
        "which": trained.which,
        "split": settings.split,
        "task": str(trained.settings.task),
        "variant": trained.settings.variant,
        "cell": trained.work.cell,
        "parameters": trained.work.parameters,
        "trained_length": trained.work.task.length,
        "other_data": settings.data if settings.other_data else None,
        "criteria": [look.task.criterion._asdict() for look in looks],
        "rows": rows,
    }


def show(answer: dict[str, Any], form: str) -> str:
    """The table for standard output."""
    if form == "json":
        return tables.to_json(answer, indent=1)
    if form == "csv":
        names = ("run", "which", "split", "task", "variant", "cell", "trained_length")
        return tables.to_csv([{name: answer[name] for name in names} | row for row in answer["rows"]])
    rows = answer["rows"]
    seeds = {row["seed"] for row in rows} - {"mean"}
    shown = [row for row in rows if row["seed"] != "mean" or len(seeds) > 1]
    bits = ["bits"] if "bits" in rows[0] else []
    lines = [[str(row["length"]), str(row["seed"]), *report.numbers(row), *(f"{row[name]:.4f}" for name in bits),
              str(row["examples"])] for row in shown]  # fmt: skip
    table = tables.md if form == "md" else tables.text
    return _heading(answer) + "\n" + table(["length", "seed", *report.NUMBERS, *bits, "examples"], lines)


def _heading(answer: dict[str, Any]) -> str:
    told = f"{answer['task']} ({answer['variant']}, trained at length {answer['trained_length']}), {answer['cell']}, "
    told += f"{answer['parameters']} parameters: {answer['split']} split, checkpoint {answer['which']}\n"
    if answer["other_data"]:
        told += f"other data: {answer['other_data']}\n"
    means = [row for row in answer["rows"] if row["seed"] == "mean"]
    goals = [report.goal(row["chance_loss"], one) for row, one in zip(means, answer["criteria"], strict=True)]
    if len(set(goals)) == 1:
        return told + goals[0] + "\n"
    return told + "".join(f"length {row['length']}: {goal}\n" for row, goal in zip(means, goals, strict=True))


def describe(settings: Settings, trained: Run, looks: list[Look]) -> str:
    """What --dry_run says."""
    made, seeds = trained.settings, len(trained.settings.seeds)
    told = {"run": trained.path, "which": trained.which, "split": settings.split, "task": made.task,
            "variant": made.variant, "cell": trained.work.cell, "seeds": ",".join(map(str, made.seeds)),
            "method": made.method, "data": settings.data or made.data or None, "other_data": settings.other_data,
            "length": ",".join(str(look.task.length) for look in looks), "format": settings.format,
            "out": settings.out}  # fmt: skip
    lines = [f"{name} = {value}" for name, value in told.items() if value is not None]
    lines += ["", f"{len(looks)} lengths for {seeds} seeds, {trained.work.parameters} parameters each"]
    for look in looks:
        together = look.held_out.together * look.task.steps * seeds
        memory = 4 * together * (8 * made.units * made.layers + look.task.inputs + look.task.outputs)
        seconds = COMPILING + 2 * trained.work.parameters * together * look.held_out.calls / FLOPS
        lines += [f"length {look.task.length}: {look.held_out.calls} batches of {look.held_out.together}, about "
                  f"{memory / 2**20:.0f} MiB and {seconds:.0f} s (rough)"]  # fmt: skip
    return "\n".join(lines) + "\n"
