"""Text files: their characters, and the numbers in them."""

import math
import pathlib

from rnnx.tasks.readers.bad_file import BadFile


def read(path: str) -> str:
    """The characters of a file, line ends as they are.

    Raises BadFile if it is empty, or not UTF-8, with the first byte, counted from 0, that is wrong.
    """
    raw = pathlib.Path(path).read_bytes()
    if not raw:
        raise BadFile(f"file {path} is empty; write the path of one with something in it")
    try:
        return raw.decode()
    except UnicodeDecodeError as error:
        raise BadFile(
            f"file {path} is not UTF-8 at byte {error.start}; convert it first, e.g. with iconv -t UTF-8"
        ) from None


def finite(word: str) -> float:
    """The number that a word is. Raises ValueError that ends the sentence "'word' ...": "is not a number"."""
    try:
        number = math.nan if "_" in word else float(word)
    except ValueError:
        raise ValueError("is not a number") from None
    if not math.isfinite(number):
        raise ValueError("is not a number" if "_" in word else "is not finite")
    return number
