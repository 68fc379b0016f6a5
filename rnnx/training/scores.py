"""How good a model is on examples: sums that add up over batches."""

from functools import partial
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from rnnx.types import Example, step_loss


class Scores(NamedTuple):
    """Sums over examples; add them, then ask for means."""

    examples: Any  # how many
    loss: Any  # of the losses of examples, each weighted as its task says
    steps: Any  # how many scored steps
    step_loss: Any  # of the losses of scored steps, all alike: pooled over sequences
    correct: Any  # of scored steps that are right

    def means(self) -> dict[str, Any]:
        """loss: of an example; step_loss: of a scored step, pooled; accuracy: of scored steps."""
        return {
            "loss": self.loss / self.examples,
            "step_loss": self.step_loss / self.steps,
            "accuracy": self.correct / self.steps,
        }


def scores(model: Any, task: Any, params: Any, batch: Example, states: Any = None) -> tuple[Scores, Any]:
    """(scores, final states) of a batch, leaves leading with B. Examples without any weight do not count."""

    def one(example: Example, state: Any) -> tuple[Scores, Any]:
        final, ys = model.outputs(params, example, state)
        weights = example.scored()
        scored = weights != 0
        ones = scored.astype(weights.dtype)
        losses = jax.vmap(partial(step_loss, task.loss))(ys, example.targets, weights)
        plain = jax.vmap(partial(step_loss, task.loss))(ys, example.targets, ones)
        right = jax.vmap(task.correct)(ys, example.targets) & scored
        counts = (jnp.any(scored).astype(weights.dtype), jnp.sum(losses), jnp.sum(ones), jnp.sum(plain))
        return Scores(*counts, jnp.sum(right).astype(weights.dtype)), final

    found, finals = jax.vmap(one, (0, None if states is None else 0))(batch, states)
    return jax.tree.map(lambda a: jnp.sum(a, axis=0), found), finals


def evaluate(run: Any, params: Any, batches: Any) -> Scores:
    """The scores of all `batches`, added in float64 on the host.

    `run(params, batch, states) -> (Scores, states)` is `scores` compiled; states go from batch to batch where the plan
    of the batches carries them: `batches` are pairs (batch, whether states go on).
    """
    total, states = None, None
    for batch, goes_on in batches:
        found, states = run(params, batch, states if goes_on else None)
        found = jax.tree.map(lambda a: np.asarray(a, np.float64), found)
        total = found if total is None else jax.tree.map(np.add, total, found)
    if total is None:
        raise ValueError("evaluate: no batches; give at least one")
    return total
