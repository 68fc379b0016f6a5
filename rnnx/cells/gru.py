"""Gated recurrent unit."""

from typing import NamedTuple

import jax.numpy as jnp
from jax import Array
from jax.nn import sigmoid

from rnnx.cells import parts
from rnnx.cells.initialisers import INITIALISERS
from rnnx.types import cell, one_of


class Params(NamedTuple):
    w_x: Array  # [D, 3, N], gates r, z, n
    w_h: Array  # [N, 3, N]
    b: Array  # [3, N]
    c: Array  # [N], the recurrent bias of n, inside its reset gate


def step(params: Params, state: Array, x: Array) -> tuple[Array, Array]:
    """One step for `lax.scan`: `GRU.step` without a configuration. State h [N], x [D] -> (h, h)."""
    inputs, _, units = params.w_x.shape
    return GRU(inputs, units).step(params, state, x)


@cell
class GRU:
    """Gated recurrent unit, reset applied AFTER the recurrent product.

        r, z = sigmoid(W_x x_t + W_h h_{t-1} + b)                   [N] each
        n    = tanh(W_x x_t + b + r * (W_h h_{t-1} + c))            [N]
        h_t  = (1 - z) * n + z * h_{t-1}                            [N]
        y_t  = h_t

    Every gate has its own rows of W_x, W_h and b, in the order r, z, n. This is the form of the first
    version of the paper, of cuDNN, torch, Flax, Equinox and Keras with `reset_after=True`; later versions
    of the paper and Haiku reset h before the product, which is another function. The state h is an array [N],
    zero at the start.

    Source: Cho et al. 2014, arXiv:1406.1078 (v1 for the order of the reset); z multiplies the old state, as
    in torch. Cost: 6 N (D + N) flops a step.
    """

    inputs: int
    units: int
    recurrent_init: str = "glorot_uniform"
    input_init: str = "glorot_uniform"

    def __post_init__(self):
        one_of("GRU.recurrent_init", self.recurrent_init, INITIALISERS)
        one_of("GRU.input_init", self.input_init, INITIALISERS)

    powers = ("factored", "pointwise")

    @property
    def outputs(self) -> int:
        return self.units

    def init(self, key: Array) -> Params:
        w_x, w_h, b = parts.gates(self, key, 3)
        return Params(w_x, w_h, b, jnp.zeros_like(b[0]))

    prepare = parts.prepare

    def initial_state(self, weights: Params) -> Array:
        return jnp.zeros_like(weights.c)

    drive = parts.drive
    recur = parts.recur

    def update(self, weights: Params, state: Array, u, v) -> Array:
        h = state
        ur, uz, un = u
        vr, vz, vn = v
        r = sigmoid(ur + vr)
        z = sigmoid(uz + vz)
        n = jnp.tanh(un + r * (vn + weights.c))
        return (1 - z) * n + z * h

    readout = parts.readout
    step = parts.step
    recurrent = parts.recurrent
