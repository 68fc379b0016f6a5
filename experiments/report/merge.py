"""Runs that belong together become one grid: shards, and runs that differ in nothing but cells, lengths and seeds."""

import math
import shlex
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from experiments import cell_specs
from experiments.exits import BadInput
from experiments.report.folder import Rows
from experiments.report.options import shown
from experiments.report.read import ROWS, Run

FREE = {
    "gradient_norms": ("cells", "lengths", "seeds", "shard"),
    "length_frontier": ("cells", "lengths", "seeds", "shard"),
    "train": ("seeds",),
}
ROUNDING = 1e-5  # of numbers that a float32 held
DERIVED = "half_life_steps"  # infinite where the slope is about 0: the slope is compared
LONGEST = 44  # characters of what tells one grid from another


@dataclass(frozen=True)
class Grid:
    program: str
    flags: dict[str, str]  # that all its runs have
    runs: tuple[Run, ...]
    rows: Rows  # in the order of the grid
    arrays: dict[str, np.ndarray]  # of gradient_norms
    missing: tuple[str, ...]  # units that its runs were to have
    number: int = 0  # from 1, among the grids of its program
    words: tuple[str, ...] = ()  # what tells it from the others of its program, none for the only one
    differ: tuple[str, ...] = ()  # other flags in which these differ

    @property
    def apart(self) -> str:
        return ", ".join(self.words)

    @property
    def numbered(self) -> bool:
        """Whether it has only a number to tell it from the others."""
        return self.words == (f"grid {self.number}",)

    def said(self, names: Sequence[str]) -> str:
        """Some of its flags, as one types them."""
        return shown(" ".join(f"--{name}={shlex.quote(self.flags[name])}" for name in names if name in self.flags))

    def named(self, cell: str) -> str:
        """A cell's name where several grids stand together."""
        return f"{cell}, {self.apart}" if self.apart else cell

    @property
    def title(self) -> str:
        said = (self.flags["task"], self.flags["variant"])
        return ", ".join((f"{said[0]} ({said[1]})", *(word for word in self.words if word not in said)))

    @property
    def remarks(self) -> list[str]:
        found = [remark for run in self.runs for remark in run.remarks]
        if self.missing:
            some = ", ".join(self.missing[:4]) + (", ..." if len(self.missing) > 4 else "")
            found.append(f"missing: {len(self.missing)} of its units: {some}")
        for name, what in (("commits", lambda run: (run.record.get("git") or {}).get("commit")),
                           ("versions", lambda run: run.record.get("packages"))):  # fmt: skip
            if any(what(run) != what(self.runs[0]) for run in self.runs):
                found.append(f"its runs are of different {name}")
        return found


def merge(runs: Sequence[Run]) -> list[Grid]:
    """The grids, by program in the order they came."""
    groups: dict[tuple, list[Run]] = {}
    for run in runs:
        groups.setdefault(_key(run), []).append(run)
    found = []
    for program in dict.fromkeys(run.program for run in runs):
        mine = [_grid(program, group) for key, group in groups.items() if key[0] == program]
        apart, differ = _apart(mine)
        found += [
            replace(grid, number=i, words=words, differ=tuple(differ))
            for i, (grid, words) in enumerate(zip(mine, apart, strict=True), 1)
        ]
    return found


def _key(run: Run) -> tuple:
    data = run.record.get("data_sha256")
    left_out = FREE[run.program] + (("data",) if data else ())  # a path, where the data have a digest
    flags = tuple(sorted((name, value) for name, value in run.flags.items() if name not in left_out))
    return run.program, flags, str(data)


def _grid(program: str, runs: list[Run]) -> Grid:
    flags = {name: value for name, value in runs[0].flags.items() if name not in FREE[program]}
    if program == "train":
        rows, missing, arrays = *_seeds(runs), {}
    else:
        rows, missing, arrays = _units(program, runs)
    return Grid(program, flags, tuple(runs), rows, arrays, tuple(missing))


def _units(program: str, runs: list[Run]) -> tuple[Rows, list[str], dict[str, np.ndarray]]:
    """All rows in the order of the whole grid, the units that are missing, the curves."""
    cells = _order([_cells(run) for run in runs], sort=False)
    lengths, seeds = (_order([_numbers(run, name) for run in runs]) for name in ("lengths", "seeds"))
    inner = "trained_steps" if program == "gradient_norms" else "learning_rate"
    found: dict[tuple, tuple[dict[str, Any], Run, np.ndarray | None]] = {}
    for run in runs:
        mine, places = {(cell, length) for cell in _cells(run) for length in _numbers(run, "lengths")}, {}
        for i, row in enumerate(run.rows, 1):
            if (row["cell"], row["length"]) not in mine:
                told = f"{shown(row['cell'])} T={row['length']} is no unit of the run"
                raise BadInput(f"{shown(run.path)}/{ROWS[program]}:{i}: damaged, {told}; leave the run out")
            name = f"{row['cell']}/{row['length']}/{row[inner]}/state_mean"
            place = places[name] = places.get(name, -1) + 1
            curve = run.arrays[name][place] if program == "gradient_norms" else None
            key = (row["cell"], row["length"], row[inner], row["seed"])
            _agree(found.get(key), row, curve, run, key)
            found[key] = (row, run, curve)
    stages = {key[2]: None for key in sorted(found, key=lambda key: key[2] or 0)}
    order = [(c, t, s, k) for c in cells for t in lengths for s in stages for k in seeds]
    there = [key for key in order if key in found]
    arrays = {}
    if program == "gradient_norms":
        for c, t, s in dict.fromkeys(key[:3] for key in there):
            curves = [found[key][2] for key in there if key[:3] == (c, t, s)]
            if len({len(curve) for curve in curves if curve is not None}) != 1:
                raise BadInput(f"{shown(runs[0].path)}/flow.npz: damaged, curves of {shown(c)} T={t} differ in length")
            arrays[f"{c}/{t}/{s}/state_mean"] = np.stack(curves)  # pyright: ignore[reportArgumentType, reportCallIssue]
    wanted = dict.fromkeys((c, t, k) for run in runs for c in _cells(run) for t in _numbers(run, "lengths")
                           for k in _numbers(run, "seeds"))  # fmt: skip
    have = {(c, t, k) for c, t, _, k in there}
    missing = dict.fromkeys(f"{c} T={t}" for c, t, k in wanted if (c, t, k) not in have)
    return [found[key][0] for key in there], list(missing), arrays


def _agree(before: Any, row: dict[str, Any], curve: np.ndarray | None, run: Run, key: tuple) -> None:
    if before is None:
        return
    other, where, curve_before = before
    rows = [{name: value for name, value in one.items() if name != DERIVED} for one in (row, other)]
    if not (_same(*rows) and _same_curve(curve, curve_before)):
        name = ROWS[run.program]
        raise BadInput(
            f"{shown(where.path)}/{name} and {shown(run.path)}/{name} do not agree on {shown(str(key[0]))} T={key[1]}, "
            f"seed {key[3]}; leave one of them out"
        )


def _same(a: Any, b: Any) -> bool:
    """Equal but for rounding: grids of other lengths or seeds compute the same numbers in other programs."""
    if isinstance(a, dict) and isinstance(b, dict):
        return a.keys() == b.keys() and all(_same(a[name], b[name]) for name in a)
    if isinstance(a, float) and isinstance(b, float):
        return math.isclose(a, b, rel_tol=ROUNDING, abs_tol=ROUNDING)
    return type(a) is type(b) and a == b


def _same_curve(a: np.ndarray | None, b: np.ndarray | None) -> bool:
    if a is None or b is None:
        return a is b
    return a.shape == b.shape and np.allclose(a, b, rtol=ROUNDING, atol=ROUNDING, equal_nan=True)


def _seeds(runs: list[Run]) -> tuple[Rows, list[str]]:
    """The rows of all seeds; where a seed stands in two runs, one may have come further than the other."""
    found: dict[int, tuple[Rows, Run]] = {}
    for run in runs:
        for seed in run.seeds:
            mine = [row for row in run.rows if row["seed"] == seed]
            other, where = found.get(seed, ([], run))
            short, long = sorted((mine, other), key=len)
            if long[: len(short)] != short:
                name = ROWS["train"]
                raise BadInput(f"{shown(where.path)}/{name} and {shown(run.path)}/{name} do not agree on seed {seed}; "
                               "leave one of them out")  # fmt: skip
            found[seed] = (mine, run) if long is mine else (other, where)
    order = _order([run.seeds for run in runs])
    rows = [row for seed in order for row in found[seed][0]]
    return rows, [f"seed {seed}" for seed in order if not found[seed][0]]


def _cells(run: Run) -> list[str]:
    try:
        return cell_specs.split(run.flags["cells"])
    except ValueError as error:
        told = shown(str(error).split(";")[0])
        raise BadInput(f"{shown(run.path)}/run.json: damaged, --cells: {told}; leave the run out") from None


def _numbers(run: Run, name: str) -> list[int]:
    return [int(part) for part in run.flags[name].split(",") if part]


def _order(lists: list[list], sort: bool = True) -> list:
    """That of all runs where they have the same entries; else by size."""
    union = list(dict.fromkeys(entry for entries in lists for entry in entries))
    return union if not sort or all(entries == lists[0] for entries in lists) else sorted(union)


def _apart(grids: list[Grid]) -> tuple[list[tuple[str, ...]], list[str]]:
    """Of each grid the values of few flags that tell it apart, else its number; and the other flags that differ."""
    if len(grids) == 1:
        return [()], []
    names = dict.fromkeys(["cell", "task", "variant", *(name for grid in grids for name in grid.flags)])
    differ = [name for name in names if len({grid.flags.get(name) for grid in grids}) > 1]
    told: list[tuple[str, ...]] = [()] * len(grids)
    used = []
    for name in differ:
        words = [(*before, *_word(grid, name)) for before, grid in zip(told, grids, strict=True)]
        if len(set(words)) > len(set(told)):
            told, used = words, [*used, name]
    if len(set(told)) < len(told) or any(len(", ".join(words)) > LONGEST for words in told):
        return [(f"grid {i}",) for i in range(1, len(grids) + 1)], differ
    return told, [name for name in differ if name not in used]


def _word(grid: Grid, name: str) -> tuple[str, ...]:
    if name not in grid.flags:
        return ()
    return (grid.flags[name] if name in ("cell", "task", "variant") else f"{name}={grid.flags[name]}",)
