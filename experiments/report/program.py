"""The report itself: read, merge, draw, write, show."""

import json
import os
import pathlib
import sys
from collections.abc import Sequence
from typing import Any

from experiments import exits, plotting, tables
from experiments.exits import BadInput
from experiments.report import page, tensorboard
from experiments.report.merge import Grid, merge
from experiments.report.options import PROGRAM, Settings, shown
from experiments.report.read import SCHEMA, Run, read
from experiments.report.sections import Section, sections
from experiments.run_directory import write

JSON = "report.json"
FIGURES = ("gradient_norms.png", "length_frontier.png", "learning.png", "flow.png")
KEPT = ("argv", "flags", "status", "started", "ended", "git", "packages", "python", "os", "processor", "devices",
        "backend", "x64", "matmul_precision", "prng", "data_sha256", "state_sha256")  # fmt: skip


def run(settings: Settings) -> int:
    """The exit status of the program."""
    out = _claim(settings.out) if settings.out else None
    events = tensorboard.claim(settings.tensorboard) if settings.tensorboard else None
    runs = [read(path) for path in settings.runs]
    grids = merge(runs)
    if out and not plotting.installed():
        sys.stderr.write(plotting.MISSING)
    found = sections(grids, with_figures=out is not None and plotting.installed())
    warnings = [warning for one in runs for warning in one.warnings]
    if out:
        _write(out, found, runs, warnings)
    if events:
        tensorboard.write(events, grids)
    for warning in warnings:
        sys.stderr.write(f"\033[31mwarning: {warning}\033[0m\n" if sys.stderr.isatty() else f"warning: {warning}\n")
    machine = settings.format in ("csv", "json")
    sys.stdout.write(_show(found, runs, settings.format))
    beside = sys.stderr if machine else sys.stdout
    if machine:
        beside.write("".join(f"{remark}\n" for section in found for remark in section.remarks))
    for path in filter(None, (out, events)):
        beside.write(f"\n{path}\n" + "".join(f"  {each.name}\n" for each in sorted(path.iterdir())))
    return exits.OK


def _show(found: Sequence[Section], runs: Sequence[Run], form: str) -> str:
    """The tables for standard output."""
    if form == "csv":
        return _csv(found)
    if form == "json":
        return tables.to_json([line for section in found for line in section.lines], indent=1)
    draw, mark = (tables.md, "## ") if form == "md" else (tables.text, "")
    parts = []
    for section in found:
        count = len({one.path for grid in section.grids for one in grid.runs})
        parts.append(f"{mark}{section.title}: {count} run{'s' if count > 1 else ''}\n")
        words = [tables.md_text(remark) if form == "md" else remark for remark in section.remarks]
        parts += ["".join(f"{word}\n" for word in words)] if words else []
        parts += [f"{tables.md_text(title) if form == 'md' else title}\n\n{draw(header, rows)}"
                  for title, header, rows in section.tables]  # fmt: skip
    return "\n".join(parts)


def _csv(found: Sequence[Section]) -> str:
    """All lines in one table, with the columns of all."""
    lines = [line for section in found for line in section.lines]
    names = dict.fromkeys(name for line in lines for name in line)
    return tables.to_csv([{name: line.get(name) for name in names} for line in lines])


# ------------------------------------------------------------------------------------------------- writing


def _claim(path: str) -> pathlib.Path:
    """The directory of a report; raises, without writing, where it cannot go or would replace something else."""
    folder = pathlib.Path(path).absolute()
    for parent in (folder, *folder.parents):
        if parent.exists():
            if not parent.is_dir():
                raise BadInput(f"flag --out={shown(path)}: {shown(str(parent))} is a file; write a directory")
            if not os.access(parent, os.W_OK | os.X_OK):
                raise BadInput(f"flag --out={shown(path)}: {shown(str(parent))} cannot be written; write another")
            break
    if folder.exists() and any(not each.name.endswith(".tmp") for each in folder.iterdir()):
        try:
            ours = json.loads((folder / JSON).read_bytes())["program"] == PROGRAM
        except (OSError, ValueError, KeyError, TypeError, RecursionError):
            ours = False
        if not ours:
            raise BadInput(f"flag --out={shown(path)}: holds something else than a report; write another --out")
    return folder


def _write(out: pathlib.Path, found: Sequence[Section], runs: Sequence[Run], warnings: Sequence[str]) -> None:
    """`report.json` first: it is what makes the directory ours."""
    figures = {name: content for section in found for name, content in section.figures.items()}
    try:
        out.mkdir(parents=True, exist_ok=True)
        write(out / JSON, tables.to_json(_answer(found, runs, warnings), indent=1))
        for name in FIGURES:
            if name not in figures:
                (out / name).unlink(missing_ok=True)  # of an older report
        for name, content in figures.items():
            write(out / name, content)
        write(out / "report.csv", _csv(found))
        write(out / "report.md", page.markdown(found, runs, warnings))
        write(out / "report.html", page.html(found, runs, warnings))
    except OSError as error:
        raise BadInput(f"flag --out={shown(str(out))}: {error.strerror}; write another directory") from None


def _answer(found: Sequence[Section], runs: Sequence[Run], warnings: Sequence[str]) -> dict[str, Any]:
    """All that is known, for JSON."""
    return {
        "schema": SCHEMA,
        "program": PROGRAM,
        "warnings": list(warnings),
        "remarks": [remark for section in found for remark in section.remarks],
        "runs": [_provenance(one) for one in runs],
        "grids": [_told(grid, section) for section in found for grid in section.grids],
    }


def _provenance(one: Run) -> dict[str, Any]:
    digests = {name: {"recorded": told, "found": there} for name, (told, there) in one.digests.items()}
    kept = {name: one.record[name] for name in KEPT if name in one.record}
    return {"path": shown(one.path), "program": one.program, **kept, "files_sha256": digests}


def _told(grid: Grid, section: Section) -> dict[str, Any]:
    lines = [line for line in section.lines if line["grid"] == grid.number]
    results = {} if grid.program == "train" else {"results": grid.rows}
    return {
        "program": grid.program,
        "grid": grid.number,
        "flags": grid.flags,
        "runs": [shown(one.path) for one in grid.runs],
        "missing": list(grid.missing),
        "rows": lines,
        **results,
    }
