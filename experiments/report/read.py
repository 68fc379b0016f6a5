"""Runs from directories that a stranger may have made: every value is looked at before anything is made of it."""

import io
import zipfile
import zlib
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from experiments.exits import BadInput
from experiments.report import fields
from experiments.report.folder import Folder, Rows
from experiments.report.options import shown
from experiments.run_directory import RECORD, digest
from experiments.seal import intact

SCHEMA = 1
ROWS = {"gradient_norms": "results.jsonl", "length_frontier": "results.jsonl", "train": "metrics.jsonl"}
FLOW, SUMMARY = "flow.npz", "summary.json"
FILES = ("results.jsonl", "metrics.jsonl", FLOW, SUMMARY)  # that a record may keep digests of


@dataclass(frozen=True)
class Run:
    path: str  # as it was given
    program: str
    record: dict[str, Any]
    rows: Rows
    arrays: dict[str, np.ndarray] = field(default_factory=dict)  # of gradient_norms: by lag, [seeds, lags]
    summary: dict[str, Any] | None = None  # of train, when it is complete
    digests: dict[str, tuple[str, str]] = field(default_factory=dict)  # file: (recorded, found)
    torn: bool = False  # the last row was cut off: the run was, too

    @property
    def flags(self) -> dict[str, str]:
        return self.record["flags"]

    @property
    def complete(self) -> bool:
        return self.record["status"] == "complete"

    @property
    def seeds(self) -> list[int]:
        return [int(part) for part in self.flags["seeds"].split(",") if part]

    @property
    def warnings(self) -> list[str]:
        """What makes its numbers doubtful."""
        return [
            f"{shown(self.path)}/{name}: not the file that the run wrote: its SHA-256 is {found[:12]}..., "
            f"run.json says {told[:12]}..."
            for name, (told, found) in self.digests.items()
            if told != found
        ]

    @property
    def remarks(self) -> list[str]:
        """What a reader of its numbers should know."""
        told = []
        status = self.record["status"]
        if status == "running":
            told.append(f"{shown(self.path)}: unfinished, running or ended without a word")
        elif status != "complete":
            told.append(f"{shown(self.path)}: unfinished, {status}")
        if self.torn:
            told.append(f"{shown(self.path)}/{ROWS[self.program]}: the last row is cut off, and left out")
        return told


def read(given: str) -> Run:
    """A run; raises BadInput, one line, for everything that is none."""
    folder = Folder(given)
    record = folder.json(RECORD)
    program = record.get("program") if isinstance(record, dict) else None
    if program not in ROWS:
        told = f" of {program}" if isinstance(program, str) and program.isidentifier() else ""
        raise BadInput(f"{shown(given)}: no run of {', '.join(ROWS)}, but something else{told}; leave it out")
    folder.check(RECORD, record, fields.RECORD_FIELDS)
    folder.check(RECORD, record, {name: good for name, good in fields.RECORD_OPTIONAL.items() if name in record})
    if record["schema"] != SCHEMA:
        raise BadInput(
            f"{shown(given)}: its files have schema {record['schema']}, this version reads {SCHEMA}; "
            "use the version that wrote them"
        )
    if not intact(record):
        folder.damaged(RECORD, "not as it was written")
    flags = record["flags"]
    for name in ("seeds", "task", "variant", *(("cell",) if program == "train" else ("cells", "lengths"))):
        if name not in flags:
            folder.damaged(RECORD, f"no flag --{name}")
    for name in ("seeds", *(() if program == "train" else ("lengths",))):
        if not all(part.isascii() and part.isdigit() and len(part) < 12 for part in flags[name].split(",") if part):
            folder.damaged(RECORD, f"--{name} is no list of numbers")
    complete = record["status"] == "complete"
    if complete or folder.has(ROWS[program]):
        rows, torn = folder.rows(ROWS[program], may_be_torn=program == "train" and not complete)
    else:
        rows, torn = [], False
    seeds = {int(part) for part in flags["seeds"].split(",") if part}
    for number, row in enumerate(rows, 1):
        where = f"{ROWS[program]}:{number}"
        folder.check(where, row, fields.ROW_FIELDS[program])
        if program == "train":
            if row["kind"] not in fields.KIND_FIELDS:
                folder.damaged(where, "an unknown kind of row")
            folder.check(where, row, fields.KIND_FIELDS[row["kind"]])
        if row["seed"] not in seeds:
            folder.damaged(where, f"seed {row['seed']} is none of the run's")
    arrays = _curves(folder, rows) if program == "gradient_norms" and rows else {}
    summary = None
    if program == "train":
        _check_flows(folder, rows)
        if complete:
            summary = _summary(folder, seeds)
    return Run(given, program, record, rows, arrays, summary, _digests(folder, record), torn)


def _curves(folder: Folder, rows: Rows) -> dict[str, np.ndarray]:
    """The mean norms by lag that belong to the rows, [seeds, lags]."""
    data = folder.content(FLOW)
    seeds: dict[str, list[int]] = {}
    for row in rows:
        seeds.setdefault(f"{row['cell']}/{row['length']}/{row['trained_steps']}/state_mean", []).append(row["seed"])
    found = {}
    try:
        with np.load(io.BytesIO(data), allow_pickle=False) as file:
            for name, mine in seeds.items():
                found[name] = file[name]
                if found[name].ndim != 2 or len(found[name]) != len(mine) or found[name].dtype.kind != "f":
                    folder.damaged(FLOW, f"{name} is not what the rows say")
    except (OSError, ValueError, KeyError, EOFError, zipfile.BadZipFile, zlib.error, NotImplementedError, TypeError):
        folder.damaged(FLOW, "not the arrays that the rows speak of")
    return found


def _check_flows(folder: Folder, rows: Rows) -> None:
    for number, row in enumerate(rows, 1):
        if row["kind"] == "flow" and not 0 < len(row["lags"]) == len(row["log10_norms"]):
            folder.damaged(f"metrics.jsonl:{number}", "as many lags as norms are wanted")


def _summary(folder: Folder, seeds: set[int]) -> dict[str, Any]:
    found = folder.json(SUMMARY)
    folder.check(SUMMARY, found, fields.SUMMARY)
    for row in found["rows"]:
        folder.check(SUMMARY, row, {"seed": lambda seed: seed in seeds, "steps": fields.count})
        folder.check(SUMMARY, row.get("test_at_best", row.get("test")), fields.SCORES)
        folder.check(SUMMARY, row, {name: fields.place for name in ("first_solved_step", "best_step") if name in row})
    if {row["seed"] for row in found["rows"]} != seeds:
        folder.damaged(SUMMARY, "not the seeds of the run")
    return found


def _digests(folder: Folder, record: dict[str, Any]) -> dict[str, tuple[str, str]]:
    """{file: (SHA-256 as recorded, as found)}; names that are no results are refused."""
    told = record.get("files_sha256", {})
    if not isinstance(told, dict) or not all(name in FILES and fields.text(sha) for name, sha in told.items()):
        folder.damaged(RECORD, "'files_sha256' speaks of other files than results")
    return {name: (sha, digest(folder.content(name))) for name, sha in told.items()}
