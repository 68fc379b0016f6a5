"""How far a run is, on standard error: one updating line on a terminal, else a line every ten seconds."""

import sys
import time


class Progress:
    def __init__(self, total: int, done: int = 0, quiet_seconds: float = 10.0):
        self.total, self.done, self.label, self._before = total, done, "", done
        self._terminal = sys.stderr.isatty()
        self._quiet = 0.2 if self._terminal else quiet_seconds
        self._start = self._last = time.monotonic()

    def begin(self, label: str) -> None:
        """Name the piece of work that starts."""
        self.label = label
        self._tell()

    def advance(self, amount: int) -> None:
        self.done += amount
        self._tell()

    def finish(self) -> None:
        if self._terminal:
            sys.stderr.write("\r\033[K")

    def _tell(self) -> None:
        now = time.monotonic()
        if now - self._last < self._quiet:
            return
        self._last = now
        elapsed = now - self._start
        made = self.done - self._before
        left = elapsed * (self.total - self.done) / made if made else float("nan")
        rate = made / elapsed
        text = f"{self.done}/{self.total} steps, {self.label}, {rate:.2g} it/s, {left:.0f} s left"
        sys.stderr.write(f"\r\033[K{text}" if self._terminal else f"{text}\n")
        sys.stderr.flush()
