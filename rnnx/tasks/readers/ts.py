"""The `.ts` files of the time-series archives (sktime, aeon): labelled sequences of one or more dimensions."""

from typing import NamedTuple

import numpy as np

from rnnx.tasks.readers import utf8
from rnnx.tasks.readers.bad_file import BadFile
from rnnx.types import one_of

Header = dict[str, tuple[int, list[str]]]  # by keyword: the line, and the words after it


class Cases(NamedTuple):
    """M labelled sequences: `series[i]` is float64 [T_i, D], `labels` int32 [M] are positions in `classes`."""

    series: tuple[np.ndarray, ...]
    labels: np.ndarray
    classes: tuple[str, ...]


def read(path: str, like: Cases | None = None) -> Cases:
    """The cases of a file: after `@data` one a line, dimensions with ":" between, values with ",", the class last.

    Lines that begin with "#" are comments. The classes are those that `@classLabel` lists, in its order. `like` is
    the training split of which this is the test split: classes and the number of dimensions are then its.

    Raises BadFile with the line: no `@data` (a file cut short), `@timeStamps true` or no `@classLabel true`,
    neither of which is read; another number of dimensions or values than declared or seen before, values that
    are missing or not finite, an unknown class, no case.
    """
    header, lines = _split(path)
    if _switch(path, header, "timestamps"):
        raise BadFile(
            f"file {path}:{header['timestamps'][0]} has @timeStamps true, and values with times are not read; "
            "write the path of a file without"
        )
    classes = _classes(path, header) if like is None else like.classes
    dimensions = _dimensions(path, header) if like is None else like.series[0].shape[1]
    steps = _whole(path, header, "serieslength") if _switch(path, header, "equallength") else None
    equal = _switch(path, header, "equallength")
    series: list[np.ndarray] = []
    labels: list[int] = []
    for line, text in lines:
        *parts, label = (part.strip() for part in text.split(":"))
        if dimensions is None:
            dimensions = max(1, len(parts))
        where = f"file {path}:{line}"
        if len(parts) != dimensions:
            raise BadFile(
                f"{where} has {len(parts)} dimensions and a class, not {dimensions} dimensions; "
                "complete the line, or fetch the file again"
            )
        if label not in classes:
            raise BadFile(f"{where} has the unknown class {label!r:.60}; write one of {', '.join(classes)}")
        case = _case(where, parts)
        if equal and len(case) != (steps if steps is not None else len(series[0]) if series else len(case)):
            raise BadFile(
                f"{where} has {len(case)} values a dimension, not {steps or len(series[0])} as all "
                "(@equalLength true); complete the line, or write @equalLength false"
            )
        series.append(case)
        labels.append(classes.index(label))
    if not series:
        raise BadFile(f"file {path} has no case after @data; fetch the file again")
    return Cases(tuple(series), np.array(labels, np.int32), classes)


def _case(where: str, parts: list[str]) -> np.ndarray:
    """[T, D] of the D dimensions of a line."""
    values = []
    for number, part in enumerate(parts, 1):
        row = []
        for word in part.split(","):
            try:
                row.append(utf8.finite(word))
            except ValueError as error:
                raise BadFile(
                    f"{where} has {word.strip()!r:.60} in dimension {number}, which {error}; write a number there"
                ) from None
        if values and len(row) != len(values[0]):
            raise BadFile(
                f"{where} has {len(row)} values in dimension {number} and {len(values[0])} in dimension 1; "
                "give every dimension as many"
            )
        values.append(row)
    return np.array(values, np.float64).T


def _split(path: str) -> tuple[Header, list[tuple[int, str]]]:
    """(keywords in lower case, the lines after @data with their numbers)."""
    header: Header = {}
    content = []
    for number, raw in enumerate(utf8.read(path).removeprefix("\ufeff").split("\n"), 1):
        line = raw.strip()
        if not line or line.startswith("#"):
            continue
        if "data" in header:
            content.append((number, line))
        elif line.startswith("@"):
            word, *rest = line[1:].split() or [""]
            header[word.lower()] = number, rest
        else:
            raise BadFile(f"file {path}:{number} has {line!r:.60} before @data; begin the line with @ or #")
    if "data" not in header:
        raise BadFile(f"file {path} has no line @data; write the path of a whole .ts file")
    return header, content


def _switch(path: str, header: Header, word: str) -> bool:
    """Whether a keyword says "true"; false where it does not stand."""
    line, rest = header.get(word, (0, ["false"]))
    value = rest[0].lower() if rest else ""
    try:
        one_of(f"@{word}", value, ("true", "false"))
    except ValueError as error:
        raise BadFile(f"file {path}:{line}: {error}") from None
    return value == "true"


def _whole(path: str, header: Header, word: str) -> int | None:
    """The number after a keyword, None where it does not stand."""
    if word not in header:
        return None
    line, rest = header[word]
    if len(rest) != 1 or not rest[0].isdecimal() or int(rest[0]) < 1:
        raise BadFile(f"file {path}:{line} has {' '.join(rest)!r:.60} after @{word}; write a number of at least 1")
    return int(rest[0])


def _dimensions(path: str, header: Header) -> int | None:
    """As declared; None leaves it to the first case."""
    if _switch(path, header, "univariate"):
        return 1
    return _whole(path, header, "dimensions" if "dimensions" in header else "dimension")


def _classes(path: str, header: Header) -> tuple[str, ...]:
    if not _switch(path, header, "classlabel"):
        raise BadFile(f"file {path} has no @classLabel true, and only labelled cases are read; write another path")
    line, (_, *classes) = header["classlabel"]
    if not classes or len(set(classes)) != len(classes):
        raise BadFile(
            f"file {path}:{line} lists the classes {' '.join(classes)!r:.60} after @classLabel true; "
            "list at least one, and each once"
        )
    return tuple(classes)
