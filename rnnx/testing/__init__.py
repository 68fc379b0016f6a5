"""Every law of the house, for a cell of your own: `rnnx.testing.check(my_cell)`."""

from collections.abc import Iterable
from typing import Any

from rnnx.scans import METHODS
from rnnx.testing.laws import LAWS
from rnnx.testing.subject import Subject

__all__ = ["LAWS", "Subject", "check"]


def check(cell: Any, methods: Iterable[Any] | None = None) -> None:
    """Hold `cell` to every law, under every method (None: all of METHODS that take it).

    An AssertionError names the cell, the method and the law that is broken. About five seconds a method.

    >>> import rnnx
    >>> check(rnnx.cells.Elman(2, 3), methods=["sequential"])
    """
    if methods is None:
        methods = [method() for method in METHODS.values() if not method().refuses(cell)]
    for method in methods:
        subject = Subject(cell, method)
        for name, law in LAWS.items():
            try:
                law(subject)
            except Exception as error:
                raise AssertionError(
                    f"{cell} under {method} breaks the law {name!r}: {type(error).__name__}: {error}"
                ) from error
