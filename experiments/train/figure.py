"""The figure of a run: losses, gradient norms, and the gradient's flow through time, while it trained."""

import math
from collections.abc import Sequence
from typing import Any

import numpy as np

from experiments import plotting

NAME = "learning"
Rows = Sequence[dict[str, Any]]


def files() -> tuple[str, ...]:
    return plotting.files(NAME, ("png",))


def draw(rows: Rows, summary: dict[str, Any]) -> dict[str, bytes]:
    """{"learning.png": content}, from the rows of metrics.jsonl."""
    return plotting.draw(NAME, lambda pyplot: _figure(pyplot, rows, summary), ("png",))


def _figure(pyplot: Any, rows: Rows, summary: dict[str, Any]) -> Any:
    steps, looks, flows = ([row for row in rows if row["kind"] == kind] for kind in ("step", "look", "flow"))
    figure, axes = pyplot.subplots(1, 3 if flows else 2, figsize=(10 if flows else 7, 2.9), layout="constrained")
    told = f"{summary['task']} ({summary['variant']}), T = {summary['length']}, {summary['cell']}"
    figure.suptitle(told, fontsize=9, x=0.01, ha="left")
    _losses(axes[0], steps, looks, summary)
    _norms(axes[1], steps, summary)
    if flows:
        _flow(axes[2], flows)
    return figure


def _losses(axis: Any, steps: Rows, looks: Rows, summary: dict[str, Any]) -> None:
    blue, orange = plotting.COLOURS[:2]
    time, losses = _by_seed(steps, "loss")
    if len(time):
        width = max(1, len(time) // 100)
        smooth = np.stack([_running(curve, width) for curve in losses])
        axis.plot(time, smooth.T, color=blue, linewidth=0.8, alpha=0.7)
        axis.plot([], [], color=blue, label="training" + (f", mean of {width}" if width > 1 else ""))
    when, held = _by_seed(looks, "loss")
    axis.plot(when, held.T, color=orange, linewidth=1.2, marker="o", markersize=2)
    axis.plot([], [], color=orange, marker="o", markersize=2, label=f"{looks[0]['split']} split")
    chance = summary["chance_loss"]
    axis.axhline(chance, color="0.5", linewidth=0.8, linestyle=":")
    axis.annotate("chance", (1, chance), xycoords=("axes fraction", "data"), color="0.4", fontsize=7, ha="right",
                  va="bottom")  # fmt: skip
    if np.nanmin(held) > 0 and np.nanmin(held) < chance / 5:
        axis.set_yscale("log")
    axis.set_xlabel("update")
    axis.set_title("loss", fontsize=9, loc="left")
    axis.legend(fontsize=7)


def _norms(axis: Any, steps: Rows, summary: dict[str, Any]) -> None:
    time, norms = _by_seed(steps, "log10_gradient_norm")
    width = max(1, len(time) // 100)
    for i, curve in enumerate(norms):
        axis.plot(time, _running(curve, width), color=plotting.COLOURS[i % 7], linewidth=0.8)
    if summary["clip_norm"]:
        axis.axhline(math.log10(summary["clip_norm"]), color="0.5", linewidth=0.8, linestyle=":")
        axis.annotate("clipped above", (1, math.log10(summary["clip_norm"])), xycoords=("axes fraction", "data"),
                      color="0.4", fontsize=7, ha="right", va="bottom")  # fmt: skip
    axis.set_xlabel("update")
    axis.set_title(r"$\log_{10}$ norm of the gradient" + (", a line a seed" if len(norms) > 1 else ""), fontsize=9,
                   loc="left")  # fmt: skip


def _flow(axis: Any, flows: Rows) -> None:
    """The curves by lag of the first seed and layer, early to late."""
    first = [row for row in flows if (row["seed"], row["layer"]) == (flows[0]["seed"], flows[0]["layer"])]
    chosen = [first[i] for i in sorted({0, len(first) // 4, len(first) // 2, len(first) - 1})]
    for row, shade in zip(chosen, np.linspace(0.75, 0.0, len(chosen)), strict=True):
        values = [math.nan if v is None else v for v in row["log10_norms"]]
        axis.plot(row["lags"], values, color=str(shade), linewidth=1.2, label=f"update {row['step']}")
    axis.set_xlabel("lag $k$ (steps before the end)")
    layers = len({row["layer"] for row in flows})
    where = f", {first[0]['layer']}" if layers > 1 else ""
    axis.set_title(r"$\log_{10}\,\|\partial L/\partial s_{T{-}k}\|$" + f", seed {first[0]['seed']}{where}", fontsize=9,
                   loc="left")  # fmt: skip
    axis.legend(fontsize=7)


def _by_seed(rows: Rows, name: str) -> tuple[np.ndarray, np.ndarray]:
    """(steps [S], values [K, S])"""
    seeds = list(dict.fromkeys(row["seed"] for row in rows))
    curves = [[math.nan if row[name] is None else row[name] for row in rows if row["seed"] == seed] for seed in seeds]
    time = [row["step"] for row in rows if row["seed"] == seeds[0]] if rows else []
    return np.array(time), np.array(curves, float)


def _running(curve: np.ndarray, width: int) -> np.ndarray:
    """The mean of the last `width` values, of fewer at the start."""
    curve = np.where(np.isfinite(curve), curve, np.nan)
    total = np.concatenate([[0.0], np.nancumsum(curve)])
    end = np.arange(1, len(curve) + 1)
    start = np.maximum(end - width, 0)
    return (total[end] - total[start]) / (end - start)
