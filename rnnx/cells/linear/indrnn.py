"""The independently recurrent network."""

from typing import NamedTuple

import jax
import jax.numpy as jnp
from jax import Array

from rnnx.cells import initialisers, parts
from rnnx.types import Recurrent, cell, one_of

NONLINEARITIES = {"relu": parts.relu, "tanh": jnp.tanh, "identity": lambda x: x}


class Params(NamedTuple):
    w_x: Array  # [D, 1, N]
    u: Array  # [1, N]
    b: Array  # [1, N]


def step(params: Params, state: Array, x: Array, *, nonlinearity: str = "relu") -> tuple[Array, Array]:
    """One step for `lax.scan`: `IndRNN.step` without a configuration. State h [N], x [D] -> (h, h)."""
    inputs, _, units = params.w_x.shape
    return IndRNN(inputs, units, nonlinearity).step(params, state, x)


@cell
class IndRNN:
    """Independently recurrent network: each unit sees no unit but itself.

        h_t = phi(W_x x_t + u * h_{t-1} + b)    [N]
        y_t = h_t

    While unit n is active, relu lets the gradient through k steps grow or shrink as u_n^k: |u| <= 2^(1/T), the
    attribute `bound`, keeps it below 2 over T = `span` steps. The authors clip u to it after every training step,
    `jnp.clip(u, -cell.bound, cell.bound)`, and initial values alone do not. `nonlinearity` phi is relu, tanh or
    identity, which makes the cell affine. The state h is an array [N], zero at the start.

    Initial values: u from U(0, 2^(1/T)), or with `last`, for the last layer of a stack, from U(2^(-1/T), 2^(1/T)):
    units that all remember T steps; `magnitude` is the 2. W_x Glorot uniform here, "normal:0.001" in the authors'
    adding task; b zero.

    Elsewhere: none of torch, Keras, Flax, Haiku, Equinox.

    Source: Li, Li, Cook, Zhu & Gao 2018 (arXiv:1803.04831), section 3, and the authors' code for the initial values.

    Cost: 2 N (D + 1) flops a step.
    """

    inputs: int
    units: int
    nonlinearity: str = "relu"
    span: float = 100.0
    magnitude: float = 2.0
    last: bool = False
    input_init: str = "glorot_uniform"
    bias_init: str = "zeros"

    kind = "diagonal"

    def __post_init__(self):
        parts.check(self)
        one_of("IndRNN.nonlinearity", self.nonlinearity, NONLINEARITIES)
        for name in ("span", "magnitude"):
            if getattr(self, name) < 1:
                raise ValueError(f"IndRNN.{name} got {getattr(self, name)}; write a number of at least 1")

    outputs = property(parts.outputs)

    @property
    def powers(self) -> tuple[str, ...]:
        return ("factored", "pointwise") + (("affine",) if self.nonlinearity == "identity" else ())

    @property
    def bound(self) -> float:
        """magnitude^(1 / span), the largest |u| whose gradient stays below `magnitude` over `span` steps."""
        return self.magnitude ** (1 / self.span)

    def init(self, key: Array) -> Params:
        dtype = jnp.zeros(()).dtype
        key_x, key_u, key_b = jax.random.split(key, 3)
        least = 1 / self.bound if self.last else 0.0
        return Params(
            w_x=initialisers.draw(self.input_init, key_x, (self.inputs, 1, self.units), dtype),
            u=jax.random.uniform(key_u, (1, self.units), dtype, least, self.bound),
            b=initialisers.draw(self.bias_init, key_b, (1, 1, self.units), dtype)[0],
        )

    prepare = parts.prepare
    initial_state = parts.initial_state
    drive = parts.drive

    def recur(self, weights: Params, state: Array) -> Array:
        """v = u * h    [1, N]"""
        return weights.u * state[None]

    def update(self, weights: Params, state: Array, u, v) -> Array:
        del weights, state
        (u,), (v,) = u, v
        return NONLINEARITIES[self.nonlinearity](u + v)

    readout = parts.readout
    step = parts.step

    def recurrent(self, weights: Params) -> Recurrent:
        return Recurrent("diagonal", weights.u, (0,))

    def coefficients(self, weights: Params, x: Array) -> tuple[Array, Array]:
        """(a, b) of h_t = a * h_{t-1} + b, for the identity."""
        return weights.u[0], self.drive(weights, x)[0]
