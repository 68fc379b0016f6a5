"""One process of several, watched by another that does nothing else. Imports no JAX.

When a process of a run is gone, XLA aborts the rest of them, at once and with pages of messages; and its collectives
write to standard output. So the work is done by a child, whose own words go where they always go, and those of the
libraries beneath it to a file; what ends it is told in one line.
"""

import os
import signal
import sys
import tempfile
import threading
import traceback
from collections.abc import Callable
from typing import Any

from experiments import exits

FORWARDED = (signal.SIGINT, signal.SIGTERM)
XLAS = b"distributed service detected fatal errors"
JOINING = b"RegisterTask"  # what XLA was about when processes did not come together


def watched(work: Callable[[], int], absent: str, gone: str) -> int:
    """The exit status of `work`, done in a child. `absent`, `gone`: what to say where XLA ends it, before and after
    the processes came together.
    """
    sys.stdout.flush()
    sys.stderr.flush()
    with tempfile.TemporaryFile() as noise:
        ours, theirs = os.pipe()
        child = os.fork()
        if child == 0:
            os.close(theirs)
            _work(work, noise.fileno(), ours)
        os.close(ours)
        before = {number: signal.signal(number, lambda n, _: _forward(child, n)) for number in FORWARDED}
        try:
            _, ended = os.waitpid(child, 0)
        finally:
            for number, handler in before.items():
                signal.signal(number, handler)
            os.close(theirs)
        status = os.waitstatus_to_exitcode(ended)
        if status >= 0:
            return status
        noise.seek(0)
        told = noise.read()
    if status == -signal.SIGABRT and XLAS in told:
        joining = JOINING in told
        sys.stderr.write(f"error: {absent if joining else gone}\n")
        return exits.BAD_INPUT if joining else exits.INTERRUPTED
    sys.stderr.write(told.decode(errors="replace")[-4000:])
    sys.stderr.write(f"error: the process that trains was ended by {signal.Signals(-status).name}\n")
    return 128 - status


def _forward(child: int, number: int) -> None:
    try:
        os.kill(child, number)
    except ProcessLookupError:
        pass


def _work(work: Callable[[], int], noise: int, parent: int) -> Any:
    """Never returns: what the interpreter does at its end may wait for processes that are gone."""
    os.setpgid(0, 0)  # a Ctrl-C reaches us through the parent, once
    sys.stdout = os.fdopen(os.dup(1), "w", buffering=1)
    sys.stderr = os.fdopen(os.dup(2), "w", buffering=1)
    os.dup2(noise, 1)
    os.dup2(noise, 2)

    def outlive() -> None:
        os.read(parent, 1)  # returns when the parent is no more
        os._exit(exits.INTERRUPTED)

    threading.Thread(target=outlive, daemon=True).start()
    status = 1
    try:
        status = work()
    except SystemExit as stop:
        status = stop.code if isinstance(stop.code, int) else 1
    except BaseException:
        traceback.print_exc()
    finally:
        sys.stdout.flush()
        sys.stderr.flush()
        os._exit(status)
