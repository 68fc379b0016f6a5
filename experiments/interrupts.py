"""Ctrl-C that is polite once: the first signal asks, the second ends the process at once."""

import os
import signal
import sys
import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor, wait
from typing import Any

from experiments.exits import Interrupted

SIGNALS = (signal.SIGINT, signal.SIGTERM, signal.SIGUSR2)  # the last is what submitit sends


class Interrupts:
    """Runs work in a thread, so that a signal is heard even while a compiled function does not return."""

    def __init__(self):
        self._asked = threading.Event()

    @property
    def asked(self) -> bool:
        return self._asked.is_set()

    def check(self) -> None:
        """Called by the work wherever it can stop without loss."""
        if self.asked:
            raise Interrupted

    def run(self, work: Callable[[], Any]) -> Any:
        before = {number: signal.signal(number, self._hear) for number in SIGNALS}
        try:
            with ThreadPoolExecutor(1) as pool:
                future = pool.submit(work)
                while not wait([future], timeout=0.1).done:
                    pass
                return future.result()
        finally:
            for number, handler in before.items():
                signal.signal(number, handler)

    def _hear(self, number: int, frame: Any) -> None:
        del frame
        if self._asked.is_set():
            os._exit(128 + number)
        self._asked.set()
        sys.stderr.write("\nstopping after this chunk; once more to stop at once\n")
