"""Newton's method on the whole trajectory: nonlinear cells in parallel over time."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import jax
import jax.numpy as jnp
from jax import Array

from rnnx.kernels.seam import recurrence
from rnnx.scans.deferred import kept, whole_if_needed
from rnnx.scans.jacobian import SOLVES, even
from rnnx.scans.sequential import Sequential
from rnnx.scans.trajectory import Report, Trajectory
from rnnx.types import one_of, state_of


@dataclass(frozen=True)
class Newton:
    """All steps at once: solve s_t = f(s_{t-1}, x_t), t = 0 .. T-1, for the whole trajectory by Newton's method.

        s'_t = f(s_{t-1}, x_t) + J_t (s'_{t-1} - s_{t-1}),    J_t = df/ds at s_{t-1}

    an affine recurrence for the next iterate s', itself solved in parallel. Takes any cell. `solve` is what is kept
    of J: "full" (quadratic convergence; T S^2 numbers for a state of S, S^3 work), "block" (each unit's own leaves,
    T N L^2 numbers) or "diagonal" (T S numbers): both quasi-Newton, with more iterations. `damping` d in [0, 1]
    multiplies J by 1 - d: 0 is Newton, 1 Picard iteration, between them a slower iteration that survives where
    Newton's grows, in the spirit of ELK (whose trust region is a Kalman smoother, which this is not).

    It ends when the residual is at most `tolerance` (None: 64 times the dtype's epsilon) or after `limit` iterations.
    A sequence that has not converged then is taken step after step instead, and `rnnx.scans.report` says
    converged=False; a batch that has converged does not pay for that. So the states are right either way, and the
    gradients are exact, whatever J was: cotangents go back through the true Jacobians at the states reached. Products
    of the iteration are taken at JAX's highest precision, whatever the default is: with TF32 it would not converge.

    Fast where the dynamics forget (largest Lyapunov exponent below 0: about log T iterations of log T depth), hopeless
    where they are chaotic (above 0): `rnnx.scans.exponent` estimates which it is, in one pass.

    Source: Lim, Zhu, Selfridge & Kasim 2023 (arXiv:2309.12252); quasi-Newton and damping: Gonzalez, Warrington, Smith
    & Linderman 2024 (arXiv:2407.19115). On a CPU it is slower than a loop for almost all sizes.
    """

    solve: str = "full"
    damping: float = 0.0
    tolerance: float | None = None
    limit: int = 30

    iterates = True  # so that later inputs change earlier states, within the tolerance

    def __post_init__(self):
        one_of("Newton.solve", self.solve, SOLVES)
        if not 0 <= self.damping <= 1:
            raise ValueError(f"Newton.damping got {self.damping}; write a number from 0 (Newton) to 1 (Picard)")
        if self.tolerance is not None and not self.tolerance > 0:
            raise ValueError(f"Newton.tolerance got {self.tolerance}; write a number above 0, or None")
        if self.limit < 1:
            raise ValueError(f"Newton.limit got {self.limit}; write a whole number of at least 1")

    def refuses(self, cell: Any) -> str | None:
        if self.solve == "block" and not even(state_of(cell)):
            return "the leaves of its state differ in width; take Newton(solve='full') or Newton(solve='diagonal')"
        return None

    def run(
        self,
        cell: Any,
        weights: Any,
        xs: Any,
        state: Any,
        *,
        starts: Array | None,
        valid: Array | None,
        reverse: bool,
        keep: Callable[[Any, Array], Any],
    ) -> tuple[Any, Any]:
        how = {"starts": starts, "valid": valid, "reverse": reverse}
        if not jax.tree.leaves(xs)[0].shape[0]:
            return Sequential().run(cell, weights, xs, state, keep=keep, **how)
        final, states, _ = self._solved(cell, weights, xs, state, **how)
        return final, kept(cell, weights, xs, states, valid, keep)

    def report(self, cell: Any, weights: Any, xs: Any, state: Any, *, starts, valid, reverse) -> Report:
        """How it ended."""
        if not jax.tree.leaves(xs)[0].shape[0]:
            zero = jnp.zeros((), jax.tree.leaves(state)[0].dtype)
            return Report(jnp.zeros((), jnp.int32), zero, jnp.ones((), bool))
        _, _, told = self._solved(cell, weights, xs, state, starts=starts, valid=valid, reverse=reverse)
        return jax.tree.map(lambda a: a[0], told)

    def _solved(self, cell, weights, xs, state, *, starts, valid, reverse) -> tuple[Any, Any, Report]:
        cell = whole_if_needed(cell)
        return recurrence(Trajectory(cell, reverse, None, self), weights, xs, state, (starts, valid))
