"""The training itself: chunks of compiled steps, and between them rows, looks, checkpoints."""

import hashlib
import math
import time
from collections.abc import Callable
from typing import Any

import jax
import numpy as np

from experiments.exits import NonFinite
from experiments.run_directory import RunDirectory
from experiments.tables import to_json
from experiments.train.build import Stage, Work
from experiments.train.held_out import HeldOut
from experiments.train.machines import Machines
from experiments.train.options import Settings
from rnnx.diagnostics import slope
from rnnx.tasks import solved
from rnnx.training import Best, TrainState, checkpoint, layer_flow, steps_of

METRICS = "metrics.jsonl"
WATCHED = 8  # sequences that the flow is measured on
CHUNK = 25  # updates in one call at most: seconds between two looks at the world
LAGS = 33  # points of a curve by lag, in a row


class Training:
    """One run on its way. `state` is that of all seeds; nothing else matters for what comes next."""

    def __init__(self, settings: Settings, work: Work, directory: RunDirectory | None, machines: Machines):
        self.settings, self.work, self.machines = settings, work, machines
        self.directory = directory  # None: another process writes
        keys = jax.vmap(jax.random.key)(np.array(settings.seeds, np.uint32))
        self.state: TrainState = machines.place(jax.jit(jax.vmap(work.learner.init))(keys))
        self.step = 0
        seeds = len(settings.seeds)
        self.watched_split = "valid" if "valid" in work.task.splits or not hasattr(work.task, "count") else "test"
        self.selects = self.watched_split == "valid"  # never by the test split
        self.held_out = HeldOut(work.task, work.model, self.watched_split, seeds)
        self.test = self.held_out if not self.selects else HeldOut(work.task, work.model, "test", seeds)
        self.best = Best.none(jax.device_get(self.params))
        self.first_solved: list[int | None] = [None] * seeds
        self.seconds = 0.0
        watched = self.held_out.some(WATCHED)
        self._flow = jax.jit(jax.vmap(lambda params: _flow_numbers(work, params, watched)))

    @property
    def params(self) -> Any:
        """Those of all seeds, for use by this process alone."""
        return self.machines.here(self.state.params)

    def run(self, advance: Callable[[int, str], None], check: Callable[[], None]) -> None:
        """To the last step, or to where patience ends. `advance(n, told)` hears of steps; `check()` may raise."""
        if self.directory:
            self.directory.write(METRICS, "")
        self._look()
        if self.settings.flow_every:
            self._write(self._flow_rows())
        for stage in self.work.stages:
            run = steps_of(self.work.learner, stage.plan, self.machines.mesh)
            data = self.machines.everywhere(stage.data)
            while self.step < stage.end:
                check()
                began = time.monotonic()
                count = self._chunk(stage)
                self.state, metrics = run(self.state, data, self.settings.seeds, self.step, count)
                metrics = jax.device_get(metrics)
                self.seconds += time.monotonic() - began
                self._check_finite(stage, metrics)
                self._write(_step_rows(self.settings.seeds, self.step, metrics))
                self.step += count
                advance(count, f"loss {np.mean(metrics.loss[-1]):.4g}")
                if self._due(self.settings.flow_every):
                    self._write(self._flow_rows())
                if self._due(self.work.eval_every) or self.step == self.work.steps:
                    self._look()
                    if self.best.exhausted(self.settings.patience) and self.selects:
                        return

    def _due(self, every: int) -> bool:
        return bool(every) and self.step % every == 0

    def _chunk(self, stage: Stage) -> int:
        """How many steps until something is to be done."""
        if self.settings.buckets > 1:
            return 1
        often = (CHUNK, self.settings.flow_every, self.work.eval_every)
        ends = [stage.end, *(self.step // every * every + every for every in often if every)]
        return min(ends) - self.step

    def _look(self) -> None:
        """Held-out scores of every seed; the state and the best one so far to disk."""
        params = self.params
        found = self.machines.of_first(self.held_out.look(params))
        means, quantity = found.means(), self.work.task.criterion.quantity
        values = means["loss"] if quantity == "loss" else -means["accuracy"]
        if self.selects:
            self.best = self.best.look(values, self.step, jax.device_get(params))
        rows = []
        for i, seed in enumerate(self.settings.seeds):
            numbers = {name: float(value[i]) for name, value in means.items()}
            rows.append({"kind": "look", "step": self.step, "seed": seed, "split": self.watched_split, **numbers})
            if self.first_solved[i] is None and solved(self.work.task, numbers["loss"], numbers["accuracy"]):
                self.first_solved[i] = self.step
        self._write(rows)
        state = self.machines.gather(self.state)
        if not self.directory:
            return
        folder = self.directory.path / "checkpoints"
        checkpoint.save(folder / "last", self.step, state)
        if self.selects:
            checkpoint.save(folder / "best", self.step, self.best.params, {"steps": self.best.step.tolist()})

    def _flow_rows(self) -> list[dict[str, Any]]:
        """One row for each seed and layer, for the process that writes."""
        rows = []
        if not self.directory:
            return rows
        for layer, (curves, slopes) in jax.device_get(self._flow(self.params)).items():
            lags = np.unique(np.linspace(0, curves.shape[1] - 1, LAGS).round().astype(int))
            for i, seed in enumerate(self.settings.seeds):
                rows.append(
                    {
                        "kind": "flow",
                        "step": self.step,
                        "seed": seed,
                        "layer": layer,
                        "slope_log10_per_step": float(slopes[i]),
                        "lags": lags.tolist(),
                        "log10_norms": [float(f"{curves[i, lag]:.5g}") for lag in lags],
                    }
                )
        return rows

    def _write(self, rows: list[dict[str, Any]]) -> None:
        if self.directory:
            with open(self.directory.path / METRICS, "a") as file:
                file.write("".join(map(to_json, rows)))

    def _check_finite(self, stage: Stage, metrics: Any) -> None:
        # A gradient of exactly zero, whose logarithm is -inf, is none of our business.
        numbers = metrics.loss + np.maximum(metrics.gradient.log10_norm, 0)
        for step, seed in np.argwhere(~np.isfinite(numbers)).tolist():
            raise NonFinite(
                f"the loss or its gradient is not finite: cell {self.work.cell}, length {stage.task.length}, seed "
                f"{self.settings.seeds[seed]}, step {self.step + step}; write a smaller --learning_rate than "
                f"{self.settings.learning_rate:g}, or a --clip_norm"
            )

    def digest(self) -> str:
        """SHA-256 of the parameters of all seeds."""
        sha = hashlib.sha256()
        for leaf in jax.tree.leaves(jax.device_get(self.params)):
            sha.update(f"{leaf.dtype}{leaf.shape}".encode() + np.ascontiguousarray(leaf).tobytes())
        return sha.hexdigest()


def _flow_numbers(work: Work, params: Any, watched: Any) -> dict[str, Any]:
    """{layer: (mean curve by lag [T], its slope)}"""
    found = layer_flow(work.model, params, watched)
    reach = np.asarray(work.task.steps) if watched.length is None else jax.numpy.min(watched.length)
    return {layer: (flow.state.mean, slope(flow.state.mean, reach)) for layer, flow in found.items()}


def _step_rows(seeds: tuple[int, ...], first: int, metrics: Any) -> list[dict[str, Any]]:
    """One row for each step and seed, of metrics [S, K]."""
    blocks = {
        jax.tree_util.keystr(path, simple=True, separator=".").replace(".value", ""): leaf
        for path, leaf in jax.tree_util.tree_leaves_with_path(metrics.gradient.log10_blocks)
    }
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
            if metrics.penalty[s, k]:
                rows[-1]["penalty"] = _digits(metrics.penalty[s, k])
    return rows


def _digits(number: Any) -> float:
    """The seven digits that a float32 holds."""
    return float(f"{float(number):.7g}") if math.isfinite(number) else float(number)
