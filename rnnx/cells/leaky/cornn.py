"""The coupled oscillatory recurrent network."""

from typing import NamedTuple

import jax
import jax.numpy as jnp
from jax import Array

from rnnx.cells import parts
from rnnx.cells.initialisers import draw
from rnnx.types import Recurrent, cell


class Params(NamedTuple):
    w_x: Array  # [D, 1, N]
    w_h: Array  # [2 N, 1, N], of y and below it of z
    b: Array  # [1, N]


class State(NamedTuple):
    y: Array  # [N], where the oscillators are
    z: Array  # [N], how fast they move


def step(
    params: Params,
    state: State,
    x: Array,
    *,
    dt: float = 0.042,
    gamma: float = 2.7,
    epsilon: float = 4.7,
    implicit: bool = False,
) -> tuple[State, Array]:
    """One step for `lax.scan`: `CoRNN.step` without a configuration. x [D] -> (State(y, z), y)."""
    inputs, _, units = params.w_x.shape
    return CoRNN(inputs, units, dt, gamma, epsilon, implicit).step(params, state, x)


@cell
class CoRNN:
    """Coupled oscillatory RNN: y'' = tanh(W y + W_z y' + V x + b) - gamma y - epsilon y', in steps of dt.

        z_t = z_{t-1} + dt (tanh(W y_{t-1} + W_z z_{t-1} + V x_t + b) - gamma y_{t-1} - epsilon z_{t-1})    [N]
        y_t = y_{t-1} + dt z_t                                                                              [N]

    W and W_z are the upper and the lower half of one matrix. `implicit` damps with z_t in place of z_{t-1}, which
    divides by 1 + dt epsilon: so eq. 3 is written, and so gamma |y|^2 + |z|^2 <= N t holds where epsilon is at least
    (1 + gamma dt) / 2. The authors' programs, and so their results, have the other, the default. y moves by the new z
    either way. The state (y, z) is zero at the start; the output is y.

    dt, gamma and epsilon are those of the authors' sequential MNIST; permuted MNIST has 0.076, 0.4, 8, the adding
    problem 0.06, 66, 15. They must be tuned.

    Initial values: U(-1/sqrt(N), 1/sqrt(N)) for W and W_z, as two separate linear layers of torch (the authors' noisy
    CIFAR-10). Their other programs have one layer for all of (x, z, y), so 1/sqrt(D + 2 N) for all entries and the
    bias: write that number, "uniform:0.0442" for D = 1 and N = 256.

    Elsewhere: none of torch, Keras, Flax, Haiku, Equinox.

    Source: Rusch & Mishra 2021 (arXiv:2010.00951), eq. 3; the explicit damping as in the authors' code.

    Cost: 2 N (D + 2 N) flops a step.
    """

    inputs: int
    units: int
    dt: float = 0.042
    gamma: float = 2.7
    epsilon: float = 4.7
    implicit: bool = False
    recurrent_init: str = "uniform_units"
    input_init: str = "uniform_units"
    bias_init: str = "uniform_units"

    powers = ("factored", "pointwise")

    def __post_init__(self):
        parts.check(self)
        if self.dt <= 0:
            raise ValueError(f"CoRNN.dt got {self.dt}; write a step size above 0, such as 0.042")
        if self.implicit and 1 + self.dt * self.epsilon <= 0:
            raise ValueError(f"CoRNN.epsilon got {self.epsilon}; write a number above -1 / dt = {-1 / self.dt}")

    outputs = property(parts.outputs)

    def init(self, key: Array) -> Params:
        dtype = jnp.zeros(()).dtype
        key_x, key_h, key_b = jax.random.split(key, 3)
        w_x = draw(self.input_init, key_x, (self.inputs, 1, self.units), dtype)
        w_y, w_z = (draw(self.recurrent_init, k, (self.units, 1, self.units), dtype) for k in jax.random.split(key_h))
        b = draw(self.bias_init, key_b, (1, 1, self.units), dtype)[0]
        return Params(w_x, jnp.concatenate((w_y, w_z)), b)

    prepare = parts.prepare

    def initial_state(self, weights: Params) -> State:
        zero = jnp.zeros_like(weights.b[0])
        return State(zero, zero)

    drive = parts.drive

    def recur(self, weights: Params, state: State) -> Array:
        return parts.product(jnp.concatenate(state), weights.w_h)

    def update(self, weights: Params, state: State, u, v) -> State:
        del weights
        (y, z), (u,), (v,) = state, u, v
        force = jnp.tanh(u + v) - self.gamma * y
        if self.implicit:
            z = (z + self.dt * force) / (1 + self.dt * self.epsilon)
        else:
            z = z + self.dt * (force - self.epsilon * z)
        return State(y + self.dt * z, z)

    readout = parts.readout
    step = parts.step

    def recurrent(self, weights: Params) -> Recurrent:
        return Recurrent("dense", weights.w_h, (0, 1))
