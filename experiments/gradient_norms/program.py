"""The run itself: plan, measure what is missing, write, show."""

import io
import sys
from typing import Any

import jax
import numpy as np

from experiments import exits
from experiments.gradient_norms import figure, plan
from experiments.gradient_norms.measure import Unit, measure
from experiments.gradient_norms.settings import PROGRAM, Settings
from experiments.gradient_norms.summary import show, summarise
from experiments.interrupts import Interrupts
from experiments.progress import Progress
from experiments.record import data_digest, now, record, source_diff
from experiments.run_directory import RunDirectory, digest
from experiments.sharding import remark
from experiments.tables import to_csv, to_json

ROWS, FLOW = "results.jsonl", "flow.npz"
SUMMARY, DIFF = "summary.json", "source.diff"
TABLES = ("summary.csv", SUMMARY)


def run(settings: Settings, argv: list[str]) -> int:
    """The exit status of the program."""
    interrupts = Interrupts()
    return interrupts.run(lambda: _run(settings, argv, interrupts))


def _run(settings: Settings, argv: list[str], interrupts: Interrupts) -> int:
    units = plan.units(settings)
    flags = settings.resolved(list(dict.fromkeys(unit.cell for unit in units)))
    units = plan.dealt(units, settings.shard)
    directory = RunDirectory(settings.directory(flags), PROGRAM, flags)
    earlier = directory.claim()
    if settings.dry_run:
        sys.stdout.write(plan.describe(units, directory))
        return exits.OK
    plan.fits(units)
    data = jax.device_put(units[0].task.load())  # once: images are many
    told = record(
        PROGRAM,
        argv,
        flags,
        smoke=settings.smoke,
        seeds=list(settings.seeds),
        data_sha256=data_digest(units[0].task),
        started_first=earlier["started_first"] if earlier else now(),
    )
    if earlier and earlier["data_sha256"] != told["data_sha256"]:
        raise exits.BadInput(f"flag --out={directory.path}: its run read other data; write another --out")
    done, arrays = _restore(directory)
    missing = [unit for unit in units if (unit.cell, unit.task.length) not in done]
    promised = [ROWS, FLOW, *TABLES, *figure.files()]
    if missing or not (earlier and earlier["status"] == "complete") or not directory.has(*promised):
        told["starts"] = [*(earlier or {}).get("starts", []), {k: told[k] for k in ("started", "git", "packages")}]
        with directory.hold():
            directory.begin(told)
            if told["git"] and told["git"]["dirty"]:
                directory.write(DIFF, source_diff())
            else:
                (directory.path / DIFF).unlink(missing_ok=True)
            try:
                _measure(directory, units, missing, data, done, arrays, interrupts)
            except (exits.Interrupted, exits.NonFinite) as error:
                status = "interrupted" if isinstance(error, exits.Interrupted) else "non-finite"
                directory.record(told | {"status": status, "ended": now()})
                raise
            _finish(directory, told)
    lines = summarise(directory.lines(ROWS))
    machine = settings.format in ("csv", "json")
    sys.stdout.write(("" if machine else remark(settings.shard)) + show(lines, settings.format))
    directory.tell(sys.stderr if machine else sys.stdout)
    return exits.OK


def _measure(
    directory: RunDirectory,
    units: list[Unit],
    missing: list[Unit],
    data: Any,
    done: dict[tuple[str, int], list[dict[str, Any]]],
    arrays: dict[str, np.ndarray],
    interrupts: Interrupts,
) -> None:
    """Every missing unit, written as soon as it is there, in the order of the grid whatever came first."""
    progress = Progress(sum(unit.work for unit in missing))

    for unit in missing:
        progress.begin(f"{unit.cell} T={unit.task.length}")
        interrupts.check()
        rows, curves = measure(unit, data, progress.advance, interrupts.check)
        done[unit.cell, unit.task.length] = rows
        arrays |= curves
        _store(directory, units, done, arrays)
    progress.finish()


def _store(directory: RunDirectory, units: list[Unit], done: dict, arrays: dict[str, np.ndarray]) -> None:
    """Curves first, rows second: a unit counts as finished when its rows are there."""
    ordered = [(unit.cell, unit.task.length) for unit in units if (unit.cell, unit.task.length) in done]
    chosen = {name: arrays[name] for key in ordered for name in arrays if name.startswith("{}/{}/".format(*key))}
    buffer = io.BytesIO()
    np.savez(buffer, **chosen)  # pyright: ignore[reportArgumentType]
    directory.keep(FLOW, buffer.getvalue())
    directory.keep(ROWS, "".join(to_json(row) for key in ordered for row in done[key]))


def _restore(directory: RunDirectory) -> tuple[dict, dict[str, np.ndarray]]:
    """Finished units of an earlier start, by (cell, length), and their curves."""
    done: dict[tuple[str, int], list[dict[str, Any]]] = {}
    for row in directory.lines(ROWS):
        done.setdefault((row["cell"], row["length"]), []).append(row)
    flow = directory.kept(FLOW)
    if flow is None:
        return {}, {}
    with np.load(io.BytesIO(flow), allow_pickle=False) as file:
        return done, {name: file[name] for name in file.files}


def _finish(directory: RunDirectory, told: dict[str, Any]) -> None:
    """What is made of all rows, and the end of the record."""
    rows = directory.lines(ROWS)
    lines = summarise(rows)
    directory.write("summary.csv", to_csv(lines))
    directory.write_json(SUMMARY, {"schema": told["schema"], "program": PROGRAM, "smoke": told["smoke"], "rows": lines})
    with np.load(directory.path / FLOW, allow_pickle=False) as arrays:
        for name, content in figure.draw(rows, arrays).items():
            directory.write(name, content)
    state = digest("".join(row["parameters_sha256"] for row in rows).encode())
    sums = directory.digests(ROWS, FLOW, SUMMARY)
    ended = {"status": "complete", "ended": now(), "state_sha256": state, "files_sha256": sums}
    directory.record(told | ended)
