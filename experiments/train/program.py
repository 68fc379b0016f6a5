"""The run itself: prepare, train, test, write, show."""

import contextlib
import shutil
import sys
import time
from collections.abc import Callable
from typing import Any

from experiments import exits, tables
from experiments.interrupts import Interrupts
from experiments.progress import Progress
from experiments.record import SCHEMA, data_digest, now, record, source_diff
from experiments.run_directory import RunDirectory
from experiments.train import figure, needs, report
from experiments.train.build import Work, kind_of, prepare
from experiments.train.log import METRICS
from experiments.train.machines import Machines, assemble
from experiments.train.options import PROGRAM, Settings
from experiments.train.train import Training
from rnnx.tasks import solved
from rnnx.training import checkpoint

SUMMARY, DIFF = "summary.json", "source.diff"


def run(settings: Settings, argv: list[str]) -> int:
    """The exit status of the program."""
    interrupts = Interrupts()
    return interrupts.run(lambda: _run(settings, argv, interrupts))


def _run(settings: Settings, argv: list[str], interrupts: Interrupts) -> int:
    machines = Machines() if settings.dry_run else assemble(settings)
    work = prepare(settings)
    told = settings.resolved(
        cell=work.cell, length=str(work.task.length), steps="" if settings.epochs else str(work.steps)
    )
    directory = RunDirectory(settings.directory(told), PROGRAM, told)
    machines.alone(directory.claim)
    if settings.dry_run:
        sys.stdout.write(describe(settings, work, directory))
        return exits.OK
    longer = f"--length={work.task.length}"
    needs.check(settings, work, len(settings.seeds), longer, max(machines.devices, machines.processes))
    machines.agree((told, data_digest(work.task) if machines.processes > 1 else None))
    with contextlib.ExitStack() as stack:

        def enter() -> dict[str, Any] | None:
            stack.enter_context(directory.hold())
            return directory.claim()  # now that nobody else is there

        earlier = machines.alone(enter)
        complete = earlier and earlier["status"] == "complete" and directory.has(METRICS, SUMMARY, *figure.files())
        if machines.any(machines.first and not complete):
            entry = machines.alone(lambda: _entry(settings, work, directory, argv, machines, earlier))
            if entry:
                _train(settings, work, directory, entry, machines, interrupts)
            else:
                _learn(settings, work, None, machines, interrupts, lambda: None)
    machines.part()
    if not machines.first:
        return exits.OK
    summary = directory.json(SUMMARY)
    sys.stdout.write(show(summary, settings.format))
    directory.tell(sys.stderr if settings.format in ("csv", "json") else sys.stdout)
    return exits.OK


def _entry(
    settings: Settings,
    work: Work,
    directory: RunDirectory,
    argv: list[str],
    machines: Machines,
    earlier: dict[str, Any] | None,
) -> dict[str, Any]:
    """What run.json says when this start begins."""
    data, seeds = data_digest(work.task), list(settings.seeds)
    if earlier and earlier["data_sha256"] != data:
        raise exits.BadInput(f"flag --out={directory.path}: its run read other data; write another --out")
    shared = {"devices": machines.devices, "processes": machines.processes}
    entry = record(PROGRAM, argv, directory.flags, smoke=settings.smoke, seeds=seeds, data_sha256=data, machines=shared)
    told = {name: entry[name] for name in ("started", "git", "packages", "machines")}
    return entry | {"starts": [*(earlier or {}).get("starts", []), told]}


def _learn(
    settings: Settings,
    work: Work,
    directory: RunDirectory | None,
    machines: Machines,
    interrupts: Interrupts,
    begin: Callable[[], None],
) -> Training:
    """Training itself; the part of it in which all processes have part."""
    with machines.together():
        training = Training(settings, work, directory, machines)
        training.resume()  # first: where it is refused, run.json stays as it was
        machines.alone(begin)
        progress = Progress(work.steps, training.step)

        def advance(steps: int, told: str) -> None:
            if machines.first:
                progress.label = told
                progress.advance(steps)

        def check() -> None:
            if machines.any(interrupts.asked):
                raise exits.Interrupted

        if machines.first:
            progress.begin("compiling")
        training.run(advance, check)
        if machines.first:
            progress.finish()
    return training


def _train(
    settings: Settings,
    work: Work,
    directory: RunDirectory,
    entry: dict[str, Any],
    machines: Machines,
    interrupts: Interrupts,
) -> None:
    """Begin, or go on where an earlier start was cut short, to the end."""
    began = time.monotonic()
    try:

        def begin() -> None:
            directory.begin(entry)
            if entry["git"] and entry["git"]["dirty"]:
                directory.write(DIFF, source_diff())

        training = _learn(settings, work, directory, machines, interrupts, begin)
        assert training.log  # this process writes
        summary = _summary(settings, work, training) | {"seconds": round(time.monotonic() - began, 1)}
        directory.keep(SUMMARY, tables.to_json(summary, indent=1))
        for name, content in figure.draw(training.log.rows(), summary).items():
            directory.write(name, content)
    except (exits.Interrupted, exits.Lost, exits.NonFinite) as error:
        status = "non-finite" if isinstance(error, exits.NonFinite) else "interrupted"
        directory.record(entry | {"status": status, "ended": now()})
        raise
    except checkpoint.NoCheckpoint as error:
        told = f"{error}; remove it to start anew, or write another --out"
        raise exits.BadInput(f"flag --out={directory.path}: {told}") from None
    except checkpoint.OtherTree as error:
        raise exits.BadInput(f"flag --out={directory.path}: {error}; write another --out") from None
    except OSError as error:
        raise exits.BadInput(f"flag --out={directory.path}: {error.strerror or error}; {_space(directory)}") from None
    sums = {METRICS: training.log.position()["sha256"], **directory.digests(SUMMARY)}
    ended = {"status": "complete", "ended": now(), "state_sha256": training.digest(), "files_sha256": sums}
    directory.record(entry | ended)


def _space(directory: RunDirectory) -> str:
    free = shutil.disk_usage(directory.path).free / 2**20
    return f"{free:.0f} MiB are free there; make room, and the same command goes on"


def _summary(settings: Settings, work: Work, training: Training) -> dict[str, Any]:
    """What came out, seed by seed and on average."""
    last = training.test.look(training.params).means()
    best = training.test.look(training.best.params).means() if training.best else last
    rows = []
    for i, seed in enumerate(settings.seeds):
        at_last, at_best = ({name: float(value[i]) for name, value in means.items()} for means in (last, best))
        row = {"seed": seed, "steps": training.step, "test": at_last}
        if training.best:
            row |= {"best_step": int(training.best.step[i]), "test_at_best": at_best}
        first = training.first_solved[i]
        rows.append(
            row | {"first_solved_step": first, "solved": solved(work.task, at_best["loss"], at_best["accuracy"])}
        )
    chosen = [row.get("test_at_best", row["test"]) for row in rows]
    mean = report.mean(chosen)
    if kind_of(work.task) == "language_model":
        mean["bits"] = report.bits(mean["step_loss"])
    return {
        "schema": SCHEMA,
        "program": PROGRAM,
        "smoke": settings.smoke,
        "task": str(settings.task),
        "variant": settings.variant,
        "length": work.task.length,
        "cell": work.cell,
        "parameters": work.parameters,
        "chance_loss": float(work.task.chance),
        "criterion": work.task.criterion._asdict(),
        "clip_norm": settings.clip_norm,
        "rows": rows,
        "mean": mean,
        "seconds_of_training": round(training.seconds, 1),
    }


def show(summary: dict[str, Any], form: str) -> str:
    """The table for standard output."""
    rows = [{"seed": row["seed"], "steps": row["steps"], **row.get("test_at_best", row["test"]),
             "first_solved_step": row["first_solved_step"], "best_step": row.get("best_step")}
            for row in summary["rows"]]  # fmt: skip
    if form == "csv":
        return tables.to_csv(rows)
    if form == "json":
        return tables.to_json(rows, indent=1)
    chooses = rows[0]["best_step"] is not None
    header = ["seed", *report.NUMBERS, "first solved at", *(["best at"] if chooses else [])]
    lines = []
    for row in rows:
        first = "-" if row["first_solved_step"] is None else str(row["first_solved_step"])
        lines.append([str(row["seed"]), *report.numbers(row), first, *([str(row["best_step"])] if chooses else [])])
    if len(lines) > 1:
        lines.append(["mean", *report.numbers(summary["mean"]), "", *([""] if chooses else [])])
    when = "at the best look at validation data" if chooses else "after the last step"
    told = f"{summary['task']} ({summary['variant']}, length {summary['length']}), {summary['cell']}, "
    told += f"{summary['parameters']} parameters: test {when}\n"
    told += f"{report.goal(summary['chance_loss'], summary['criterion'])}\n"
    if "bits" in summary["mean"]:
        told += f"bits a symbol: {summary['mean']['bits']:.4f}\n"
    return told + "\n" + {"text": tables.text, "md": tables.md}[form](header, lines)


def describe(settings: Settings, work: Work, directory: RunDirectory) -> str:
    """What --dry_run says."""
    lines = [f"{name} = {value}" for name, value in directory.flags.items()]
    seeds, (memory, seconds) = len(settings.seeds), needs.roughly(settings, work)
    lines += [f"out = {directory.path}", "", f"{seeds} runs of {work.steps} steps, {work.parameters} parameters each"]
    lines += [f"a look every {work.eval_every} steps, about {memory / 2**20:.0f} MiB and {seconds:.0f} s (rough)"]
    return "\n".join(lines) + "\n"
