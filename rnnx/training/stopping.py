"""Which state was best on held-out data, seed by seed, and when to stop looking for a better one."""

from typing import Any, NamedTuple

import jax
import numpy as np


class Best(NamedTuple):
    """The best look of each of K seeds, the smallest value counting as the best."""

    value: np.ndarray  # float64 [K]
    step: np.ndarray  # int64 [K], of the best look
    since: np.ndarray  # int64 [K], looks after it
    params: Any  # leaves [K, ...]

    @classmethod
    def none(cls, params: Any) -> "Best":
        count = len(jax.tree.leaves(params)[0])
        zeros = np.zeros(count, np.int64)
        return cls(np.full(count, np.inf), zeros, zeros, jax.tree.map(np.asarray, params))

    def look(self, values: np.ndarray, step: int, params: Any) -> "Best":
        """After a look at step `step`; a NaN is never better."""
        better = np.asarray(values) < self.value

        def chosen(old: np.ndarray, new: Any) -> np.ndarray:
            return np.where(better.reshape(-1, *[1] * (old.ndim - 1)), np.asarray(new), old)

        return Best(
            np.where(better, values, self.value),
            np.where(better, step, self.step),
            np.where(better, 0, self.since + 1),
            jax.tree.map(chosen, self.params, params) if better.any() else self.params,
        )

    def exhausted(self, patience: int) -> bool:
        """Whether no seed has had a better look in the last `patience` ones; 0 is endless patience."""
        return bool(patience and np.all(self.since >= patience))
