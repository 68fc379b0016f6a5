"""Held-out examples of a task, looked at by all seeds at once."""

from functools import partial
from typing import Any

import jax
import numpy as np
from jax import Array

from rnnx.training import Fresh, OfNetwork, Scores, Streams, evaluate, scores
from rnnx.types import Example

EXAMPLES = 1000  # of a generated task
DRAWN = {"valid": 0, "test": 1}  # the splits of a generated task: different draws
TOGETHER = 256  # sequences in one call, seeds counted


def splits_of(task: Any) -> tuple[str, ...]:
    """What there is to look at: training is not a split of a generated task, whose examples never come twice."""
    return task.splits if hasattr(task, "count") else tuple(DRAWN)


class HeldOut:
    """The examples of a split: all of them where data is finite, else `EXAMPLES` drawn from keys no training uses.

    `data` stands for what `task.load(split)` gives.
    """

    def __init__(self, task: Any, model: OfNetwork, split: str, seeds: int = 1, data: Any = None):
        size = max(8, TOGETHER // seeds)
        generated = not hasattr(task, "count")
        self._data = () if generated else task.load(split) if data is None else data
        self._goes_on = False
        if generated:
            size = EXAMPLES // 10
            self._fetch = Fresh(task, size).fetch
            first = DRAWN[split] * 10
            self._drawn = [np.array([0, 2**32 - 1 - first - i], np.uint32) for i in range(10)]  # steps never reached
        elif getattr(task, "continuous", False) and task.symbols:
            plan = Streams(task, self._data, min(32, task.count(self._data) // (4 * task.length) or 1), shifted=False)
            self._fetch, self._goes_on = plan.fetch, True
            self._drawn = [plan.draw(0, step) for step in range(plan.per_epoch)]
            size = plan.size
        else:
            self._fetch = partial(_some, task)
            count = task.count(self._data)
            size = min(size, count)
            indices = np.full(-(-count // size) * size, -1, np.int32)
            indices[:count] = np.arange(count)
            self._drawn = list(indices.reshape(-1, size))
        self.together, self.calls = size, len(self._drawn)  # sequences in one call, how many of them

        @jax.jit
        def run(params: Any, data: Any, drawn: Array, states: Any) -> tuple[Scores, Any]:
            def one(params: Any, state: Any) -> tuple[Scores, Any]:
                return scores(model, task, params, self._fetch(data, drawn), state)

            return jax.vmap(one, (0, None if states is None else 0))(params, states)

        self._run = run

    def look(self, params: Any) -> Scores:
        """Sums over the split, float64 [K], for parameters of K seeds."""
        batches = ((drawn, self._goes_on and i > 0) for i, drawn in enumerate(self._drawn))
        return evaluate(lambda p, drawn, states: self._run(p, self._data, drawn, states), params, batches)

    def some(self, count: int) -> Example:
        """A few examples, to look at the gradient with."""
        return jax.tree.map(lambda a: a[:count], jax.jit(self._fetch)(self._data, self._drawn[0]))


def _some(task: Any, data: Any, indices: Array) -> Example:
    """Examples by index; those of index -1 count for nothing."""
    found = jax.vmap(task.example, (None, 0))(data, jax.numpy.maximum(indices, 0))
    real = (indices >= 0).astype(found.weights.dtype)
    return found._replace(weights=found.weights * real[:, None])
