"""What is said of the grids of one program: tables, lines for machines, figures."""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from experiments import tables
from experiments.gradient_norms import figure as norms_figure
from experiments.gradient_norms import summary as norms
from experiments.length_frontier import figure as frontier_figure
from experiments.length_frontier import summary as frontier
from experiments.report.merge import Grid
from experiments.train import figure as train_figure
from experiments.train import report as train_report

TITLES = {
    "gradient_norms": "Gradient norms",
    "length_frontier": "Length frontier",
    "train": "Training",
}
FIGURES = {
    "gradient_norms": "The norm of the gradient by lag, and at the first step against the sequence length.",
    "length_frontier": "The share of seeds that solve each length, and the norm of the gradient at the first step.",
    "learning": "Learning curves: losses and gradient norms while training.",
    "flow": "The norm of the gradient by lag, at initialisation and after training.",
}
PNG = ("png",)


@dataclass(frozen=True)
class Section:
    """One program."""

    program: str
    grids: tuple[Grid, ...]
    tables: tuple[tables.Table, ...]
    lines: tuple[dict[str, Any], ...]  # for CSV and JSON
    remarks: tuple[str, ...]
    figures: dict[str, bytes]  # file name: PNG

    @property
    def title(self) -> str:
        return TITLES[self.program]


def sections(grids: Sequence[Grid], with_figures: bool) -> list[Section]:
    make = {"gradient_norms": _norms, "length_frontier": _frontiers, "train": _training}
    found = []
    for program in dict.fromkeys(grid.program for grid in grids):
        mine = tuple(grid for grid in grids if grid.program == program)
        made, lines, figures = make[program](mine, with_figures)
        remarks = [f"{grid.apart}: {remark}" if grid.apart and remark.startswith(("missing", "its")) else remark
                   for grid in mine for remark in grid.remarks]  # fmt: skip
        if mine[0].numbered:
            told = [f"{grid.apart}: {grid.said(grid.differ)}" for grid in mine]
            remarks = told + remarks
        elif mine[0].differ:
            remarks.insert(0, f"the grids differ also in {', '.join(f'--{name}' for name in mine[0].differ)}")
        lines = [
            {"program": program, "grid": grid.number, "apart": grid.apart, **_common(grid), **line}
            for grid, line in lines
        ]
        found.append(Section(program, mine, tuple(made), tuple(lines), tuple(remarks), figures))
    return found


def _common(grid: Grid) -> dict[str, Any]:
    return {name: grid.flags[name] for name in ("task", "variant")}


Made = tuple[list[tables.Table], list[tuple[Grid, dict[str, Any]]], dict[str, bytes]]


def _norms(grids: Sequence[Grid], with_figures: bool) -> Made:
    made, lines = [], []
    rows, arrays = [], {}
    for grid in grids:
        found = norms.summarise(grid.rows)
        lines += [(grid, line) for line in found]
        made += [each._replace(title=f"{grid.title}: {each.title}") for each in norms.tables_of(found)]
        rows += [row | {"cell": _figure_text(grid.named(row["cell"]))} for row in grid.rows]
        for name, curves in grid.arrays.items():
            cell, place = _cell_of(name)
            arrays[f"{_figure_text(grid.named(cell))}/{place}"] = curves
    title = _figure_text(_title(grids))
    return made, lines, norms_figure.draw(rows, arrays, title, PNG) if rows and with_figures else {}


def _cell_of(name: str) -> tuple[str, str]:
    """`cell/length/steps/kind`, of which only the cell may have a slash."""
    cell, *rest = name.rsplit("/", 3)
    return cell, "/".join(rest)


def _frontiers(grids: Sequence[Grid], with_figures: bool) -> Made:
    made, lines, shown = [], [], []
    for grid in grids:
        found = frontier.summarise(grid.rows)
        edges = frontier.frontiers(found)
        for line in found:
            edge = edges[line["cell"]]
            lines.append((grid, line | {"frontier": edge["length"], "frontier_beyond": edge["beyond"]}))
        if found:
            made += [each._replace(title=f"{grid.title}: {each.title}") for each in frontier.tables_of(found)]
        shown += [line | {"cell": _figure_text(grid.named(line["cell"]))} for line in found]
    title = f"{_figure_text(_title(grids))}, {_said(grids, 'units')} units, {_said(grids, 'steps')} updates"
    return made, lines, frontier_figure.draw(shown, title, PNG) if shown and with_figures else {}


def _said(grids: Sequence[Grid], name: str) -> str:
    """A flag's value, or values."""
    return ", ".join(dict.fromkeys(grid.flags.get(name, "-") for grid in grids))


def _title(grids: Sequence[Grid]) -> str:
    """The tasks that a figure is of."""
    return "; ".join(dict.fromkeys(f"{grid.flags['task']} ({grid.flags['variant']})" for grid in grids))


def _training(grids: Sequence[Grid], with_figures: bool) -> Made:
    lines, rows, runs = [], [], []
    for grid in grids:
        summary = _summary(grid)
        for line in _scores(grid):
            lines.append((grid, {"cell": grid.flags["cell"], "length": summary["length"], **line}))
            best = "-" if line["best_step"] is None else str(line["best_step"])
            first = "-" if line["first_solved_step"] is None else str(line["first_solved_step"])
            name = grid.apart or grid.flags["cell"]
            rows.append(
                [name, str(line["seed"]), str(line["steps"]), line["split"], *train_report.numbers(line), first, best]
            )
        if any(row["kind"] == "look" for row in grid.rows):
            runs.append(train_figure.Run(_figure_text(grid.apart or grid.flags["cell"]), grid.rows, summary))
    cells = dict.fromkeys(grid.flags["cell"] for grid in grids)
    header = ["run", "seed", "updates", "split", *train_report.NUMBERS, "first solved at", "best at"]
    title = "scores at the best look at validation data, else after the last update"
    found = (
        [tables.Table(f"{_title(grids)}{', '.join(('', *cells)) if len(cells) == 1 else ''}: {title}", header, rows)]
        if rows
        else []
    )
    figures = {}
    if runs and with_figures:
        one = train_figure.draw(runs[0].rows, runs[0].summary) if len(runs) == 1 else train_figure.draw_several(runs)
        figures = one | train_figure.draw_flows(runs)
    return found, lines, figures


def _summary(grid: Grid) -> dict[str, Any]:
    """What the figure of a run needs; of a run that is not finished its flags know most."""
    flags = grid.flags
    found = next((run.summary for run in grid.runs if run.summary), None)
    clip = flags.get("clip_norm", "0")
    named = {name: _figure_text(flags[name]) for name in ("task", "variant", "cell")}
    try:
        bound = float(clip)
    except ValueError:
        bound = 0.0
    return {
        **named,
        "length": int(flags["length"]) if flags.get("length", "").isdecimal() else 0,
        "clip_norm": bound if 0 < bound < math.inf else 0.0,
        "chance_loss": found["chance_loss"] if found else None,
    }


def _scores(grid: Grid) -> list[dict[str, Any]]:
    """A line for each seed: its test, or its last look where it is not finished."""
    found = {}
    for run in grid.runs:
        for row in run.summary["rows"] if run.summary else []:
            score = row.get("test_at_best", row.get("test"))
            found[row["seed"]] = {
                "seed": row["seed"],
                "steps": row["steps"],
                "split": "test",
                **{name: score[name] for name in ("loss", "step_loss", "accuracy")},
                "first_solved_step": row.get("first_solved_step"),
                "best_step": row.get("best_step"),
                "complete": True,
            }
    for row in grid.rows:
        if row["kind"] == "look" and not found.get(row["seed"], {}).get("complete"):
            found[row["seed"]] = {
                "seed": row["seed"],
                "steps": row["step"],
                **{name: row[name] for name in ("split", "loss", "step_loss", "accuracy")},
                "first_solved_step": None,
                "best_step": None,
                "complete": False,
            }
    order = dict.fromkeys(row["seed"] for row in grid.rows)
    return [found[seed] for seed in order if seed in found]


def _figure_text(text: str) -> str:
    """Text that the figure takes as it stands: a dollar sign would begin a formula."""
    return text.replace("$", r"\$")
