"""From rows to frontiers: the share of seeds that solve each length, and where it crosses one half."""

import math
import statistics
from collections.abc import Sequence
from typing import Any

from experiments import tables

Rows = Sequence[dict[str, Any]]


def summarise(rows: Rows) -> list[dict[str, Any]]:
    """One line for each cell and length, at the rate that most seeds solve it with (of equals the quickest)."""
    lines = []
    for cell, length in dict.fromkeys((row["cell"], row["length"]) for row in rows):
        mine = [row for row in rows if (row["cell"], row["length"]) == (cell, length)]
        by_rate = [_at(rate, mine) for rate in dict.fromkeys(row["learning_rate"] for row in mine)]
        best = max(by_rate, key=lambda line: (line["success"], -line["median_steps"], -line["best_loss"]))
        first = [row for row in mine if row["learning_rate"] == mine[0]["learning_rate"]]
        norms = [_number(row, "log10_norm_first") for row in first]
        slopes = [_number(row, "slope_log10_per_step") for row in first]
        fade = {"slope_log10_per_step": statistics.fmean(slopes), "log10_norm_first": statistics.median(norms)}
        lines.append({"cell": cell, "length": length, "seeds": len(first), **best, **fade})
    return lines


def _at(rate: float, rows: Rows) -> dict[str, Any]:
    mine = [row for row in rows if row["learning_rate"] == rate]
    steps = [math.inf if row["solved_step"] is None else row["solved_step"] for row in mine]
    return {
        "learning_rate": rate,
        "success": sum(map(math.isfinite, steps)) / len(steps),
        "median_steps": statistics.median(steps),
        "best_loss": min(_number(row, "best_loss") for row in mine),
    }


def frontiers(lines: Rows) -> dict[str, dict[str, Any]]:
    """{cell: {"length": T*, "beyond": "above", "below" or ""}}.

    T* is where the share of seeds first falls from at least one half to below it, on a line between neighbouring
    lengths (length by its logarithm). Where it does not, T* is the last length, "above", or the first, "below".
    """
    found = {}
    for cell in dict.fromkeys(line["cell"] for line in lines):
        curve = [(line["length"], line["success"]) for line in lines if line["cell"] == cell]
        found[cell] = {"length": float(curve[-1][0]), "beyond": "above"}
        if curve[0][1] < 0.5:
            found[cell] = {"length": float(curve[0][0]), "beyond": "below"}
            continue
        for (a, high), (b, low) in zip(curve, curve[1:], strict=False):
            if low < 0.5:
                share = (high - 0.5) / (high - low)
                found[cell] = {"length": a * (b / a) ** share, "beyond": ""}
                break
    return found


def show(lines: Rows, form: str) -> str:
    """The table for standard output."""
    if form == "csv":
        return tables.to_csv(lines)
    if form == "json":
        return tables.to_json(lines, indent=1)
    draw = {"text": tables.text, "md": tables.md}[form]
    return "\n".join(f"{title}\n\n{draw(header, rows)}" for title, header, rows in tables_of(lines))


def tables_of(lines: Rows) -> list[tables.Table]:
    """Cells down, lengths across: who solves what, and how the gradient fades; a dash where nothing was measured."""
    edges, by = frontiers(lines), {(line["cell"], line["length"]): line for line in lines}
    lengths = tables.columns(by)
    success, fade = [], []
    for cell, edge in edges.items():
        mark = {"above": "> ", "below": "< ", "": ""}[edge["beyond"]]
        entries = []
        for length in lengths:
            line = by.get((cell, length))
            if line is None:
                entries.append("-")
                continue
            when = (
                "" if math.isinf(line["median_steps"]) else f" ({line['median_steps']:.0f} @ {line['learning_rate']:g})"
            )
            entries.append(f"{line['success']:.2f}{when}")
        success.append([cell, *entries, f"{mark}{edge['length']:.0f}"])
        slopes = (by[cell, length]["slope_log10_per_step"] if (cell, length) in by else None for length in lengths)
        fade.append([cell, *("-" if slope is None else f"{slope:.4f}" for slope in slopes)])
    header = ["cell", *(f"T={length}" for length in lengths)]
    told = "share of seeds that solve it (median updates @ learning rate), and T* where that crosses one half"
    return [
        tables.Table(told, [*header, "T*"], success),
        tables.Table("slope of log10 norm of dL/ds per step at initialisation", header, fade),
    ]


def _number(row: dict[str, Any], name: str) -> float:
    """A row's number; a row read back says null for what is not finite, and beside it what it was."""
    value = row[name]
    return float(row.get("nonfinite", {}).get(name, "nan")) if value is None else value
