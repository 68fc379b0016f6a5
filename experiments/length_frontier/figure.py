"""The figure: how many seeds solve each length, and how the gradient fades over it."""

from collections.abc import Sequence
from typing import Any

from experiments import plotting
from experiments.length_frontier.summary import frontiers

NAME = "length_frontier"


def files() -> tuple[str, ...]:
    return plotting.files(NAME)


def draw(lines: Sequence[dict[str, Any]], title: str, kinds: tuple[str, ...] = ("png", "svg")) -> dict[str, bytes]:
    """{file name: content}, from the lines of the summary; those of several grids have cells of different names."""
    return plotting.draw(NAME, lambda pyplot: _figure(pyplot, lines, title), kinds)


def _figure(pyplot: Any, lines: Sequence[dict[str, Any]], title: str) -> Any:
    edges = frontiers(lines)
    lengths = sorted({line["length"] for line in lines})
    columns = max(1, min(len(edges), 4, 110 // (max(map(len, edges)) + 8)))  # of the legend
    figure, (left, right) = pyplot.subplots(
        1, 2, figsize=(7.2, 3.1 + 0.18 * -(-len(edges) // columns)), layout="constrained"
    )
    for i, (cell, edge) in enumerate(edges.items()):
        marker = plotting.MARKERS[i % 7]
        mine = [line for line in lines if line["cell"] == cell]
        look: Any = {**plotting.look(i), "marker": marker, "markersize": 4, "linewidth": 1.3}
        colour = look["color"]
        shift = 0.012 * (i - (len(edges) - 1) / 2)  # so that equal curves are both seen
        left.plot([line["length"] for line in mine], [line["success"] + shift for line in mine], label=cell, **look)
        right.plot([line["length"] for line in mine], [line["log10_norm_first"] for line in mine], **look)
        if not edge["beyond"]:
            left.plot([edge["length"]] * 2, [-0.03, 0.5], color=colour, linewidth=0.8, linestyle=":")
            left.annotate(f"{edge['length']:.0f}", (edge["length"], 0), color=colour, fontsize=7, rotation=90,
                          ha="right", va="bottom")  # fmt: skip
    left.axhline(0.5, color="0.8", linewidth=0.8, zorder=0)
    left.set_ylim(-0.05, 1.05)
    left.set_title("share of seeds that solve it", fontsize=9, loc="left")
    right.set_title(r"$\log_{10}\,\|\partial L/\partial s_1\|$ at initialisation", fontsize=9, loc="left")
    low, high = right.get_ylim()
    right.set_ylim(low, max(high, low + 1))
    plotting.float32_ends([right], lengths[0])
    for axis in (left, right):
        plotting.length_ticks(axis, lengths)
        axis.set_xlabel("sequence length $T$")
    figure.legend(*left.get_legend_handles_labels(), loc="outside upper center", ncols=columns, title=title,
                  title_fontsize=9)  # fmt: skip
    return figure
