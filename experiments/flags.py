"""Kinds of flags that refuse nonsense in one line, for every program. Nothing here imports JAX."""

import difflib
import math
import os
import re
import unicodedata
from collections.abc import Callable, Sequence
from typing import Any

from absl import flags

from experiments import cell_specs, sharding

flags.disclaim_key_flags()  # flags defined through `define` are their program's, and stand in its --help

UNWRITABLE = ("Cc", "Cs", "Zl", "Zp")  # kinds of characters: control, half of one, ends of lines
LEAST, MOST = 2.0**-126, 2.0**128 - 2.0**104  # of normal numbers in single precision
HIGHEST_SEED = 2**32 - 1  # jax.random.key silently wraps beyond


class _Kind(flags.ArgumentParser):
    """A flag's value through a function of its text; what is not text is a default, and passes."""

    def __init__(self, read: Callable[[str], Any], words: str, strip: bool = True):
        self.read, self.syntactic_help, self._strip = read, words, strip

    def parse(self, argument: Any) -> Any:
        if not isinstance(argument, str):
            return argument
        return self.read(argument.strip() if self._strip else argument)


class _Text(flags.ArgumentSerializer):
    def serialize(self, value: Any) -> str:
        many = isinstance(value, (list, tuple)) and not isinstance(value, (cell_specs.CellSpec, sharding.Shard))
        return ",".join(map(str, value)) if many else str(value)


class _Switch(flags.BooleanFlag):
    """True or false, with a message for people."""

    def parse(self, argument: Any) -> None:
        if isinstance(argument, str) and argument.lower() not in ("true", "false", "t", "f", "1", "0"):
            text = f"flag --{self.name}={argument}: neither true nor false; write --{self.name} or --no{self.name}"
            raise flags.IllegalFlagValueError(text)
        super().parse(argument)


def switch(name: str, help: str, values: flags.FlagValues = flags.FLAGS) -> None:
    """A flag that is off unless `--name` stands on the command line."""
    flags.DEFINE_flag(_Switch(name, False, help), values)


def define(
    kind: flags.ArgumentParser, name: str, default: Any, help: str, values: flags.FlagValues = flags.FLAGS
) -> flags.FlagHolder:
    return flags.DEFINE(kind, name, default, help, values, serializer=_Text())


# -------------------------------------------------------------------------------------------- the kinds


def whole(lowest: int, highest: int) -> flags.ArgumentParser:
    """A whole number from `lowest` to `highest`."""
    return _Kind(lambda text: _whole(text, lowest, highest), f"a whole number, {lowest} to {highest}")


def positive() -> flags.ArgumentParser:
    """A number above zero that single precision holds."""

    def read(text: str) -> float:
        number = _number(text)
        if not LEAST <= number <= MOST:
            told = "beyond what a float32 holds" if number > 0 else "not a finite number above 0"
            raise ValueError(f"{text!r} is {told}; write e.g. 0.001")
        return number

    return _Kind(read, "a number above 0")


def at_least_0(below: float = math.inf) -> flags.ArgumentParser:
    """A finite number from zero to below a bound."""
    words = "a number, 0 or more" if below == math.inf else f"a number from 0 to below {below:g}"

    def read(text: str) -> float:
        number = _number(text)
        if not 0 <= number < below:
            raise ValueError(f"{text!r} is not {words}; write e.g. 0.1")
        return number

    return _Kind(read, words)


def rates() -> flags.ArgumentParser:
    """A list of different finite numbers above zero."""

    def read(text: str) -> list[float]:
        return _different([positive().parse(part.strip()) for part in text.split(",")])

    return _Kind(read, "numbers above 0, with commas")


def wholes(lowest: int, highest: int, example: str) -> flags.ArgumentParser:
    """A list of different whole numbers."""

    def read(text: str) -> list[int]:
        return _different([_whole(part.strip(), lowest, highest, example) for part in text.split(",")])

    return _Kind(read, f"whole numbers, {lowest} to {highest}, with commas")


def seeds(most: int) -> flags.ArgumentParser:
    """`5` is a count, seeds 0 to 4; `0,1,7` is a list, and so is `7,`."""

    def read(text: str) -> list[int]:
        example = "write a count such as 5, or a list such as 0,1,7 (7, is seed 7)"
        if "," not in text:
            return list(range(_whole(text, 1, most, example)))
        parts = text.removesuffix(",").split(",")
        return _different([_whole(part.strip(), 0, HIGHEST_SEED, example) for part in parts])

    return _Kind(read, "a count, or a list with a comma")


def shard() -> flags.ArgumentParser:
    """One part of a grid, `2/8`."""
    return _Kind(sharding.parse, "i/n, 1 <= i <= n")


def word(choices: Sequence[str]) -> flags.ArgumentParser:
    """One of a few words."""
    return _Kind(lambda text: _known(text, choices), " | ".join(choices))


def free(words: str, strip: bool = True) -> flags.ArgumentParser:
    """Any text that is not empty; not `strip`ped, spaces and newlines around it belong to it."""

    def read(text: str) -> str:
        if not text:
            raise ValueError(f"nothing given; write {words}")
        return _writable(text, words) if strip else text

    return _Kind(read, words, strip)


def place(words: str) -> flags.ArgumentParser:
    """A path that a disk could have; whether anything is there is for the program to say."""

    def read(text: str) -> str:
        if fault := no_place(text):
            raise ValueError(f"{fault}; write {words}")
        return _writable(text, words)

    return _Kind(read, words)


def _writable(text: str, words: str) -> str:
    if any(unicodedata.category(character) in UNWRITABLE for character in text):
        raise ValueError(f"{text!r} holds what a line of config.flags cannot; write {words}")
    return text


def no_place(text: str) -> str:
    """Why no disk can have a path, or nothing."""
    if not text:
        return "nothing given"
    if "\0" in text:
        return "holds a zero character"
    long = len(os.fsencode(text)) > 4095 or any(len(os.fsencode(name)) > 255 for name in text.split("/"))
    return "longer than a path may be" if long else ""


def count_or_all(most: int) -> flags.ArgumentParser:
    """A whole number from 1 on, or the word `all`."""
    example = "write a number such as 4, or all"
    return _Kind(lambda text: text if text == "all" else _whole(text, 1, most, example), "a number, or all")


def address() -> flags.ArgumentParser:
    """HOST:PORT, such as 127.0.0.1:29511."""

    def read(text: str) -> str:
        host, _, port = text.rpartition(":")
        if not host or not re.fullmatch("[0-9]{1,5}", port) or not 1 <= int(port) <= 65535:
            raise ValueError(f"{text!r} is not HOST:PORT; write e.g. 127.0.0.1:29511")
        return text

    return _Kind(read, "HOST:PORT, e.g. 127.0.0.1:29511")


def spec(names: Sequence[str], example: str) -> flags.ArgumentParser:
    """One name with options in brackets, as `cells` takes many."""

    def read(text: str) -> cell_specs.CellSpec:
        specs = cell_specs.parse(text)
        if len(specs) != 1:
            raise ValueError(f"{text!r} names {len(specs)}; write one, e.g. {example}")
        _known(specs[0].name, names)
        return specs[0]

    return _Kind(read, f"a name with options, e.g. {example}")


def cells(names: Sequence[str]) -> flags.ArgumentParser:
    """Cells with options (`cell_specs`); whether an option exists is the cell's to say. `all` is every cell."""

    def read(text: str) -> list[cell_specs.CellSpec]:
        specs = cell_specs.parse(",".join(names) if text == "all" else text)
        for spec in specs:
            _known(spec.name, names)
        return _different(specs)

    return _Kind(read, "names with options, with commas")


def _number(text: str) -> float:
    """A finite number, else NaN."""
    try:
        number = math.nan if "_" in text else float(text)
    except ValueError:
        return math.nan
    return number if math.isfinite(number) else math.nan


def _whole(text: str, lowest: int, highest: int, example: str = "") -> int:
    example = example or f"write e.g. {max(lowest, min(10, highest))}"
    if not text:
        raise ValueError(f"an empty entry; {example}")
    if not re.fullmatch(r"[+-]?[0-9]+", text):
        raise ValueError(f"{text!r} is not a whole number; {example}")
    number = int(text)
    if not lowest <= number <= highest:
        raise ValueError(f"{number} is outside {lowest} to {highest}; {example}")
    return number


def _known(text: str, choices: Sequence[str]) -> str:
    if text not in choices:
        near = difflib.get_close_matches(text, choices, 1)
        hint = f"did you mean {near[0]}? " if near else ""
        raise ValueError(f"unknown {text!r}; {hint}write one of {', '.join(choices)}")
    return text


def _different(entries: list) -> list:
    for entry in entries:
        if entries.count(entry) > 1:
            name = entry.name if isinstance(entry, cell_specs.CellSpec) else entry
            raise ValueError(f"{name} stands twice; write it once")
    return entries
