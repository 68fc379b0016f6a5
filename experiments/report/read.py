"""Run directories as a stranger may have made them: every value is looked at before anything is made of it."""

import io
import json
import pathlib
import stat
import zipfile
import zlib
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any, NoReturn

import numpy as np

from experiments.exits import BadInput
from experiments.report.options import shown
from experiments.run_directory import RECORD, digest

Rows = list[dict[str, Any]]
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
    folder = _Folder(given)
    record = folder.json(RECORD)
    program = record.get("program") if isinstance(record, dict) else None
    if program not in ROWS:
        told = f" of {program}" if isinstance(program, str) and program.isidentifier() else ""
        raise BadInput(f"{shown(given)}: no run of {', '.join(ROWS)}, but something else{told}; leave it out")
    folder.check(RECORD, record, RECORD_FIELDS)
    folder.check(RECORD, record, {name: good for name, good in RECORD_OPTIONAL.items() if name in record})
    if record["schema"] != SCHEMA:
        raise BadInput(
            f"{shown(given)}: its files have schema {record['schema']}, this version reads {SCHEMA}; "
            "use the version that wrote them"
        )
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
        folder.check(where, row, ROW_FIELDS[program])
        if program == "train":
            folder.check(where, row, KIND_FIELDS.get(row["kind"]) or folder.damaged(where, "an unknown kind of row"))
        if row["seed"] not in seeds:
            folder.damaged(where, f"seed {row['seed']} is none of the run's")
    arrays = _curves(folder, rows) if program == "gradient_norms" and rows else {}
    summary = None
    if program == "train":
        _check_flows(folder, rows)
        if complete:
            summary = _summary(folder, seeds)
    return Run(given, program, record, rows, arrays, summary, _digests(folder, record), torn)


class _Folder:
    """A given directory; nothing outside it is read, whatever lies in it."""

    def __init__(self, given: str):
        try:
            self.given, self.root = given, pathlib.Path(given).resolve()
            if not self.root.exists():
                raise BadInput(f"{shown(given)}: there is no such directory; write the directory of a run")
            if not self.root.is_dir():
                raise BadInput(f"{shown(given)}: is a file; write the directory of a run")
            there = self.has(RECORD)
        except (OSError, RuntimeError):  # RuntimeError: links in a circle, of Python 3.12 and before
            raise BadInput(f"{shown(given)}: cannot be read; write the directory of a run") from None
        if not there:
            raise BadInput(f"{shown(given)}: no run.json in it; write the directory of a run, e.g. runs/train/NAME")

    def has(self, name: str) -> bool:
        path = self.root / name
        return path.is_symlink() or path.exists()

    def content(self, name: str) -> bytes:
        path = self.root / name
        try:
            real = path.resolve(strict=True)
            if not real.is_relative_to(self.root):
                raise BadInput(f"{shown(self.given)}/{name}: a link that leads out of the run; put the file there")
            if not stat.S_ISREG(real.stat().st_mode):
                raise BadInput(f"{shown(self.given)}/{name}: is no file; write the directory of a run")
            return real.read_bytes()
        except FileNotFoundError:
            raise BadInput(f"{shown(self.given)}/{name}: is missing; run its command again, or leave it out") from None
        except (OSError, RuntimeError) as error:
            told = getattr(error, "strerror", None) or "cannot be read"
            raise BadInput(f"{shown(self.given)}/{name}: {told}; leave the run out") from None

    def damaged(self, where: str, what: str) -> NoReturn:
        raise BadInput(f"{shown(self.given)}/{where}: damaged, {shown(what)}; run its command anew, or leave it out")

    def json(self, name: str) -> Any:
        return self._value(name, self.content(name))

    def rows(self, name: str, may_be_torn: bool) -> tuple[Rows, bool]:
        """The rows of a file with one a line, and whether the last was cut off."""
        *lines, rest = self.content(name).split(b"\n")
        if rest and not may_be_torn:
            self.damaged(f"{name}:{len(lines) + 1}", "its last line has no end")
        return [self._value(f"{name}:{i}", line) for i, line in enumerate(lines, 1)], bool(rest)

    def _value(self, where: str, data: bytes) -> Any:
        def refuse(word: str) -> NoReturn:
            raise ValueError(f"{word} is no JSON")

        try:
            value = json.loads(data, parse_constant=refuse)
            if b"\\ud" in data.lower():  # half of a character outside the basic plane is no text
                json.dumps(value, ensure_ascii=False).encode()
            return value
        except (ValueError, RecursionError):
            self.damaged(where, "no JSON")

    def check(self, where: str, value: Any, fields: dict[str, Callable[[Any], bool]]) -> None:
        if not isinstance(value, dict):
            self.damaged(where, "not an object")
        for name, good in fields.items():
            if name not in value:
                self.damaged(where, f"no {name!r}")
            if not good(value[name]):
                self.damaged(where, f"{name!r} is {value[name]!r:.40}")
        told = value.get("nonfinite", {})
        if not isinstance(told, dict) or not set(map(str, told.values())) <= {"inf", "-inf", "nan"}:
            self.damaged(where, "'nonfinite' is neither inf, -inf nor nan")


# ------------------------------------------------------------------------------------------------ what is good


def _text(value: Any) -> bool:
    return isinstance(value, str) and value.isprintable() and len(value) <= 4096


def _count(value: Any) -> bool:
    return isinstance(value, int) and not isinstance(value, bool) and 0 <= value < 2**53


def _place(value: Any) -> bool:
    return value is None or _count(value)


def _number(value: Any) -> bool:
    """None is one that was not finite."""
    return value is None or isinstance(value, (int, float)) and not isinstance(value, bool) and abs(value) <= 1e308


def _flags(value: Any) -> bool:
    return isinstance(value, dict) and all(_text(part) for pair in value.items() for part in pair)


def _numbers(value: Any) -> bool:
    return isinstance(value, list) and all(map(_number, value))


RECORD_FIELDS = {"schema": _count, "program": _text, "flags": _flags, "status": _text}
RECORD_OPTIONAL = {
    "git": lambda v: v is None or isinstance(v, dict) and _text(v.get("commit")) and isinstance(v.get("dirty"), bool),
    "x64": lambda value: isinstance(value, bool),
    "packages": lambda v: isinstance(v, dict) and all(_text(k) and (n is None or _text(n)) for k, n in v.items()),
    **dict.fromkeys(("argv", "devices"), lambda value: isinstance(value, list) and all(map(_text, value))),
    **dict.fromkeys(
        (
            "started",
            "ended",
            "python",
            "os",
            "processor",
            "backend",
            "data_sha256",
            "state_sha256",
            "matmul_precision",
            "prng",
        ),
        lambda value: value is None or _text(value),
    ),
}
ROW_FIELDS = {
    "gradient_norms": {
        **dict.fromkeys(("cell", "task", "variant"), _text),
        **dict.fromkeys(("schema", "length", "steps", "seed", "trained_steps"), _count),
        **dict.fromkeys(("loss", "chance_loss", "log10_norm_first", "log10_norm_last", "slope_log10_per_step",
                         "half_life_steps", "share_below_float32", "log10_parameter_norm"), _number),
    },
    "length_frontier": {
        "cell": _text,
        **dict.fromkeys(("length", "seed", "steps"), _count),
        **dict.fromkeys(("learning_rate", "best_loss", "slope_log10_per_step", "log10_norm_first"), _number),
        "solved_step": _place,
    },
    "train": {"kind": _text, "step": _count, "seed": _count},
}  # fmt: skip
KIND_FIELDS = {
    "step": {"loss": _number, "log10_gradient_norm": _number},
    "look": {"split": _text, "loss": _number, "step_loss": _number, "accuracy": _number},
    "flow": {"layer": _text, "lags": lambda v: isinstance(v, list) and all(map(_count, v)),
             "log10_norms": _numbers, "slope_log10_per_step": _number},
}  # fmt: skip
SCORES = {"loss": _number, "step_loss": _number, "accuracy": _number}


def _curves(folder: _Folder, rows: Rows) -> dict[str, np.ndarray]:
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


def _check_flows(folder: _Folder, rows: Rows) -> None:
    for number, row in enumerate(rows, 1):
        if row["kind"] == "flow" and not 0 < len(row["lags"]) == len(row["log10_norms"]):
            folder.damaged(f"metrics.jsonl:{number}", "as many lags as norms are wanted")


def _summary(folder: _Folder, seeds: set[int]) -> dict[str, Any]:
    found = folder.json(SUMMARY)
    folder.check(SUMMARY, found, {"chance_loss": _number, "parameters": _count, "rows": lambda v: isinstance(v, list)})
    for row in found["rows"]:
        folder.check(SUMMARY, row, {"seed": lambda seed: seed in seeds, "steps": _count})
        folder.check(SUMMARY, row.get("test_at_best", row.get("test")), SCORES)
        folder.check(SUMMARY, row, {name: _place for name in ("first_solved_step", "best_step") if name in row})
    if {row["seed"] for row in found["rows"]} != seeds:
        folder.damaged(SUMMARY, "not the seeds of the run")
    return found


def _digests(folder: _Folder, record: dict[str, Any]) -> dict[str, tuple[str, str]]:
    """{file: (SHA-256 as recorded, as found)}; names that are no results are refused."""
    told = record.get("files_sha256", {})
    if not isinstance(told, dict) or not all(name in FILES and _text(sha) for name, sha in told.items()):
        folder.damaged(RECORD, "'files_sha256' speaks of other files than results")
    return {name: (sha, digest(folder.content(name))) for name, sha in told.items()}
