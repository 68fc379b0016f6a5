"""The flag `--cells`: names with options, read without importing JAX and without evaluating anything.

>>> for spec in parse("elman(nonlinearity=relu,init=identity),lstm(forget_bias=0)"):
...     print(spec, spec.options)
elman(nonlinearity=relu,init=identity) {'nonlinearity': 'relu', 'init': 'identity'}
lstm(forget_bias=0) {'forget_bias': 0}
"""

import math
import re
from typing import NamedTuple

EXAMPLE = "write e.g. elman(init=identity),lstm(forget_bias=0)"
_SPEC = re.compile(r"([A-Za-z_]\w*)\s*(?:\((.*)\))?")
_OPTION = re.compile(r"([A-Za-z_]\w*)\s*=\s*(\S+)")
_NAME = re.compile(r"[A-Za-z_]\w*(:[+-]?[\d.]+(e[+-]?\d+)?)?")  # a name, or one with a number: sparse:1.1


class CellSpec(NamedTuple):
    name: str
    options: dict[str, str | int | float | bool]

    def __str__(self) -> str:
        words = ",".join(f"{word}={str(v).lower() if isinstance(v, bool) else v}" for word, v in self.options.items())
        return f"{self.name}({words})" if words else self.name


def parse(text: str) -> list[CellSpec]:
    """The cells of a comma-separated list; commas inside brackets belong to the cell."""
    return [_spec(part) for part in split(text)]


def split(text: str) -> list[str]:
    """The entries of a comma-separated list, as they stand there."""
    depth, parts = 0, [""]
    for character in text:
        depth += {"(": 1, ")": -1}.get(character, 0)
        if depth not in (0, 1):
            raise ValueError(f"{text!r} has brackets that do not match; {EXAMPLE}")
        if character == "," and depth == 0:
            parts.append("")
        else:
            parts[-1] += character
    if depth:
        raise ValueError(f"{text!r} has a bracket that is not closed; {EXAMPLE}")
    return [part.strip() for part in parts]


def _spec(text: str) -> CellSpec:
    match = _SPEC.fullmatch(text)
    if not match:
        raise ValueError(f"{text!r} is not a cell; {EXAMPLE}" if text else f"an empty name of a cell; {EXAMPLE}")
    name, inside = match.groups()
    options = {}
    for part in inside.split(",") if inside is not None and inside.strip() else []:
        option = _OPTION.fullmatch(part.strip())
        if not option:
            raise ValueError(f"{part.strip()!r} in {text!r} is not option=value; {EXAMPLE}")
        word, value = option.groups()
        if word in options:
            raise ValueError(f"option {word!r} stands twice in {text!r}; write it once")
        options[word] = _value(value, text)
    return CellSpec(name, options)


def _value(word: str, where: str) -> str | int | float | bool:
    """A whole number, a finite number, true, false or a name."""
    if word.lower() in ("true", "false"):
        return word.lower() == "true"
    try:
        number = float(word.replace("_", "?"))
    except ValueError:
        if _NAME.fullmatch(word):
            return word
        raise ValueError(f"value {word!r} in {where!r} is neither a name nor a number; {EXAMPLE}") from None
    if not math.isfinite(number):
        raise ValueError(f"value {word!r} in {where!r} is not finite; write a number such as 0.5")
    return int(word) if re.fullmatch(r"[+-]?\d+", word) else number
