"""The figure: the gradient's norm by lag, and at the first step against the sequence length, of one grid or of several.

More cells than there are colours get a small panel each, with the norm by lag alone.
"""

import math
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from experiments import plotting
from experiments.gradient_norms.summary import Rows, summarise
from experiments.plotting import COLOURS, MARKERS

KINDS = ("png", "svg")
LOWEST = -30  # of log10 norms in the small panels; a curve that leaves one says where it ends


def files() -> tuple[str, ...]:
    """The files that `draw` makes: none without matplotlib."""
    return plotting.files("gradient_norms")


def draw(
    rows: Rows, arrays: Mapping[str, np.ndarray], title: str = "", kinds: tuple[str, ...] = KINDS
) -> dict[str, bytes]:
    """{file name: content} of the figure as PNG and SVG; nothing, and one line, without matplotlib.

    Rows of several grids have cells of different names.
    """
    several = len({row["cell"] for row in rows}) > len(COLOURS)
    title = title or f"{rows[0]['task']} ({rows[0]['variant']})"
    make = _panels if several else _figure
    return plotting.draw("gradient_norms", lambda pyplot: make(pyplot, rows, arrays, title), kinds)


def _seeds(lines: Sequence[dict[str, Any]]) -> str:
    counts = sorted({line["seeds"] for line in lines})
    told = str(counts[0]) if len(counts) == 1 else f"{counts[0]} to {counts[-1]}"
    return f"median of {told} seeds, from least to largest"


def _longest(lines: Sequence[dict[str, Any]], cell: str) -> int:
    return max(line["length"] for line in lines if line["cell"] == cell)


def _figure(pyplot: Any, rows: Rows, arrays: Mapping[str, np.ndarray], title: str) -> Any:
    lines = summarise(rows)
    cells = list(dict.fromkeys(line["cell"] for line in lines))
    stages = list(dict.fromkeys(line["trained_steps"] for line in lines))
    longest = {cell: _longest(lines, cell) for cell in cells}
    same = len(set(longest.values())) == 1  # else every name says its length
    labels = {cell: cell if same else f"{cell}, T = {longest[cell]}" for cell in cells}
    lengths = sorted({line["length"] for line in lines})
    panels = 1 if len(lengths) == 1 else 2
    columns = max(1, min(len(cells), 4, 110 // (max(map(len, labels.values())) + 8)))  # of the legend
    size = 7.2, 2.8 * len(stages) + 0.2 + 0.2 * -(-len(cells) // columns)
    figure, axes = pyplot.subplots(len(stages), panels, figsize=size, squeeze=False, sharey=True, layout="constrained")
    for row, steps in zip(axes, stages, strict=True):
        when = f"after {steps} steps of training" if steps else "at initialisation"
        row[0].set_title(f"T = {longest[cells[0]]}, {when}" if same else when, fontsize=9, loc="left")
        row[0].xaxis.get_major_locator().set_params(integer=True)
        row[0].set_xlabel("lag $k$ (steps before the end)")
        row[0].set_ylabel(r"$\log_{10}\,\|\partial L/\partial s_{T{-}k}\|$")
        if panels == 2:
            row[1].set_title(f"at the first step, {when}", fontsize=9, loc="left")
            row[1].set_xlabel("sequence length $T$")
            plotting.length_ticks(row[1], lengths)
            row[1].tick_params(labelleft=True)
        for i, cell in enumerate(cells):
            look = {"color": COLOURS[i % len(COLOURS)], "label": labels[cell]}
            chosen = [line for line in lines if line["cell"] == cell and line["trained_steps"] == steps]
            if chosen:
                _band(row[0], arrays[f"{cell}/{longest[cell]}/{steps}/state_mean"], **look)
            if chosen and panels == 2:
                _points(row[1], chosen, marker=MARKERS[i % len(MARKERS)], **look)
    low, high = axes[0, 0].get_ylim()
    axes[0, 0].set_ylim(low, max(high, low + 1))  # a flat curve is to look flat
    plotting.float32_ends(axes.flat, 0)
    figure.legend(
        *axes[0, 0].get_legend_handles_labels(),
        loc="outside upper center",
        ncols=columns,
        title=f"{title}: {_seeds(lines)}",
        title_fontsize=9,
    )
    return figure


def _panels(pyplot: Any, rows: Rows, arrays: Mapping[str, np.ndarray], title: str) -> Any:
    """One small panel a cell, all with the same axes."""
    lines = summarise(rows)
    cells = list(dict.fromkeys(line["cell"] for line in lines))
    stages = list(dict.fromkeys(line["trained_steps"] for line in lines))
    longest = {cell: _longest(lines, cell) for cell in cells}
    same = len(set(longest.values())) == 1  # else every panel says its length
    titles = {cell: cell if same else f"{cell}, T = {longest[cell]}" for cell in cells}
    titles = {
        cell: name if len(name) < 20 else name.replace("(", "\n(", 1).replace(", ", "\n")
        for cell, name in titles.items()
    }
    columns, deepest = 6, max(name.count("\n") for name in titles.values())
    count = -(-len(cells) // columns)
    figure, axes = pyplot.subplots(
        count,
        columns,
        figsize=(7.2, (1.05 + 0.12 * max(0, deepest - 1)) * count + 0.7),
        sharex=True,
        sharey=True,
        squeeze=False,
        layout="constrained",
    )
    for axis in axes.flat[len(cells) :]:
        axis.set_visible(False)
    for axis, cell in zip(axes.flat, cells, strict=False):
        axis.set_title(titles[cell], fontsize=7, loc="left", pad=2)
        axis.tick_params(labelsize=7)
        axis.axhline(0, color="0.8", linewidth=0.6, zorder=0)
        for colour, steps in zip(COLOURS, stages, strict=False):
            label = f"after {steps} steps of training" if steps else "at initialisation"
            curves = arrays.get(f"{cell}/{longest[cell]}/{steps}/state_mean")
            if curves is not None:
                _band(axis, curves, colour, label)
    low, high = axes.flat[0].get_ylim()
    axes.flat[0].set_ylim(max(low, LOWEST), high)  # one that vanishes fast must not flatten the others
    for axis, cell in zip(axes.flat, cells, strict=False):
        curves = arrays.get(f"{cell}/{longest[cell]}/{stages[0]}/state_mean")
        end = float(np.median(curves, axis=0)[-1]) if curves is not None else math.nan
        if end < LOWEST - 0.5:
            axis.annotate(f"to {end:.0f}", (0.95, 0.55), xycoords="axes fraction", fontsize=6, ha="right")
    bottom = axes.flat[max(0, len(cells) - columns) : len(cells)]
    for axis in bottom:  # the lowest visible one of each column keeps its numbers
        axis.tick_params(labelbottom=True)
    figure.supxlabel("lag $k$ (steps before the end)", fontsize=8)
    figure.supylabel(r"$\log_{10}\,\|\partial L/\partial s_{T{-}k}\|$", fontsize=8)
    figure.legend(
        *axes[0, 0].get_legend_handles_labels(),
        loc="outside upper center",
        ncols=2,
        fontsize=8,
        title=f"{title}{f', T = {longest[cells[0]]}' if same else ''}: {_seeds(lines)}",
        title_fontsize=9,
    )
    return figure


def _band(axis: Any, curves: np.ndarray, color: str, label: str) -> None:
    """curves [K, lags]"""
    plotting.band(axis, np.arange(curves.shape[1]), curves, color, label=label, linewidth=1.4)


def _points(axis: Any, lines: list[dict[str, Any]], marker: str, color: str, label: str) -> None:
    lengths = [line["length"] for line in lines]
    low, middle, high = (
        np.array([line[f"log10_norm_first_{part}"] for line in lines]) for part in ("min", "median", "max")
    )
    shown = np.isfinite(low) & np.isfinite(high)
    low, middle, high = (np.where(shown, a, np.nan) for a in (low, middle, high))
    bars = [middle - low, high - middle]
    axis.errorbar(
        lengths, middle, yerr=bars, color=color, label=label, marker=marker, markersize=4, linewidth=1, capsize=2
    )
