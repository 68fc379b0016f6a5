"""A directory that a stranger may have made: nothing outside it is read, nothing in it is believed."""

import json
import pathlib
import stat
from collections.abc import Callable
from typing import Any, NoReturn

from experiments.exits import BadInput
from experiments.report.options import shown
from experiments.run_directory import RECORD

Rows = list[dict[str, Any]]


class Folder:
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
