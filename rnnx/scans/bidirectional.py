"""Two cells over one sequence, one in each direction."""

from typing import Any

import jax.numpy as jnp
from jax import Array

from rnnx.scans.door import scan


def bidirectional(
    cells: Any,
    params: Any,
    xs: Any,
    states: Any = None,
    *,
    resets: Any = None,
    length: Any = None,
    method: Any = None,
) -> tuple[Any, Array]:
    """One cell from the first step to the last, one from the last valid step to the first.

        y_t = (y_t of the forward cell, y_t of the backward cell)    [T, O_f + O_b], in the order of xs

    `cells` is a pair, or one cell for both; `params` and, if given, `states` are pairs (forward, backward), as are the
    final states returned: the forward one after the last valid step, the backward one after the first. resets, length
    and method as in `rnnx.scan`: the backward cell starts afresh where a sequence ends.
    """
    cells = cells if isinstance(cells, (tuple, list)) else (cells, cells)
    states = (None, None) if states is None else states
    for name, pair in (("cells", cells), ("params", params), ("states", states)):
        if type(pair) not in (tuple, list) or len(pair) != 2:
            raise ValueError(f"bidirectional: {name} is {type(pair).__name__}; give a pair (forward, backward)")
    told = [
        scan(cell, own, xs, state, resets=resets, length=length, reverse=reverse, method=method)
        for cell, own, state, reverse in zip(cells, params, states, (False, True), strict=True)
    ]
    (end, ys), (begin, back) = told
    return (end, begin), jnp.concatenate([ys, back], axis=1)
