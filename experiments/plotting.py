"""How the figures of every program look, and what is done without matplotlib."""

import importlib.util
import io
import sys
from collections.abc import Callable
from typing import Any

COLOURS = ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#E69F00", "#56B4E9", "#000000")  # Okabe & Ito
MARKERS = "osD^vPX"


def files(name: str, kinds: tuple[str, ...] = ("png", "svg")) -> tuple[str, ...]:
    """The files that `draw` makes: none without matplotlib."""
    return tuple(f"{name}.{kind}" for kind in kinds) if importlib.util.find_spec("matplotlib") else ()


def draw(name: str, make: Callable[[Any], Any], kinds: tuple[str, ...] = ("png", "svg")) -> dict[str, bytes]:
    """{file name: content} of the figure that `make(pyplot)` returns; nothing, and one line, without matplotlib."""
    try:
        import matplotlib
    except ModuleNotFoundError:
        sys.stderr.write("no figure: matplotlib is not installed; pip install 'rnnx[lab]'\n")
        return {}
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
            extra: Any = {"dpi": 200} if kind == "png" else {"metadata": {"Date": None}}
            made.savefig(buffer, format=kind, **extra)
            found[f"{name}.{kind}"] = buffer.getvalue()
        pyplot.close(made)
    return found
