"""The rows of metrics.jsonl: what a chunk of updates and a look at the gradient's flow become."""

import math
from typing import Any

import jax
import numpy as np

from experiments.train.build import Work
from rnnx.diagnostics import slope
from rnnx.training import layer_flow
from rnnx.types import Example

LAGS = 33  # points of a curve by lag, in a row


def flow(work: Work, params: Any, watched: Example) -> dict[str, Any]:
    """{layer: (mean curve by lag [T], its slope)}"""
    found = layer_flow(work.model, params, watched)
    reach = work.task.steps if watched.length is None else jax.numpy.min(watched.length)
    return {layer: (flow.state.mean, slope(flow.state.mean, reach)) for layer, flow in found.items()}


def of_flow(seeds: tuple[int, ...], step: int, flows: dict[str, Any]) -> list[dict[str, Any]]:
    """One row for each layer and seed, of {layer: (curves [K, T], slopes [K])}."""
    rows = []
    for layer, (curves, slopes) in flows.items():
        lags = np.unique(np.linspace(0, curves.shape[1] - 1, LAGS).round().astype(int))
        for i, seed in enumerate(seeds):
            rows.append(
                {
                    "kind": "flow",
                    "step": step,
                    "seed": seed,
                    "layer": layer,
                    "slope_log10_per_step": float(slopes[i]),
                    "lags": lags.tolist(),
                    "log10_norms": [float(f"{curves[i, lag]:.5g}") for lag in lags],
                }
            )
    return rows


def of_steps(seeds: tuple[int, ...], first: int, metrics: Any) -> list[dict[str, Any]]:
    """One row for each step and seed, of metrics [S, K]."""
    blocks = _by_name(metrics.gradient.log10_blocks)
    rows = []
    for s in range(len(metrics.loss)):
        for k, seed in enumerate(seeds):
            row = {
                "kind": "step",
                "step": first + s,
                "seed": seed,
                "loss": _digits(metrics.loss[s, k]),
                "log10_gradient_norm": _digits(metrics.gradient.log10_norm[s, k]),
                "log10_block_norms": {name: _digits(leaf[s, k]) for name, leaf in blocks.items()},
                "learning_rate": _digits(metrics.learning_rate[s, k]),
            }
            clipped = {
                name: _digits(getattr(metrics.gradient, name)[s, k]) for name in ("by_norm", "by_value", "by_block")
            }
            rows.append(
                row | {f"clipped_{name}": share for name, share in clipped.items() if share or name == "by_norm"}
            )
            if not metrics.finite[s, k]:
                rows[-1]["left_out"] = True
            if metrics.penalty[s, k]:
                rows[-1]["penalty"] = _digits(metrics.penalty[s, k])
    return rows


def bad_leaf(metrics: Any, step: int, seed: int) -> str:
    """The first of loss, penalty, gradient by block, parameters after the update that is not finite."""
    for name in ("loss", "penalty"):
        if not np.isfinite(getattr(metrics, name)[step, seed]):
            return name
    norms = ((name, leaf[step, seed]) for name, leaf in _by_name(metrics.gradient.log10_blocks).items())
    moved = ((name, leaf[step, seed]) for name, leaf in _by_name(metrics.parameters).items())
    bad = (*(name for name, norm in norms if not norm < np.inf), *(name for name, finite in moved if not finite))
    return next(iter(bad), "optimizer")


def _by_name(tree: Any) -> dict[str, Any]:
    """{path of an array of parameters: what a tree like the parameters holds there}"""
    leaves = jax.tree_util.tree_leaves_with_path(tree)
    return {jax.tree_util.keystr(path, simple=True, separator=".").replace(".value", ""): leaf for path, leaf in leaves}


def _digits(number: Any) -> float:
    """The seven digits that a float32 holds."""
    return float(f"{float(number):.7g}") if math.isfinite(number) else float(number)
