"""Rows of results over seeds: one line for each cell, length and number of training steps."""

import math
import statistics
from collections.abc import Sequence
from typing import Any

from experiments import tables

Rows = Sequence[dict[str, Any]]


def summarise(rows: Rows) -> list[dict[str, Any]]:
    """Median and extremes over seeds of what the rows say; a number that is missing or not finite leaves them NaN."""
    groups: dict[tuple, list[dict[str, Any]]] = {}
    for row in rows:
        groups.setdefault((row["cell"], row["length"], row["trained_steps"]), []).append(row)
    out = []
    for group in groups.values():
        line = {key: group[0][key] for key in ("schema", "cell", "task", "variant", "length", "steps", "trained_steps")}
        line["seeds"] = len(group)
        for name in ("log10_norm_first", "log10_norm_last", "slope_log10_per_step"):
            line |= _spread(name, [_number(row, name) for row in group])
        for name in ("half_life_steps", "share_below_float32", "log10_parameter_norm", "loss"):
            line[f"{name}_median"] = _median([_number(row, name) for row in group])
        out.append(line | {"chance_loss": group[0]["chance_loss"]})
    return out


def show(lines: Sequence[dict[str, Any]], form: str) -> str:
    """The table for standard output."""
    if form == "csv":
        return tables.to_csv(lines)
    if form == "json":
        return tables.to_json(lines, indent=1)
    draw = {"text": tables.text, "md": tables.md}[form]
    return "\n".join(f"{title}\n\n{draw(header, rows)}" for title, header, rows in tables_of(lines))


def tables_of(lines: Sequence[dict[str, Any]]) -> list[tables.Table]:
    """Cells down, lengths across: of each stage the norm at the first step, and the slope."""
    found = []
    for steps in dict.fromkeys(line["trained_steps"] for line in lines):
        chosen = [line for line in lines if line["trained_steps"] == steps]
        when = f"after {steps} steps of training" if steps else "at initialisation"
        for name, what, digits in (
            ("log10_norm_first", "log10 norm of dL/ds at the first step", 2),
            ("slope_log10_per_step", "slope of log10 norm per step", 4),
        ):
            title = f"{what}, {when}: median [least, largest] of the seeds"
            found.append(tables.Table(title, *_pivot(chosen, name, digits)))
    return found


def _pivot(lines: Sequence[dict[str, Any]], name: str, digits: int) -> tuple[list[str], list[list[str]]]:
    """(header, rows); what was not measured is a dash."""
    by = {(line["cell"], line["length"]): line for line in lines}
    lengths = tables.columns(by)

    def entry(line: dict[str, Any] | None) -> str:
        if line is None:
            return "-"
        middle, low, high = (line[f"{name}_{part}"] for part in ("median", "min", "max"))
        return f"{middle:.{digits}f} [{low:.{digits}f}, {high:.{digits}f}]"

    rows = [
        [cell, *(entry(by.get((cell, length))) for length in lengths)]
        for cell in dict.fromkeys(line["cell"] for line in lines)
    ]
    return ["cell", *(f"T={length}" for length in lengths)], rows


def _number(row: dict[str, Any], name: str) -> float:
    """A row's number; rows read back from a file say null for what is not finite, and beside it what it was."""
    value = row[name]
    return float(row.get("nonfinite", {}).get(name, "nan")) if value is None else value


def _spread(name: str, values: list[float]) -> dict[str, float]:
    bad = any(math.isnan(value) for value in values)
    low, high = (math.nan, math.nan) if bad else (min(values), max(values))
    mean = statistics.fmean(values) if all(map(math.isfinite, values)) else math.nan
    return {f"{name}_median": _median(values), f"{name}_mean": mean, f"{name}_min": low, f"{name}_max": high}


def _median(values: list[float]) -> float:
    return math.nan if any(map(math.isnan, values)) else statistics.median(values)
