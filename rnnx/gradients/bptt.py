"""Backpropagation through time."""

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
from jax import Array

from rnnx.scans import scan
from rnnx.types import Example, step_loss


class Estimate(NamedTuple):
    """What every estimator returns for a batch."""

    loss: Array  # [], mean over the batch
    gradients: Any  # like the parameters, of the mean loss
    states: Any  # final states, leaves [B, ...]


@dataclass(frozen=True)
class BPTT:
    """The exact gradient, by reverse-mode differentiation of the whole scan.

        L = 1/B sum_b sum_t weights[b, t] loss(y[b, t], targets[b, t]),    dL/dparams

    `method` is how `rnnx.scan` goes through time (None chooses). Source: Werbos 1990, Proc. IEEE 78, 1550-1560.
    Cost: about three forward passes; memory as the method says, O(B T) states for Sequential.
    """

    method: Any = None

    def __call__(
        self,
        cell: Any,
        loss: Callable[[Array, Any], Array],
        params: Any,
        batch: Example,
        states: Any = None,
    ) -> Estimate:
        """`loss(y, target) -> []` scores one step; `batch` leaves lead with B, as do `states` if given.

        A batch is taken whole (and not by `vmap` outside), because the gradient of a mean costs one weight
        gradient and the mean of gradients B of them.
        """

        def run(params: Any, example: Example, state: Any) -> tuple[Array, Any]:
            final, ys = scan(cell, params, example.xs, state, length=example.length, method=self.method)
            losses = jax.vmap(partial(step_loss, loss))(ys, example.targets, example.scored())
            return jnp.sum(losses), final

        def mean(params: Any) -> tuple[Array, Any]:
            losses, finals = jax.vmap(run, (None, 0, 0))(params, batch, states)
            return jnp.mean(losses), finals

        (value, finals), gradients = jax.value_and_grad(mean, has_aux=True)(params)
        return Estimate(value, gradients, finals)
