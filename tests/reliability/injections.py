"""Put what is not finite into training, in float32 as users run it, and see that the program ends as it should.

    python tests/reliability/injections.py [--few]

Cells x places (the loss, one leaf of the gradient, an input, the learning rate, the outcome) x the first, a middle and
the last update. Each must end with status 3 and one line with cell, length, seed, step and leaf; the parameters in the
last checkpoint and in crash/ must be finite; the control, an update that is never reached, ends with 0. The last line
is a summary.
"""

import contextlib
import dataclasses
import io
import itertools
import json
import os
import pathlib
import re
import sys
import tempfile
from typing import Any
from unittest import mock

ROOT = pathlib.Path(__file__).resolve().parents[2]
sys.path[:0] = [str(ROOT), str(ROOT / "tests")]
STEPS, SEED = 8, 3
CELLS = ("elman", "lstm", "gru")
PLACES = {  # and what the message may call it
    "loss": "loss",
    "gradient": r"body\.layers\.0\.params\.w_h",
    "input": r"loss|body\.layers\.0\.params\.\w+",
    "rate": r"loss|valid loss|body\.layers\.0\.params\.\w+|head\.\w+",
    "outcome": r"body\.layers\.0\.params\.\w+",  # of an update whose gradient is finite
    "flag": r"loss|valid loss|body\.layers\.0\.params\.\w+|head\.\w+",
}
RUN = ("--length=6", "--units=4", "--batch_size=2", f"--steps={STEPS}", "--eval_every=3", "--flow_every=0",
       f"--seeds={SEED},", "--checkpoint_every=2", "--clip_norm=0", "--optimizer=sgd",
       "--schedule=constant")  # fmt: skip


@dataclasses.dataclass(frozen=True)
class Poisoned:
    """A model whose loss, or one leaf of whose gradient, is not finite where `bad` is true."""

    model: Any
    place: str
    bad: Any

    def estimate(self, *given: Any) -> Any:
        import jax
        import jax.numpy as jnp

        found = self.model.estimate(*given)
        if self.place == "loss":
            return found._replace(loss=jnp.where(self.bad, jnp.nan, found.loss))

        def wrong(path: Any, leaf: Any) -> Any:
            return jnp.where(self.bad, jnp.inf, leaf) if "w_h" in jax.tree_util.keystr(path) else leaf

        return found._replace(gradients=jax.tree_util.tree_map_with_path(wrong, found.gradients))


def injected(place: str, at: int) -> Any:
    """Learner.update with something wrong in update `at`."""
    import jax.numpy as jnp

    from rnnx.training import Learner

    update = Learner.update

    def wrong(self: Learner, state: Any, batch: Any, *more: Any) -> Any:
        bad = state.step == at
        if place in ("loss", "gradient"):
            return update(dataclasses.replace(self, model=Poisoned(self.model, place, bad)), state, batch, *more)
        if place == "input":
            batch = batch._replace(xs=batch.xs.at[0, 2, 0].set(jnp.where(bad, jnp.inf, batch.xs[0, 2, 0])))
            return update(self, state, batch, *more)
        rate = 1e30 / self.rule.learning_rate if place == "rate" else jnp.inf
        huge = jnp.where(bad, rate, state.rate)
        after, metrics = update(self, state._replace(rate=huge), batch, *more)
        return after._replace(rate=state.rate), metrics

    return mock.patch.object(Learner, "update", wrong) if place != "flag" else contextlib.nullcontext()


def finite(folder: pathlib.Path, flags: dict[str, str]) -> tuple[int, bool]:
    """(step, whether all parameters are finite) of the newest checkpoint."""
    import jax
    import numpy as np

    from experiments.train.build import prepare
    from experiments.train.options import settings_of
    from experiments.train.train import start
    from rnnx.training import checkpoint

    work = prepare(settings_of(flags))
    like = jax.eval_shape(lambda: start(work, (SEED,)))
    step, progress, _ = checkpoint.restore(folder, like)
    kept = jax.tree.leaves((progress.state.params, progress.best))
    return step, all(np.isfinite(leaf).all() for leaf in kept)


def wrong_with(cell: str, place: str, at: int, out: pathlib.Path) -> str | None:
    """What is not as it should be, None if all is."""
    from programs import call

    more = ["--learning_rate=1e30"] if place == "flag" else []
    err = io.StringIO()
    with injected(place, at), contextlib.redirect_stderr(err), contextlib.redirect_stdout(io.StringIO()):
        status = call("train", f"--cell={cell}", *RUN, *more, f"--out={out}")
    lines = [line for line in err.getvalue().splitlines() if " it/s" not in line]
    record = json.loads((out / "run.json").read_text())
    if at > STEPS:
        return None if status == 0 and record["status"] == "complete" else f"the control: {status}, {lines}"
    place_told = rf"error: not finite: cell {cell}, length 6, seed {SEED}, step (\d+), leaf ({PLACES[place]}); .*"
    told = re.fullmatch(place_told, "\n".join(lines))
    if status != 3 or len(lines) != 1 or not told or record["status"] != "non-finite":
        return f"status {status}, {record['status']}, {lines}"
    step = int(told[1])
    if step != at and not (place in ("rate", "flag") and at <= step <= STEPS):
        return f"it was told of step {step}"
    found = {name: finite(out / name, record["flags"]) for name in ("checkpoints", "crash")}
    if found["crash"] != (step, True) or not found["checkpoints"][1] or found["checkpoints"][0] > step:
        return f"steps and whether they are finite: {found}"
    for line in (out / "metrics.jsonl").read_text().splitlines():
        json.loads(line, parse_constant=lambda word: sys.exit(f"{word} in metrics.jsonl"))
    return None


def main() -> int:
    os.environ["JAX_PLATFORMS"] = "cpu"
    from experiments import quick

    os.environ.setdefault("XLA_FLAGS", quick.flags())
    places = [place for place in PLACES if place != "flag"]
    cases = [*itertools.product(CELLS, places, (0, STEPS // 2, STEPS - 1)), *((cell, "flag", 0) for cell in CELLS)]
    controls = [(cell, place, STEPS + 1) for cell, place in zip(CELLS, places, strict=False)]
    if "--few" in sys.argv:
        cases = [(CELLS[i % 3], place, (0, STEPS // 2, STEPS - 1)[i % 3]) for i, place in enumerate(places)]
        cases[3:] = [("elman", "rate", STEPS - 1), ("lstm", "outcome", STEPS - 1)]
        controls = controls[:1]
    with tempfile.TemporaryDirectory() as folder:
        found = [(case, wrong_with(*case, pathlib.Path(folder) / str(i))) for i, case in enumerate(cases + controls)]
    wrong = [f"{case}: {told}" for case, told in found if told]
    print(*wrong, sep="\n")
    print(f"{len(cases)} injections, {len(controls)} controls: {len(wrong)} wrong")
    return bool(wrong)


if __name__ == "__main__":
    sys.exit(main())
