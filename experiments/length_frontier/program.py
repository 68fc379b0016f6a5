"""The run itself: plan, measure what is missing, write, show."""

import math
import sys
from typing import Any

from experiments import exits
from experiments.exits import BadInput
from experiments.interrupts import Interrupts
from experiments.length_frontier import figure
from experiments.length_frontier.measure import Unit, measure
from experiments.length_frontier.settings import PROGRAM, Settings
from experiments.length_frontier.summary import frontiers, show, summarise
from experiments.progress import Progress
from experiments.record import SCHEMA, now, record, source_diff
from experiments.run_directory import RunDirectory
from experiments.sharding import deal, remark
from experiments.tables import to_csv, to_json
from experiments.train import needs
from experiments.train.build import prepare

ROWS, SUMMARY, DIFF = "results.jsonl", "summary.json", "source.diff"
COMPILE = 8.0  # seconds a unit
FLOPS = 4e10  # a second, of two cores: what this program was seen to reach


def run(settings: Settings, argv: list[str]) -> int:
    """The exit status of the program."""
    interrupts = Interrupts()
    return interrupts.run(lambda: _run(settings, argv, interrupts))


def units_of(settings: Settings) -> list[Unit]:
    """The grid, cells outside, lengths inside; raises BadInput naming the flag."""
    made = []
    for cell in settings.cells:
        for length in settings.lengths:
            try:
                work = prepare(settings.training(cell, length))
            except BadInput as error:  # in the words of this program's flags
                told = str(error).replace("flag --cell=", "flag --cells=").replace("flag --length=", "flag --lengths=")
                raise BadInput(told) from None
            made.append(Unit(work, settings.seeds, settings.learning_rates))
    return made


def fits(units: list[Unit], settings: Settings) -> None:
    """Raises BadInput where one would not."""
    for unit in units:
        length = unit.work.task.length
        like = settings.training(settings.cells[0], length)
        needs.check(like, unit.work, len(unit.seeds) * len(unit.rates), f"--lengths={length}")


def dealt(units: list[Unit], settings: Settings) -> list[Unit]:
    """The units of the shard, all of them without one."""
    return [units[place] for place in deal([_seconds(unit, settings.batch_size) for unit in units], settings.shard)]


def _seconds(unit: Unit, batch_size: int) -> float:
    """What a unit is expected to take at most, roughly."""
    width = unit.work.task.steps * batch_size * len(unit.seeds) * len(unit.rates)
    return COMPILE + 6 * unit.work.parameters * width * unit.work.steps / FLOPS


def _run(settings: Settings, argv: list[str], interrupts: Interrupts) -> int:
    units = units_of(settings)
    flags = settings.resolved(list(dict.fromkeys(unit.work.cell for unit in units)))
    units = dealt(units, settings)
    directory = RunDirectory(settings.directory(flags), PROGRAM, flags)
    earlier = directory.claim()
    if settings.dry_run:
        sys.stdout.write(describe(units, settings, directory))
        return exits.OK
    fits(units, settings)
    done: dict[tuple[str, int], list[dict[str, Any]]] = {}
    for row in directory.lines(ROWS):
        done.setdefault((row["cell"], row["length"]), []).append(row)
    missing = [unit for unit in units if unit.name not in done]
    complete = earlier and earlier["status"] == "complete"
    if missing or not (complete and directory.has(ROWS, "summary.csv", SUMMARY, *figure.files())):
        started = earlier["started_first"] if earlier else now()
        entry = record(PROGRAM, argv, flags, smoke=settings.smoke, seeds=list(settings.seeds), started_first=started)
        entry["starts"] = [*(earlier or {}).get("starts", []), {k: entry[k] for k in ("started", "git", "packages")}]
        with directory.hold():
            directory.begin(entry)
            if entry["git"] and entry["git"]["dirty"]:
                directory.write(DIFF, source_diff())
            try:
                _measure(directory, units, missing, done, interrupts)
            except exits.Interrupted:
                directory.record(entry | {"status": "interrupted", "ended": now()})
                raise
            _finish(directory, settings, entry)
    lines = directory.json(SUMMARY)["rows"]
    lines = [
        line | {"median_steps": math.inf if line["median_steps"] is None else line["median_steps"]} for line in lines
    ]
    machine = settings.format in ("csv", "json")
    sys.stdout.write(("" if machine else remark(settings.shard)) + show(lines, settings.format))
    directory.tell(sys.stderr if machine else sys.stdout)
    return exits.OK


def _measure(
    directory: RunDirectory, units: list[Unit], missing: list[Unit], done: dict, interrupts: Interrupts
) -> None:
    """Every missing unit, written as soon as it is there, in the order of the grid whatever came first."""
    progress = Progress(sum(unit.work.steps for unit in missing))
    for unit in missing:
        progress.begin("{} T={}".format(*unit.name))
        done[unit.name] = measure(unit, progress.advance, interrupts.check)
        rows = (row for each in units if each.name in done for row in done[each.name])
        directory.keep(ROWS, "".join(map(to_json, rows)))
    progress.finish()


def _finish(directory: RunDirectory, settings: Settings, entry: dict[str, Any]) -> None:
    lines = summarise(directory.lines(ROWS))
    directory.write("summary.csv", to_csv(lines))
    told = {"schema": SCHEMA, "program": PROGRAM, "smoke": settings.smoke, "rows": lines, "frontiers": frontiers(lines)}
    directory.keep(SUMMARY, to_json(told, indent=1))
    title = f"{settings.task} ({settings.variant}), {settings.units} units, {settings.steps} updates, "
    title += f"{len(settings.seeds)} seeds, best of {len(settings.learning_rates)} learning rates"
    for name, content in figure.draw(lines, title).items():
        directory.write(name, content)
    ended = {"status": "complete", "ended": now(), "files_sha256": directory.digests(ROWS, SUMMARY)}
    directory.record(entry | ended)


def describe(units: list[Unit], settings: Settings, directory: RunDirectory) -> str:
    """What --dry_run says."""
    lines = [f"{name} = {value}" for name, value in directory.flags.items()] + [f"out = {directory.path}", ""]
    runs, seconds, most = len(settings.seeds) * len(settings.learning_rates), 0.0, 0.0
    for unit in units:
        width = unit.work.task.steps * settings.batch_size * runs
        seconds += _seconds(unit, settings.batch_size)
        most = max(most, 32 * width * settings.units)
        lines.append("{}  T={}  {} parameters".format(*unit.name, unit.work.parameters))
    told = (
        f"{runs} runs in each of {len(units)} units, about {most / 2**20:.0f} MiB and at most {seconds:.0f} s (rough)"
    )
    return "\n".join([*lines, "", told]) + "\n"
