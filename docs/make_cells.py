"""Writes docs/cells.md, the table of every cell, from the code: `python docs/make_cells.py`. A test compares them."""

import inspect
import itertools
import pathlib
import re
from fractions import Fraction
from typing import Any

import jax
import numpy as np

from rnnx.cells import CELLS, WRAPPERS
from rnnx.types import powers, state_of

PAGE = pathlib.Path(__file__).parent / "cells.md"
ROOMS = {
    "simple": "Without gates",
    "gated": "Gated",
    "leaky": "Leaky and oscillating",
    "unitary": "Norm-preserving",
    "linear": "Diagonal and linear",
    "matrix": "Matrix state",
}
HEAD = """# The cells

Every cell of `rnnx.cells.CELLS`, by its name in a flag (`--cells=lstm,gru`). This page is made from the code by
`docs/make_cells.py`; equations, options, sources and initial values stand in each cell's docstring
(`help(rnnx.cells.LSTM)`).

`D` inputs, `N` units. **State**: the leaves carried from step to step, the first of them what the recurrent product
reads. **Rows**: how many rows of `N` the input drives. **Powers**: *factored*: told as drive, recur, update;
*pointwise*: its update acts on each unit alone, so fused kernels and exact Jacobians apply; *affine*: linear in its
state, so it can run in parallel over time (with the kind of matrix). An option may give or take a power.

How their gradients fade at initialisation, with default options (`--cells=all --lengths=100 --units=32 --seeds=4
--batch_size=8`):

![Gradient norm by lag for every cell, one small panel each](figures/zoo.png)
"""
WORN = """
## Wrappers

Cells made of another cell; they keep its powers except where their docstring says otherwise.

| name | class | what it does |
|---|---|---|
"""


def page() -> str:
    rooms: dict[str, list[str]] = {room: [] for room in ROOMS}
    for name, build in CELLS.items():
        rooms[build.__module__.split(".")[2]].append(row(name, build))
    parts = [HEAD]
    for room, rows in rooms.items():
        parts.append(
            f"\n## {ROOMS[room]}\n\n| name | class | state | rows | powers | parameters | source | elsewhere |\n"
        )
        parts.append("|---|---|---|---|---|---|---|---|\n" + "".join(rows))
    worn = "".join(f"| `{name}` | `{c.__name__}` | {first_line(c)} |\n" for name, c in WRAPPERS.items())
    return "".join(parts) + WORN + worn


def row(name: str, build: Any) -> str:
    cell = build(7, 11)
    told = list(powers(cell))
    told = [f"{power} ({cell.kind})" if power == "affine" else power for power in told]
    columns = [
        f"`{name}`",
        f"`{build.__name__}`",
        state(cell),
        rows_driven(cell),
        ", ".join(told) or "none",
        parameters(build),
        paragraph(build, "Source").partition(")")[0] + ")",
        paragraph(build, "Elsewhere"),
    ]
    return "| " + " | ".join(columns) + " |\n"


def first_line(build: Any) -> str:
    return inspect.getdoc(build).splitlines()[0].rstrip(".")  # pyright: ignore[reportOptionalMemberAccess]


def paragraph(build: Any, word: str) -> str:
    """The docstring's paragraph that begins with `word`, on one line."""
    for part in (inspect.getdoc(build) or "").split("\n\n"):
        if part.startswith(f"{word}: "):
            return re.sub(r"\s+", " ", part.removeprefix(f"{word}: ")).rstrip(".").replace("|", "\\|")
    raise ValueError(f"the docstring of {build.__name__} has no paragraph '{word}:'")


def symbol(width: int) -> str:
    """A width of the cell with 7 inputs and 11 units, in letters."""
    known = {7: "D", 11: "N", 12: "N+1", 22: "2N", 6: "N/2", 18: "D+N"}
    return known.get(width, str(width))


def state(cell: Any) -> str:
    """The leaves by name; an array alone is h, two without names are the parts of complex numbers."""
    told = []
    for path, leaf in jax.tree_util.tree_leaves_with_path(state_of(cell)):
        key = path[-1] if path else None
        name = getattr(key, "name", None) or ("re", "im")[key.idx] if key else "h"
        told.append(f"{name} [{', '.join(symbol(n) for n in leaf.shape)}]")
    return ", ".join(told)


def rows_driven(cell: Any) -> str:
    if "pointwise" not in powers(cell):
        return "-"
    weights = jax.eval_shape(lambda: cell.prepare(cell.init(jax.random.key(0))))
    u = jax.eval_shape(cell.drive, weights, jax.ShapeDtypeStruct((cell.inputs,), jax.tree.leaves(weights)[0].dtype))
    return str(sum(leaf.shape[0] for leaf in jax.tree.leaves(u)))


def parameters(build: Any) -> str:
    """The number of parameters as a polynomial of D and N, from their shapes at several sizes."""
    terms = [(0, 2), (1, 1), (2, 0), (0, 1), (1, 0), (0, 0)]  # powers of D and N
    sizes = list(itertools.product((10, 20, 30), (32, 64, 96)))  # never equal: some cells then drop a matrix

    def count(inputs: int, units: int) -> int:
        made = jax.eval_shape(build(inputs, units).init, jax.random.key(0))
        return sum(int(np.prod(leaf.shape)) for leaf in jax.tree.leaves(made))

    table = np.array([[d**i * n**j for i, j in terms] for d, n in sizes], float)
    numbers = np.array([count(d, n) for d, n in sizes], float)
    solved = [Fraction(x).limit_denominator(64) for x in np.linalg.lstsq(table, numbers, rcond=None)[0]]
    exact = [sum(c * d**i * n**j for c, (i, j) in zip(solved, terms, strict=True)) for d, n in sizes]
    if any(a != b for a, b in zip(exact, numbers, strict=True)):
        return f"{count(3, 128)} at D = 3, N = 128"
    words = []
    for factor, (i, j) in zip(solved, terms, strict=True):
        letters = {0: "", 1: "D", 2: "D²"}[i] + {0: "", 1: "N", 2: "N²"}[j]
        if factor:
            words.append(
                f"{'' if factor == 1 and letters else factor}{' ' if factor != 1 and letters else ''}{letters}"
            )
    return " + ".join(words)


if __name__ == "__main__":
    PAGE.write_text(page())
