"""One spelling of a cell for flags, files and JSON.

>>> from rnnx.cells import LSTM
>>> spell(LSTM(inputs=2, units=8, forget_bias=0))
'lstm(forget_bias=0)'
>>> build("lstm", {"forget_bias": 0}, inputs=2, units=8) == LSTM(2, 8, forget_bias=0)
True
>>> from_json(to_json(LSTM(2, 8))) == LSTM(2, 8)
True
"""

import dataclasses
import json
from collections.abc import Mapping
from typing import Any

from rnnx.cells.catalogue import CELLS, WRAPPERS
from rnnx.types import one_of

# A flag's word for a field whose own word is taken: `init` is a method of every cell.
SHORT = {"recurrent_init": "init"}


def options(cls: type) -> dict[str, dataclasses.Field]:
    """The options of a cell by a flag's words: its fields beyond `inputs` and `units`."""
    fields = dataclasses.fields(cls)  # type: ignore[arg-type]
    return {SHORT.get(f.name, f.name): f for f in fields if f.name not in ("inputs", "units")}


def build(name: str, given: Mapping[str, Any], inputs: int, units: int) -> Any:
    """The cell that a name of CELLS and options in a flag's words mean."""
    one_of("cell", name, CELLS)
    known = options(CELLS[name])
    for word in given:
        if not known:
            raise ValueError(f"{name} got option {word!r}; it has none, write {name}")
        one_of(f"{name}: option", word, known)
    return CELLS[name](inputs, units, **{known[word].name: value for word, value in given.items()})


def spell(cell: Any) -> str:
    """The canonical spelling: the name and, in their order, the options that differ from their defaults."""
    words = []
    for word, field in options(type(cell)).items():
        value = getattr(cell, field.name)
        if value != field.default:
            words.append(f"{word}={_word(value)}")
    return _name(cell) + (f"({','.join(words)})" if words else "")


def to_json(cell: Any) -> str:
    """Every field of a cell by name, inner cells included, as one line of JSON."""

    def plain(value: Any) -> Any:
        if dataclasses.is_dataclass(value):
            return {"name": _name(value)} | {f.name: plain(getattr(value, f.name)) for f in dataclasses.fields(value)}
        return [plain(v) for v in value] if isinstance(value, tuple) else value

    return json.dumps(plain(cell))


def from_json(text: str) -> Any:
    """The cell that `to_json` wrote."""
    known = {**CELLS, **WRAPPERS}

    def rebuild(value: Any) -> Any:
        if isinstance(value, dict):
            one_of("cell", value["name"], known)
            return known[value["name"]](**{k: rebuild(v) for k, v in value.items() if k != "name"})
        return tuple(rebuild(v) for v in value) if isinstance(value, list) else value

    return rebuild(json.loads(text))


def _name(cell: Any) -> str:
    names = {cls: name for name, cls in (CELLS | WRAPPERS).items()}
    return names.get(type(cell), type(cell).__name__)


def _word(value: Any) -> str:
    if dataclasses.is_dataclass(value):
        return spell(value)
    if isinstance(value, tuple):
        return f"[{','.join(map(_word, value))}]"
    if isinstance(value, bool):
        return str(value).lower()
    return str(int(value)) if isinstance(value, float) and value.is_integer() else str(value)
