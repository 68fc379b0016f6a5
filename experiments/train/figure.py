"""The figure of a run: losses, gradient norms, and the gradient's flow through time, while it trained.

And those of several: learning curves over each other, and the flow of each at initialisation and after training.
"""

import math
from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np

from experiments import plotting

NAME, FLOWS = "learning", "flow"
Rows = Sequence[dict[str, Any]]


class Run(NamedTuple):
    label: str
    rows: Rows  # of metrics.jsonl
    summary: dict[str, Any]  # what `draw` needs of it; "chance_loss" may be None


def files() -> tuple[str, ...]:
    return plotting.files(NAME, ("png",))


def draw(rows: Rows, summary: dict[str, Any]) -> dict[str, bytes]:
    """{"learning.png": content}, from the rows of metrics.jsonl."""
    return plotting.draw(NAME, lambda pyplot: _figure(pyplot, rows, summary), ("png",))


def draw_several(runs: Sequence[Run]) -> dict[str, bytes]:
    """The same name for the learning curves of several runs."""
    return plotting.draw(NAME, lambda pyplot: _together(pyplot, runs), ("png",))


def draw_flows(runs: Sequence[Run]) -> dict[str, bytes]:
    """{"flow.png": content}: the norm by lag at initialisation and after training; nothing of runs without."""
    found = [run for run in runs if _of(run.rows, "flow")]
    return plotting.draw(FLOWS, lambda pyplot: _flows(pyplot, found), ("png",)) if found else {}


def _of(rows: Rows, kind: str) -> Rows:
    return [row for row in rows if row["kind"] == kind]


def _figure(pyplot: Any, rows: Rows, summary: dict[str, Any]) -> Any:
    steps, looks, flows = (_of(rows, kind) for kind in ("step", "look", "flow"))
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
    _chance(axis, [summary["chance_loss"]], held)
    axis.set_xlabel("update")
    axis.set_title("loss", fontsize=9, loc="left")
    axis.legend(fontsize=7)


def _chance(axis: Any, chances: Sequence[float | None], held: np.ndarray) -> None:
    """What knowing nothing costs, if it is the same for all; far below it losses go by their logarithm."""
    known = {chance for chance in chances if chance is not None}
    finite = held[np.isfinite(held)]
    if len(known) == 1:
        chance = known.pop()
        axis.axhline(chance, color="0.5", linewidth=0.8, linestyle=":")
        axis.annotate("chance", (1.01, chance), xycoords=("axes fraction", "data"), color="0.4", fontsize=7,
                      va="center", annotation_clip=False)  # fmt: skip
        if finite.size and 0 < finite.min() < chance / 5:
            axis.set_yscale("log")


def _together(pyplot: Any, runs: Sequence[Run]) -> Any:
    """Left what was held out (mean over seeds) over what was trained on, right the gradient's norm."""
    figure, (left, right) = pyplot.subplots(1, 2, figsize=(7.2, 3.1 + 0.18 * len(runs) / 3), layout="constrained")
    all_held = []
    for i, run in enumerate(runs):
        style = plotting.look(i)
        thin = {**style, "linewidth": 0.7, "alpha": 0.45}
        steps, looks = _of(run.rows, "step"), _of(run.rows, "look")
        time, losses = _by_seed(steps, "loss")
        if len(time):
            left.plot(time, _running(_mean(losses), max(1, len(time) // 100)), **thin)
            norms = _mean(_by_seed(steps, "log10_gradient_norm")[1])
            right.plot(time, _running(norms, max(1, len(time) // 100)), **{**style, "linewidth": 0.9})
        when, held = _by_seed(looks, "loss")
        left.plot(when, _mean(held), label=run.label, linewidth=1.5, marker="o", markersize=2, **style)
        all_held.append(held.ravel())
    _chance(left, [run.summary["chance_loss"] for run in runs], np.concatenate(all_held))
    left.set_title("loss: held out (thin: training)", fontsize=9, loc="left")
    right.set_title(r"$\log_{10}$ norm of the gradient", fontsize=9, loc="left")
    for axis in (left, right):
        axis.set_xlabel("update")
    _legend(figure, left, [run.label for run in runs], "mean over seeds")
    return figure


def _flows(pyplot: Any, runs: Sequence[Run]) -> Any:
    figure, axes = pyplot.subplots(
        1, 2, figsize=(7.2, 3.1 + 0.18 * len(runs) / 3), sharex=True, sharey=True, layout="constrained"
    )
    last = {max(row["step"] for row in _of(run.rows, "flow")) for run in runs}
    when = f"after {last.copy().pop()} updates" if len(last) == 1 else "at the last look of each"
    labels = []
    for i, run in enumerate(runs):
        flows = _of(run.rows, "flow")
        layers = list(dict.fromkeys(row["layer"] for row in flows))
        for n, layer in enumerate(layers):
            mine = [row for row in flows if row["layer"] == layer]
            label = run.label if len(layers) == 1 else f"{run.label}, {layer}"
            labels.append(label)
            line = plotting.look(i) if len(layers) == 1 else plotting.look(i) | {"linestyle": plotting.DASHES[n % 4]}
            for axis, step in zip(axes, (0, max(row["step"] for row in mine)), strict=True):
                there = [row for row in mine if row["step"] == step and row["lags"] == mine[0]["lags"]]
                if there:
                    curves = np.array([[math.nan if v is None else v for v in row["log10_norms"]] for row in there])
                    plotting.band(axis, there[0]["lags"], curves, label=label, linewidth=1.4, **line)
    for axis, title in zip(axes, ("at initialisation", when), strict=True):
        axis.set_title(title, fontsize=9, loc="left")
        axis.set_xlabel("lag $k$ (steps before the end)")
        axis.xaxis.get_major_locator().set_params(integer=True)
    axes[0].set_ylabel(r"$\log_{10}\,\|\partial L/\partial s_{T{-}k}\|$")
    axes[1].tick_params(labelleft=True)
    low, high = axes[0].get_ylim()
    axes[0].set_ylim(low, max(high, low + 1))  # a flat curve is to look flat
    plotting.float32_ends(axes, 0)
    _legend(figure, axes[0], labels, "median of the seeds, from least to largest")
    return figure


def _legend(figure: Any, axis: Any, labels: Sequence[str], title: str) -> None:
    columns = max(1, min(len(labels), 4, 110 // (max(map(len, labels)) + 8)))
    figure.legend(
        *axis.get_legend_handles_labels(), loc="outside upper center", ncols=columns, title=title, title_fontsize=9
    )


def _mean(curves: np.ndarray) -> np.ndarray:
    """Over seeds [K, S]; of those that are there."""
    there = np.isfinite(curves)
    counts = there.sum(axis=0)
    return np.where(counts > 0, np.where(there, curves, 0.0).sum(axis=0) / np.maximum(counts, 1), np.nan)


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
    seeds, time = list(dict.fromkeys(row["seed"] for row in rows)), sorted({row["step"] for row in rows})
    found = {(row["seed"], row["step"]): row[name] for row in rows if row[name] is not None}
    return np.array(time), np.array([[found.get((seed, step), math.nan) for step in time] for seed in seeds], float)


def _running(curve: np.ndarray, width: int) -> np.ndarray:
    """The mean of the last `width` values, of fewer at the start."""
    curve = np.where(np.isfinite(curve), curve, np.nan)
    total = np.concatenate([[0.0], np.nancumsum(curve)])
    end = np.arange(1, len(curve) + 1)
    start = np.maximum(end - width, 0)
    return (total[end] - total[start]) / (end - start)
