"""What coming units run, compiled on other cores while the present one is measured: compiling is most of the time."""

import os
from collections.abc import Callable, Generator, Iterable
from concurrent.futures import Future, ThreadPoolExecutor
from typing import TypeVar

A = TypeVar("A")
B = TypeVar("B")


def ahead(
    function: Callable[[A], B], items: Iterable[A], workers: int | None = None
) -> Generator[tuple[A, Callable[[], B]], None, None]:
    """(item, a call that waits for function(item)) in order; at most one item more than `workers` is under way.

    XLA compiles without Python's lock, on one core each. Closing the iteration drops what was not begun.
    """
    workers = workers or os.cpu_count() or 1
    pool = ThreadPoolExecutor(workers)
    under_way: list[tuple[A, Future[B]]] = []
    coming = iter(items)
    try:
        while True:
            for item in coming:
                under_way.append((item, pool.submit(function, item)))
                if len(under_way) > workers:
                    break
            if not under_way:
                return
            item, future = under_way.pop(0)
            yield item, future.result
    finally:
        pool.shutdown(cancel_futures=True)
