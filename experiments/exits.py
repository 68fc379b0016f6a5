"""Exit statuses of every program (1 is left to Python: a bug, with its traceback)."""

OK = 0
BAD_INPUT = 2
NON_FINITE = 3
INTERRUPTED = 75


class BadInput(Exception):
    """The user's mistake: one line that names the flag, what was got and what to write instead."""


class NonFinite(Exception):
    """Training met a loss that is not finite."""


class Interrupted(Exception):
    """Asked to stop; the same command resumes."""


class Lost(Exception):
    """Another process of the run is gone; the same command, given to all of them, goes on."""
