"""The flag `--shard`: the units of a grid dealt out to processes that know nothing of each other. Imports no JAX.

>>> [deal([9, 1, 5, 4, 1], Shard(i, 2)) for i in (1, 2)]
[[0, 1], [2, 3, 4]]
"""

import re
from collections.abc import Sequence
from typing import NamedTuple

from experiments.exits import BadInput

MOST = 10**5
EXAMPLE = "write e.g. 2/8, the second of eight"
HELP = "Do one part of the grid, i/n: its units are dealt out to n runs by their expected work. By default all of it."


class Shard(NamedTuple):
    number: int  # 1 to count
    count: int

    def __str__(self) -> str:
        return f"{self.number}/{self.count}"


def parse(text: str) -> Shard:
    match = re.fullmatch(r"([0-9]{1,9})/([0-9]{1,9})", text)
    if not match:
        raise ValueError(f"{text!r} is not i/n; {EXAMPLE}")
    number, count = map(int, match.groups())
    if not 1 <= count <= MOST:
        raise ValueError(f"{count} is outside 1 to {MOST}; {EXAMPLE}")
    if not 1 <= number <= count:
        raise ValueError(f"{number} is outside 1 to {count}; {EXAMPLE}")
    return Shard(number, count)


def deal(work: Sequence[float], shard: Shard | None) -> list[int]:
    """The places of a shard's units, in the order of the grid.

    The heaviest unit goes first, each to the shard that has least so far (the lowest number of equals), so that the
    same grid is always dealt out alike.
    """
    if shard is None:
        return list(range(len(work)))
    if shard.count > len(work):
        raise BadInput(f"flag --shard={shard}: the grid has {len(work)} units; write {len(work)} shards at most")
    hands: list[list[int]] = [[] for _ in range(shard.count)]
    loads = [0.0] * shard.count
    for place in sorted(range(len(work)), key=lambda i: -work[i]):
        least = loads.index(min(loads))
        hands[least].append(place)
        loads[least] += work[place]
    return sorted(hands[shard.number - 1])


def remark(shard: Shard | None) -> str:
    """What stands above the table of a shard."""
    return f"shard {shard} of the grid; python -m experiments.report joins the shards\n\n" if shard else ""
