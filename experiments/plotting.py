"""How the figures of every program look, and what is done without matplotlib."""

import io
import math
import sys
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

COLOURS = ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#E69F00", "#56B4E9", "#000000")  # Okabe & Ito
MARKERS = "osD^vPX"
DASHES = ("-", "--", ":", "-.")  # when the colours are used up
DPI = 200  # of PNG
FLOAT32_ENDS = -126 * math.log10(2)  # log10 of its smallest normal number
MISSING = "no figure: matplotlib is not installed; pip install 'rnnx[lab]'\n"


def installed() -> bool:
    try:
        import matplotlib  # noqa: F401
    except ModuleNotFoundError:
        return False
    return True


def look(i: int) -> dict[str, Any]:
    """Colour and dashes of the i-th of many lines."""
    return {"color": COLOURS[i % len(COLOURS)], "linestyle": DASHES[i // len(COLOURS) % len(DASHES)]}


def band(axis: Any, x: Any, curves: np.ndarray, color: str, **style: Any) -> None:
    """The median of curves [K, X] as a line, from least to largest as a band."""
    curves = np.where(np.isfinite(curves), curves, np.nan).astype(np.float64)
    axis.plot(x, np.median(curves, axis=0), color=color, **style)
    if len(curves) > 1:
        axis.fill_between(x, curves.min(axis=0), curves.max(axis=0), color=color, alpha=0.2, linewidth=0)


def float32_ends(axes: Any, x: float) -> None:
    """A line in each of these axes where they reach below float32, and what it is in the first."""
    if min(axis.get_ylim()[0] for axis in axes) < FLOAT32_ENDS:
        for axis in axes:
            axis.axhline(FLOAT32_ENDS, color="0.6", linewidth=0.8, linestyle=":")
        axes[0].annotate("float32 ends here", (x, FLOAT32_ENDS), color="0.4", fontsize=7, va="bottom")


def length_ticks(axis: Any, lengths: Sequence[int]) -> None:
    """A logarithmic axis of lengths: a tick at each, a number where it does not run into the one before."""
    span, last, labels = math.log(max(lengths) / min(lengths)) or 1.0, -math.inf, []
    for length in lengths:
        place = math.log(length / min(lengths)) / span
        free = place - last > 0.02 + 0.026 * len(str(length))
        labels.append(str(length) if free else "")
        last = place if free else last
    axis.set_xscale("log")
    axis.set_xticks(lengths, labels)
    axis.minorticks_off()


def files(name: str, kinds: tuple[str, ...] = ("png", "svg")) -> tuple[str, ...]:
    """The files that `draw` makes: none without matplotlib."""
    return tuple(f"{name}.{kind}" for kind in kinds) if installed() else ()


def draw(name: str, make: Callable[[Any], Any], kinds: tuple[str, ...] = ("png", "svg")) -> dict[str, bytes]:
    """{file name: content} of the figure that `make(pyplot)` returns; nothing, and one line, without matplotlib."""
    if not installed():
        sys.stderr.write(MISSING)
        return {}
    import matplotlib

    matplotlib.use("Agg")
    from matplotlib import pyplot

    style: Any = {
        "font.size": 9,
        "axes.spines.top": False,
        "axes.spines.right": False,
        "legend.frameon": False,
        "svg.hashsalt": "rnnx",  # the same figure is the same file
    }
    with pyplot.rc_context(style):
        made = make(pyplot)
        found = {}
        for kind in kinds:
            buffer = io.BytesIO()
            extra: Any = {"dpi": DPI} if kind == "png" else {"metadata": {"Date": None}}
            made.savefig(buffer, format=kind, **extra)
            found[f"{name}.{kind}"] = buffer.getvalue()
        pyplot.close(made)
    return found
