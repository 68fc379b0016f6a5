"""CSV files of numbers, one row a point in time."""

import csv
import io

import numpy as np

from rnnx.tasks.readers import utf8
from rnnx.tasks.readers.bad_file import BadFile
from rnnx.types import one_of

MISSING = ("", "?", "na", "n/a", "null", "none")  # words for a value that is not there, which name no column
Row = tuple[int, list[str]]  # the line, and its cells


def read(path: str, columns: str = "") -> tuple[tuple[str, ...], np.ndarray]:
    """(names of the D columns, values float64 [T, D] in the order of the rows).

    The first row is a header if a cell of it, other than the first of several, is not a number; without one the
    names are "1", "2", ... The first of several columns is skipped as dates or labels if it does not begin with a
    number, or has no name in the header. `columns` chooses by name, "HUFL,OT", in that order; "" takes all others.

    Raises BadFile with the line of a row that is longer or shorter than the first, or of a chosen value that is
    missing, not a number or not finite; ValueError for a name that no column has, or that stands twice.
    """
    rows = _rows(path)
    first_line, first = rows[0]
    width = len(first)
    header = not all(map(_numeric, first[1:] or first))
    names = first if header else [str(i + 1) for i in range(width)]
    for line, cells in rows:
        if len(cells) != width:
            raise BadFile(
                f"file {path}:{line} has {len(cells)} values where line {first_line} has {width}; "
                "give every row as many"
            )
    if header:
        rows = rows[1:]
        for name in set(names):
            if names.count(name) > 1:
                raise BadFile(f"file {path}:{first_line} names two columns {name!r}; give every column its own name")
    if not rows:
        raise BadFile(f"file {path} has a header and no row of values; write the path of another")
    skipped = int(width > 1 and (not _numeric(rows[0][1][0]) or (header and not names[0])))
    chosen = _chosen(path, names, columns) if columns else list(range(skipped, width))
    values = np.array([[_value(path, row, i, names[i]) for i in chosen] for row in rows], np.float64)
    return tuple(names[i] for i in chosen), values


def _rows(path: str) -> list[Row]:
    """At least one; blank lines at the end are none."""
    reader = csv.reader(io.StringIO(utf8.read(path).removeprefix("\ufeff"), newline=""), strict=True)
    rows: list[Row] = []
    try:
        for cells in reader:
            rows.append((reader.line_num, [cell.strip() for cell in cells]))
    except csv.Error as error:
        raise BadFile(f"file {path}:{reader.line_num} is no CSV ({error}); write the path of a CSV file") from None
    while rows and rows[-1][1] in ([], [""]):
        rows.pop()
    if not rows:
        raise BadFile(f"file {path} is blank; write the path of one with something in it")
    return rows


def _numeric(cell: str) -> bool:
    """Whether a value stands here, be it a bad one."""
    try:
        utf8.finite(cell)
    except ValueError as error:
        return cell.lower() in MISSING or str(error) == "is not finite"
    return True


def _chosen(path: str, names: list[str], columns: str) -> list[int]:
    chosen = [name.strip() for name in columns.split(",")]
    for name in chosen:
        one_of(f"columns of file {path}", name, names)
        if chosen.count(name) > 1:
            raise ValueError(f"columns of file {path} got {name!r} twice; write it once")
    return [names.index(name) for name in chosen]


def _value(path: str, row: Row, column: int, name: str) -> float:
    line, cells = row
    try:
        return utf8.finite(cells[column])
    except ValueError as error:
        raise BadFile(
            f"file {path}:{line} has {cells[column]!r:.60} in column {name!r}, which {error}; "
            "write a number there, or choose other columns"
        ) from None
