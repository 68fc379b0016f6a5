"""What a job does: run a program, pass on that the time ends, be queued again where it saved. Imports no JAX."""

import os
import signal
import subprocess
import sys
import time
from typing import Any

from experiments import exits

SAVED = (exits.INTERRUPTED, -signal.SIGINT)  # the latter: before the program began to listen


class Ended(Exception):
    """The program of a job did not end with status 0."""

    def __init__(self, program: str, status: int):
        told = "was interrupted, the same command resumes" if status in SAVED else f"ended with status {status}"
        super().__init__(f"{program} {told}")
        self.status = status


class Job:
    """A callable that submitit can queue again.

    Slurm sends signals to all processes of a job, and may send several; the program ends at once at its second. So
    it is started deaf to SIGTERM and submitit's signal, and whichever comes first is passed on as one SIGINT.
    """

    def __init__(self, command: list[str]):
        self.command = command

    def checkpoint(self) -> Any:
        """What submitit queues again: the same."""
        from submitit.helpers import DelayedSubmission  # pyright: ignore[reportMissingImports]

        return DelayedSubmission(self)

    def __call__(self) -> int:
        from submitit import JobEnvironment  # pyright: ignore[reportMissingImports]

        ending = signal.Signals[f"SIG{JobEnvironment.USR_SIG}"]
        numbers, heard = (signal.SIGINT, signal.SIGTERM, ending), set()
        before = {number: signal.signal(number, lambda number, _: heard.add(number)) for number in numbers}
        try:
            status = self._run({signal.SIGTERM, ending}, heard)
            # SIGTERM alone may mean that another job comes first: Slurm itself then queues again what it ends, so this
            # waits to be ended.
            while status in SAVED and heard == {signal.SIGTERM} and os.environ.get("SUBMITIT_EXECUTOR") == "slurm":
                time.sleep(0.2)
        finally:
            for number, handler in before.items():
                signal.signal(number, handler)
        again: Any = before[ending]  # submitit's: queues again and exits, or raises if that was too often
        if status in SAVED and ending in heard and callable(again):
            again(ending, None)
        if status:
            raise Ended(self.command[0], status)
        return status

    def _run(self, deaf: set[signal.Signals], heard: set[int]) -> int:
        """The status of the program, which is asked once to stop when a signal is heard."""
        mask = signal.pthread_sigmask(signal.SIG_BLOCK, deaf)
        try:  # in a session of its own: Ctrl-C too reaches it once
            process = subprocess.Popen([sys.executable, "-m", *self.command], start_new_session=True)
        finally:
            signal.pthread_sigmask(signal.SIG_SETMASK, mask)
        asked = False
        while (status := process.poll()) is None:
            if heard and not asked:
                process.send_signal(signal.SIGINT)
                asked = True
            time.sleep(0.2)
        return status
