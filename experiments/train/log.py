"""metrics.jsonl: rows go to its end, and every checkpoint says which bytes of it are the run's."""

import hashlib
import json
import os
import pathlib
from typing import Any

from experiments.exits import BadInput
from experiments.run_directory import write
from experiments.tables import to_json

METRICS = "metrics.jsonl"


class Log:
    def __init__(self, directory: pathlib.Path):
        self.path = directory / METRICS
        self._sha = hashlib.sha256()  # of all that is in the file

    def begin(self) -> None:
        """Empty, whatever was there."""
        write(self.path, "")

    def add(self, lines: list[dict[str, Any]]) -> None:
        data = "".join(map(to_json, lines)).encode()
        with open(self.path, "ab") as file:
            file.write(data)
        self._sha.update(data)

    def rows(self) -> list[dict[str, Any]]:
        return [json.loads(line) for line in self.path.read_bytes().splitlines()]

    def position(self) -> dict[str, Any]:
        """Where the file ends, on the disk when this returns."""
        with open(self.path, "rb") as file:
            os.fsync(file.fileno())
            return {"bytes": os.fstat(file.fileno()).st_size, "sha256": self._sha.hexdigest()}

    def cut(self, position: dict[str, Any]) -> None:
        """Back to an earlier position; raises, and leaves the file as it is, if what is before it is not what was."""
        try:
            data = self.path.read_bytes()[: position["bytes"]]
        except FileNotFoundError:
            data = b""
        sha = hashlib.sha256(data)
        if (len(data), sha.hexdigest()) != (position["bytes"], position["sha256"]):
            told = f"{METRICS} is damaged, its first {position['bytes']} bytes are not what the run wrote"
            raise BadInput(f"flag --out={self.path.parent}: {told}; put a copy back, or write another --out")
        os.truncate(self.path, position["bytes"])
        self._sha = sha
