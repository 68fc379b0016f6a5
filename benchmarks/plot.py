"""Draws the table of `benchmarks.peers`: `python -m benchmarks.plot peers.json peers.png`."""

import json
import sys
from pathlib import Path
from typing import Any

COLOURS = {"torch": "#d55e00", "linen": "#0072b2", "nnx": "#56b4e9", "haiku": "#009e73", "equinox": "#cc79a7",
           "keras": "#e69f00"}  # fmt: skip


def drawn(rows: list[dict[str, Any]], title: str) -> Any:
    """One panel a cell and direction: a dot for each system and shape, by its time over rnnx's."""
    import matplotlib

    matplotlib.use("Agg")
    import matplotlib.pyplot as plt

    cells = list(dict.fromkeys(row["cell"] for row in rows))
    figure, axes = plt.subplots(len(cells), 2, figsize=(11, 3.2 * len(cells)), sharey=True, squeeze=False)
    for line, cell in zip(axes, cells, strict=True):
        for panel, direction in zip(line, ("forward", "train"), strict=True):
            some = [row for row in rows if row["cell"] == cell and row["direction"] == direction]
            shapes = sorted(dict.fromkeys(row["shape"] for row in some), key=_work)
            for system, colour in COLOURS.items():
                here = {row["shape"]: row["ratio"] for row in some if row["system"] == system}
                if here:
                    places = [shapes.index(shape) for shape in here]
                    panel.plot(places, list(here.values()), "o", color=colour, label=system, markersize=5)
            panel.axhline(1, color="black", linewidth=0.8)
            panel.set_yscale("log", base=2)
            panel.set_yticks([1, 2, 4, 8, 16], ["1", "2", "4", "8", "16"])
            panel.set_xticks(range(len(shapes)), shapes, rotation=90, fontsize=6)
            panel.set_title(f"{cell}, {'training step' if direction == 'train' else 'forward'}", fontsize=10)
            panel.grid(axis="y", linewidth=0.3)
        line[0].set_ylabel("time over rnnx's")
    axes[0][0].legend(fontsize=7, ncol=2)
    figure.suptitle(title, fontsize=9)
    figure.tight_layout()
    return figure


def _work(shape: str) -> int:
    batch, steps, inputs, units = map(int, shape.split("x"))
    return batch * steps * (inputs + units) * units


def main(argv: list[str]) -> int:
    if len(argv) != 3 or not Path(argv[1]).is_file():
        print(
            "benchmarks.plot: write two files: the JSON that benchmarks.peers made, and a PNG to make", file=sys.stderr
        )
        return 2
    told = json.loads(Path(argv[1]).read_text())
    machine = told["machine"]
    where = f"{machine['processor']}, {machine['cores']} cores, jax {machine['jax']}, {told['date']}"
    title = f"B x T x D x N, float32; {where}"
    drawn(told["rows"], title).savefig(argv[2], dpi=150)
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv))
