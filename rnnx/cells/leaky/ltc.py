"""Liquid time-constant networks."""

import math
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
from jax import Array

from rnnx.cells import parts
from rnnx.cells.initialisers import draw
from rnnx.types import Timed, cell, one_of

NONLINEARITIES = {"sigmoid": jax.nn.sigmoid, "tanh": jnp.tanh, "relu": parts.relu}


class Params(NamedTuple):
    w_x: Array  # [D, 1, N]
    w_h: Array  # [N, 1, N]
    b: Array  # [1, N]
    a: Array  # [N], where f pulls the state
    log_tau: Array  # [N], the time constant at f = 0


class Weights(NamedTuple):
    w_x: Array  # [D, 1, N]
    w_h: Array  # [N, 1, N]
    b: Array  # [1, N]
    a: Array  # [N]
    leak: Array  # [N], 1 / tau


def step(
    weights: Weights, state: Array, x: Any, *, unfolds: int = 6, dt: float = 1.0, nonlinearity: str = "sigmoid"
) -> tuple[Array, Array]:
    """One step for `lax.scan`: `LTC.step` without a configuration. State h [N], x [D] or Timed -> (h, h).

    weights = LTC(...).prepare(params), once, outside the loop.
    """
    inputs, _, units = weights.w_x.shape
    return LTC(inputs, units, unfolds, dt, nonlinearity).step(weights, state, x)


@cell
class LTC:
    """Liquid time-constant network: dh/dt = -(1 / tau + f) * h + f * A, by L fused Euler steps from input to input.

        f   = phi(W_x x_t + W_h h + b)                                          [N]
        h   = (h + dt / L f * A) / (1 + dt / L (1 / tau + f)), L times          [N]
        y_t = h_t

    A step is explicit in f and implicit in the h that stands alone. The time constant tau / (1 + tau f) moves with the
    input and the state, within [tau / (1 + tau), tau], and h stays between 0 and A: true of phi the sigmoid, not of
    tanh, the paper's other example, or of relu (derivative 0 at 0). `unfolds` is L: from the second on the product
    with W_h stands in the update, so that the cell is Pointwise with one alone. dt is a field, or comes with the input
    as `Timed(x, dt)`. Each of the L steps is a whole dt long in the paper's Algorithm 1, dt / L in the authors' later
    code and here. The state h is an array [N], zero at the start.

    The authors' programs (and package ncps, `LTC`) give each synapse an f = w sigmoid(sigma (h_j - mu)) and an A of its
    own: another cell, of which this one, the paper's, is the short form.

    Initial values: Glorot uniform, bias zero; A from U(-1, 1) (the programs: -1 or 1); tau is exp of a parameter, `tau`
    for all units. For its trajectories the paper draws N(0, 2 / N) ("normal:0.141" for N = 100), biases N(0, 1).

    Elsewhere: none of torch, Keras, Flax, Haiku, Equinox.

    Source: Hasani, Lechner, Amini, Rus & Grosu 2021 (arXiv:2006.04439), eq. 1-3 and Algorithm 1.

    Cost: 2 N (D + L N) flops a step.
    """

    inputs: int
    units: int
    unfolds: int = 6
    dt: float = 1.0
    nonlinearity: str = "sigmoid"
    tau: float = 1.0
    recurrent_init: str = "glorot_uniform"
    input_init: str = "glorot_uniform"
    bias_init: str = "zeros"
    a_init: str = "uniform:1"

    def __post_init__(self):
        parts.check(self)
        one_of("LTC.nonlinearity", self.nonlinearity, NONLINEARITIES)
        if self.unfolds < 1:
            raise ValueError(f"LTC.unfolds got {self.unfolds}; write a whole number of at least 1")
        for name, value in (("dt", self.dt), ("tau", self.tau)):
            if value <= 0:
                raise ValueError(f"LTC.{name} got {value}; write a time above 0, such as 1")

    outputs = property(parts.outputs)

    @property
    def powers(self) -> tuple[str, ...]:
        return ("factored", "pointwise") if self.unfolds == 1 else ("factored",)

    def init(self, key: Array) -> Params:
        w_x, w_h, b = parts.gates(self, key, 1)
        a = draw(self.a_init, jax.random.fold_in(key, 2), (1, 1, self.units), b.dtype)[0, 0]
        return Params(w_x, w_h, b, a, jnp.full_like(a, math.log(self.tau)))

    def prepare(self, params: Params) -> Weights:
        w_x, w_h, b, a, log_tau = params
        return Weights(w_x, w_h, b, a, jnp.exp(-log_tau))

    initial_state = parts.initial_state

    def drive(self, weights: Weights, x: Any) -> Array:
        """The input's share of f, and dt / L for every unit    [2, N]"""
        x, dt = x if isinstance(x, Timed) else (x, self.dt)
        row = parts.drive(self, weights, x)
        return jnp.concatenate((row, jnp.full_like(row, dt / self.unfolds)))

    recur = parts.recur

    def update(self, weights: Weights, state: Array, u, v) -> Array:
        h = state
        u, dt = u
        (v,) = v
        for unfold in range(self.unfolds):
            if unfold > 0:
                v = h @ weights.w_h[:, 0]
            f = NONLINEARITIES[self.nonlinearity](u + v)
            h = (h + dt * f * weights.a) / (1 + dt * (weights.leak + f))
        return h

    readout = parts.readout
    step = parts.step
    recurrent = parts.recurrent
