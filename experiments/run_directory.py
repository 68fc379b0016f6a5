"""A directory of one run: it belongs to one set of flags, and nothing in it is ever half-written."""

import contextlib
import fcntl
import hashlib
import json
import os
import pathlib
import socket
from collections.abc import Iterator
from typing import Any

from experiments import tables
from experiments.exits import BadInput
from experiments.seal import intact, sealed

CONFIG, RECORD, LOCK = "config.flags", "run.json", ".lock"
SUMS = ".sums.json"  # {name: digests of what `keep` wrote last and before}
SCHEMA = 1  # of all files of a run


def write(path: pathlib.Path, content: str | bytes) -> None:
    """Replace a file in one step: a reader, or a crash, sees the old one or the new one."""
    data = content.encode() if isinstance(content, str) else content
    temporary = path.with_name(f".{path.name}.{os.getpid()}.tmp")
    with open(temporary, "wb") as file:
        file.write(data)
        file.flush()
        os.fsync(file.fileno())
    os.replace(temporary, path)


def digest(data: bytes) -> str:
    return hashlib.sha256(data).hexdigest()


def claim_file(path: str, program: str) -> pathlib.Path:
    """Where a program's one file goes; raises, without writing, where it cannot go or would replace another's."""
    file = pathlib.Path(path).absolute()
    if file.is_dir():
        raise BadInput(f"flag --out={path}: is a directory; write the name of a file in it")
    if not file.parent.is_dir():
        raise BadInput(f"flag --out={path}: there is no directory {file.parent}; make it, or write another file")
    if not os.access(file.parent, os.W_OK | os.X_OK):
        raise BadInput(f"flag --out={path}: {file.parent} cannot be written; write another file")
    if file.exists():
        try:
            ours = json.loads(file.read_bytes())["program"] == program
        except (OSError, ValueError, KeyError, TypeError):
            ours = False
        if not ours:
            raise BadInput(f"flag --out={path}: holds something else than an answer of {program}; write another file")
    return file


class RunDirectory:
    """`claim` looks and refuses without writing; `begin` makes the directory and its first files."""

    def __init__(self, path: str, program: str, flags: dict[str, str]):
        self.path = pathlib.Path(path).absolute()
        self.program, self.flags = program, flags

    @property
    def config(self) -> str:
        """The run's flags as a file for --flagfile, one a line, without those that change no result."""
        return "".join(f"--{name}={value}\n" for name, value in self.flags.items())

    def claim(self) -> dict[str, Any] | None:
        """The record of an earlier start of this very run, None for a new one; raises if it is another's."""
        for parent in (self.path, *self.path.parents):
            if parent.exists():
                if not parent.is_dir():
                    raise BadInput(f"flag --out={self.path}: {parent} is a file; write the name of a directory")
                if not os.access(parent, os.W_OK | os.X_OK):
                    raise BadInput(f"flag --out={self.path}: {parent} cannot be written; write another directory")
                break
        ours = (".tmp", LOCK)  # left by a process that was killed before it began
        if not self.path.exists() or all(p.name.endswith(ours) for p in self.path.iterdir()):
            return None
        try:
            record = json.loads((self.path / RECORD).read_text())
            flags = record["flags"]
            program = record["program"]
            schema = int(record["schema"])
        except (OSError, ValueError, KeyError, TypeError):
            raise BadInput(
                f"flag --out={self.path}: the directory holds files of something else; write another --out"
            ) from None
        if program != self.program:
            raise BadInput(f"flag --out={self.path}: holds a run of {program}; write another --out")
        if schema > SCHEMA:
            raise BadInput(
                f"flag --out={self.path}: {RECORD} has schema {schema}, known is {SCHEMA}; take a newer version, or "
                "write another --out"
            )
        if not intact(record):
            raise BadInput(
                f"flag --out={self.path}: {RECORD} is damaged, not what the run wrote; put a copy back, or write "
                "another --out"
            )
        if flags != self.flags:
            names = [name for name in {**self.flags, **flags} if self.flags.get(name) != flags.get(name)]
            told = ", ".join(f"--{n}={flags.get(n)} (now {self.flags.get(n)})" for n in names)
            raise BadInput(f"flag --out={self.path}: holds a run with {told}; give these flags, or another --out")
        return record

    @contextlib.contextmanager
    def hold(self) -> Iterator[None]:
        """Be alone in the directory, which is made if it is not there; raises if somebody else is."""
        try:
            self.path.mkdir(parents=True, exist_ok=True)
            file = open(self.path / LOCK, "a+")
        except OSError as error:
            raise BadInput(f"flag --out={self.path}: {error.strerror}; write another directory") from None
        with file:
            try:
                fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                file.seek(0)
                who = file.read().strip() or "somebody"
                raise BadInput(
                    f"flag --out={self.path}: {who} is at work there; wait, or write another --out"
                ) from None
            for left in self.path.glob(".*.tmp"):  # of a write that was killed
                left.unlink(missing_ok=True)
            file.truncate(0)
            file.write(f"process {os.getpid()} on {socket.gethostname()}\n")
            file.flush()
            yield

    def begin(self, record: dict[str, Any]) -> None:
        try:
            self.path.mkdir(parents=True, exist_ok=True)
            self.record(record)  # first: it is what makes the directory ours
            self.write(CONFIG, self.config)
        except OSError as error:
            raise BadInput(f"flag --out={self.path}: {error.strerror}; write another directory") from None

    def record(self, record: dict[str, Any]) -> None:
        self.write_json(RECORD, sealed(record))

    def write(self, name: str, content: str | bytes) -> None:
        write(self.path / name, content)

    def write_json(self, name: str, value: Any) -> None:
        self.write(name, tables.to_json(value, indent=1))

    def keep(self, name: str, content: str | bytes) -> None:
        """`write` what a later start goes on from; a crash leaves the file as it was, or as it is now."""
        data = content.encode() if isinstance(content, str) else content
        sums = self._sums()
        self.write_json(SUMS, sums | {name: [*sums.get(name, [])[-1:], digest(data)]})
        self.write(name, data)

    def kept(self, name: str) -> bytes | None:
        """What `keep` wrote; None if there is no such file; raises where it holds anything else."""
        path = self.path / name
        if not path.exists():
            return None
        data = path.read_bytes()
        if digest(data) not in self._sums().get(name, []):
            raise BadInput(
                f"flag --out={self.path}: {name} is damaged, not what the run wrote; put a copy back, or delete it "
                "to measure anew"
            )
        return data

    def json(self, name: str) -> Any:
        """The value of a file that was kept."""
        return json.loads(self.kept(name) or b"")

    def _sums(self) -> dict[str, list[str]]:
        try:
            return json.loads((self.path / SUMS).read_bytes())
        except (OSError, ValueError):
            return {}

    def has(self, *names: str) -> bool:
        return all((self.path / name).exists() for name in names)

    def lines(self, name: str) -> list[dict[str, Any]]:
        """The rows of a JSON-lines file that was kept, none if there is no such file."""
        return [json.loads(line) for line in (self.kept(name) or b"").splitlines()]

    def digests(self, *names: str) -> dict[str, str]:
        return {name: digest((self.path / name).read_bytes()) for name in names}

    def tell(self, stream: Any) -> None:
        """Write where the run is, and what is in it."""
        names = sorted(path.name for path in self.path.iterdir() if not path.name.startswith("."))
        stream.write(f"\n{self.path}\n" + "".join(f"  {name}\n" for name in names))
