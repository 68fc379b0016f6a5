"""The training itself: chunks of compiled updates, and between them rows, looks, checkpoints.

A run that is cut short anywhere and goes on ends in the same bytes: what a checkpoint holds, and what metrics.jsonl
held then, are all that the rest depends on.
"""

import hashlib
import pathlib
import sys
import time
from collections.abc import Callable
from typing import Any, NamedTuple, NoReturn

import jax
import numpy as np

from experiments.exits import Interrupted, NonFinite
from experiments.run_directory import RunDirectory
from experiments.train import rows
from experiments.train.build import Stage, Work
from experiments.train.held_out import HeldOut
from experiments.train.log import Log
from experiments.train.machines import Machines
from experiments.train.options import Settings
from rnnx.tasks import solved
from rnnx.training import Best, TrainState, checkpoint, steps_of

CHECKPOINTS = "checkpoints"
WATCHED = 8  # sequences that the flow is measured on
CHUNK = 25  # updates in one call at most: seconds between two looks at the world


class Progress(NamedTuple):
    """What of a run goes into a checkpoint."""

    state: TrainState  # of all seeds
    best: Any  # the parameters of every seed's best look; None where no validation data choose


def start(work: Work, seeds: tuple[int, ...]) -> Progress:
    """Of all seeds, before the first update."""
    keys = jax.vmap(jax.random.key)(np.array(seeds, np.uint32))
    state = jax.vmap(work.learner.init)(keys)
    return Progress(state, state.params if work.selects else None)


class Training:
    """One run on its way."""

    def __init__(self, settings: Settings, work: Work, directory: RunDirectory | None, machines: Machines):
        self.settings, self.work, self.machines = settings, work, machines
        self.directory = directory  # None: another process writes
        self.log = Log(directory.path) if directory else None
        self.step, self.saved, self.seconds = 0, -1, 0.0
        seeds = len(settings.seeds)
        self.watched_split = "valid" if work.selects else "test"
        self.held_out = HeldOut(work.task, work.model, self.watched_split, seeds)
        self.test = self.held_out if not work.selects else HeldOut(work.task, work.model, "test", seeds)
        self.first_solved: list[int | None] = [None] * seeds
        self.state, params = jax.jit(lambda: start(work, settings.seeds))()
        self.best = Best.none(params) if work.selects else None
        watched = self.held_out.some(WATCHED)
        self._flow = jax.jit(jax.vmap(lambda params: rows.flow(work, params, watched)))

    @property
    def params(self) -> Any:
        """Those of all seeds, for use by this process alone."""
        return self.machines.here(self.state.params)

    def resume(self) -> None:
        """Go on from the newest checkpoint that is whole, if there is one; what was written since is made again.

        For all processes: the first one's files decide.
        """
        self.machines.alone(self._restore)
        if self.machines.processes > 1:
            self._follow()
        self.state = self.machines.place(self.state)

    def _restore(self) -> None:
        assert self.directory and self.log
        checkpoints = self.directory.path / CHECKPOINTS
        if not checkpoint.steps(checkpoints):
            return
        like = jax.eval_shape(lambda: start(self.work, self.settings.seeds))
        found = checkpoint.restore(checkpoints, like, rejected=_say, quarantine=True)
        self.step, (self.state, params), told = found
        self.saved = self.step
        self.first_solved, self.seconds = told["first_solved"], told["seconds"]
        if self.best is not None:
            value, step, since = (np.array(told["best"][name]) for name in ("value", "step", "since"))
            self.best = Best(value, step, since, params)
        self.log.cut(told["metrics"])

    def _follow(self) -> None:
        """Be where the first process is."""
        solved_at = np.array([-1 if step is None else step for step in self.first_solved])
        here = np.array([self.step, self.saved]), np.array(self.seconds), solved_at, self.state, self.best
        numbers, seconds, solved_at, self.state, self.best = self.machines.of_first(here)
        self.step, self.saved = numbers.tolist()
        self.seconds = float(seconds)
        self.first_solved = [None if step < 0 else step for step in solved_at.tolist()]

    def run(self, advance: Callable[[int, str], None], check: Callable[[], None]) -> None:
        """To the last update, or to where patience ends. `advance(n, told)` hears of updates; `check()` may raise."""
        if self.saved < 0:
            if self.log:
                self.log.begin()
            self._look()
            if self.settings.flow_every:
                self._add(self._flow_rows())
            self.save()
        for stage in self.work.stages:
            run = steps_of(self.work.learner, stage.plan, self.machines.mesh)
            data = self.machines.everywhere(stage.data)
            while self.step < stage.end and not self._exhausted():
                try:
                    check()
                except Interrupted:
                    self.save()
                    raise
                began = time.monotonic()
                count = self._chunk(stage)
                self.state, metrics = run(self.state, data, self.settings.seeds, self.step, count)
                metrics = jax.device_get(metrics)
                self.seconds += time.monotonic() - began
                self._check_finite(stage, metrics)
                self._add(rows.of_steps(self.settings.seeds, self.step, metrics))
                self.step += count
                advance(count, f"loss {np.mean(metrics.loss[-1]):.4g}")
                if self._due(self.settings.flow_every):
                    self._add(self._flow_rows())
                looks = self._due(self.work.eval_every) or self.step == self.work.steps
                if looks:
                    self._look()
                if self._due(self.settings.checkpoint_every) if self.settings.checkpoint_every else looks:
                    self.save()
        self.save()

    def _exhausted(self) -> bool:
        return self.best is not None and self.best.exhausted(self.settings.patience)

    def _progress(self) -> Progress:
        """Whole arrays of this process. For all processes."""
        return Progress(self.machines.gather(self.state), None if self.best is None else self.best.params)

    def save(self) -> None:
        """All that the rest of the run depends on, whole on the disk when this returns. For all processes."""
        if self.saved == self.step:
            return
        progress = self._progress()
        self.machines.alone(lambda: self._save(progress))
        self.saved = self.step

    def _save(self, progress: Progress) -> None:
        assert self.directory and self.log
        told = {"metrics": self.log.position(), "first_solved": self.first_solved, "seconds": self.seconds}
        if self.best is not None:
            told["best"] = {name: getattr(self.best, name).tolist() for name in ("value", "step", "since")}
        checkpoint.save(self.directory.path / CHECKPOINTS, self.step, progress, told, keep=self.settings.keep)

    def _due(self, every: int) -> bool:
        return bool(every) and self.step % every == 0

    def _chunk(self, stage: Stage) -> int:
        """How many steps until something is to be done."""
        if self.settings.buckets > 1:
            return 1
        often = (CHUNK, self.settings.flow_every, self.work.eval_every, self.settings.checkpoint_every)
        ends = [stage.end, *(self.step // every * every + every for every in often if every)]
        return min(ends) - self.step

    def _look(self) -> None:
        """Held-out scores of every seed, and which look was its best."""
        params = self.params
        found = self.machines.of_first(self.held_out.look(params))
        means, quantity = found.means(), self.work.task.criterion.quantity
        values = means["loss"] if quantity == "loss" else -means["accuracy"]
        if self.best is not None:
            self.best = self.best.look(values, self.step, params)
        lines = []
        for i, seed in enumerate(self.settings.seeds):
            numbers = {name: float(value[i]) for name, value in means.items()}
            lines.append({"kind": "look", "step": self.step, "seed": seed, "split": self.watched_split, **numbers})
            if self.first_solved[i] is None and solved(self.work.task, numbers["loss"], numbers["accuracy"]):
                self.first_solved[i] = self.step
        self._add(lines)
        bad = np.flatnonzero(~np.isfinite(means["loss"])).tolist()
        if bad and self.settings.on_nonfinite == "stop":
            self._stop(self.work.task.length, bad[0], self.step, f"{self.watched_split} loss")

    def _flow_rows(self) -> list[dict[str, Any]]:
        """One row for each seed and layer, for the process that writes."""
        if not self.directory:
            return []
        return rows.of_flow(self.settings.seeds, self.step, jax.device_get(self._flow(self.params)))

    def _add(self, lines: list[dict[str, Any]]) -> None:
        if self.log:
            self.log.add(lines)

    def _check_finite(self, stage: Stage, metrics: Any) -> None:
        """Raise where an update could not be made, or too many could not; the state before is kept in crash/."""
        limit = self.settings.max_skips if self.settings.on_nonfinite == "skip" else 0
        if int(np.max(np.asarray(self.state.left_out))) <= limit:
            return
        step, seed = np.argwhere(~metrics.finite)[-1 if limit else 0].tolist()
        often = f" ({limit} updates were left out before)" if limit else ""
        self._stop(stage.task.length, seed, self.step + step, rows.bad_leaf(metrics, step, seed), often)

    def _stop(self, length: int, seed: int, step: int, leaf: str, often: str = "") -> NoReturn:
        """Keep the state, and raise with the place where something is not finite. For all processes."""
        seed = self.settings.seeds[seed]
        where = {"cell": self.work.cell, "length": length, "seed": seed, "step": step, "leaf": leaf}
        progress = self._progress()
        self.machines.alone(lambda: self._keep(progress, where))
        told = ", ".join(f"{name} {value}" for name, value in where.items())
        raise NonFinite(
            f"not finite: {told}{often}; the state before is in {self._crash}; write a smaller --learning_rate than "
            f"{self.settings.learning_rate:g}, or a --clip_norm"
        )

    @property
    def _crash(self) -> pathlib.Path:
        return (self.directory.path if self.directory else pathlib.Path("process 0's directory")) / "crash"

    def _keep(self, progress: Progress, where: dict[str, Any]) -> None:
        if where["step"] not in checkpoint.steps(self._crash):
            checkpoint.save(self._crash, where["step"], progress, where)

    def digest(self) -> str:
        """SHA-256 of the parameters of all seeds."""
        sha = hashlib.sha256()
        for leaf in jax.tree.leaves(jax.device_get(self.params)):
            sha.update(f"{leaf.dtype}{leaf.shape}".encode() + np.ascontiguousarray(leaf).tobytes())
        return sha.hexdigest()


def _say(line: str) -> None:
    sys.stderr.write(f"warning: {line}\n")
