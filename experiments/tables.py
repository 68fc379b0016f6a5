"""Tables on standard output and in files: text, Markdown, CSV; and JSON that any reader accepts."""

import csv
import json
import math
from collections.abc import Iterable, Sequence
from typing import Any, NamedTuple

FORMATS = ("text", "md", "csv", "json")
_FORMULA = ("=", "+", "-", "@", "\t", "\r")


class Table(NamedTuple):
    title: str
    header: list[str]
    rows: list[list[str]]


def columns(pairs: Iterable[tuple[str, int]]) -> list[int]:
    """The lengths of a table of (cell, length): in their order where every cell has all, else by size."""
    pairs = list(pairs)
    cells, lengths = (list(dict.fromkeys(part)) for part in zip(*pairs, strict=True)) if pairs else ([], [])
    return lengths if len(pairs) == len(cells) * len(lengths) else sorted(lengths)


def text(header: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    """Columns padded with spaces: the first to the left, the others to the right."""
    lines = [list(header), *map(list, rows)]
    widths = [max(len(line[i]) for line in lines) for i in range(len(header))]
    padded = [[cell.ljust(w) if i == 0 else cell.rjust(w) for i, (cell, w) in enumerate(zip(line, widths, strict=True))]
              for line in lines]  # fmt: skip
    return "\n".join("  ".join(line).rstrip() for line in padded) + "\n"


def md(header: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    """A Markdown table; what would be markup is text."""
    rule = [":--"] + ["--:"] * (len(header) - 1)
    lines = [list(map(md_text, header)), rule, *(list(map(md_text, row)) for row in rows)]
    return "\n".join("| " + " | ".join(line) + " |" for line in lines) + "\n"


def md_text(text: str) -> str:
    """Text that Markdown, and HTML in it, take as it stands."""
    for mark, told in (("&", "&amp;"), ("<", "&lt;"), ("|", "\\|"), ("`", "\\`"), ("](", "]\\(")):
        text = text.replace(mark, told)
    return " ".join(text.splitlines())


def to_csv(rows: Sequence[dict[str, Any]]) -> str:
    """One line a row; a number that is not finite is an empty field."""
    lines = _Lines()
    writer = csv.DictWriter(lines, fieldnames=list(rows[0]) if rows else [], lineterminator="\r\n")
    writer.writeheader()
    for row in rows:
        writer.writerow({k: _csv_field(v) for k, v in row.items()})
    return "".join(lines)


class _Lines(list):
    """Lines that end in one character, though the writer was told two, so that it quotes both inside of fields."""

    def write(self, line: str) -> None:
        self.append(line.removesuffix("\r\n") + "\n")


def _csv_field(value: Any) -> Any:
    if value is None or isinstance(value, float) and not math.isfinite(value):
        return ""
    if isinstance(value, str) and value[:1] in _FORMULA:
        return "'" + value  # so that no spreadsheet takes it for a formula
    return json.dumps(value) if isinstance(value, (dict, list)) else value


def strict(value: Any) -> Any:
    """The same for JSON: a number that is not finite becomes null, and `nonfinite` beside it says which."""
    if isinstance(value, dict):
        told = {k: str(v) for k, v in value.items() if isinstance(v, float) and not math.isfinite(v)}
        return {k: strict(v) for k, v in value.items()} | ({"nonfinite": told} if told else {})
    if isinstance(value, (list, tuple)):
        return [strict(v) for v in value]
    return None if isinstance(value, float) and not math.isfinite(value) else value


def to_json(value: Any, indent: int | None = None) -> str:
    return json.dumps(strict(value), allow_nan=False, ensure_ascii=False, indent=indent) + "\n"
