"""Long expressive memory."""

from typing import NamedTuple

import jax.numpy as jnp
from jax import Array
from jax.nn import sigmoid

from rnnx.cells import parts
from rnnx.types import cell


class Params(NamedTuple):
    w_x: Array  # [D, 4, N], rows 1, 2, z, y
    w_h: Array  # [N, 3, N], rows 1, 2, z
    w_y: Array  # [N, N], of z_t
    b: Array  # [4, N]


class State(NamedTuple):
    y: Array  # [N]
    z: Array  # [N]


def step(params: Params, state: State, x: Array, *, dt: float = 1.0) -> tuple[State, Array]:
    """One step for `lax.scan`: `LEM.step` without a configuration. x [D] -> (State(y, z), y)."""
    inputs, _, units = params.w_x.shape
    return LEM(inputs, units, dt).step(params, state, x)


@cell
class LEM:
    """Long expressive memory: two states, each unit of each with a time scale that is learned and depends on x and y.

        d_1 = dt sigmoid(W_1 y_{t-1} + V_1 x_t + b_1)                                   [N]
        d_2 = dt sigmoid(W_2 y_{t-1} + V_2 x_t + b_2)                                   [N]
        z_t = (1 - d_1) * z_{t-1} + d_1 * tanh(W_z y_{t-1} + V_z x_t + b_z)             [N]
        y_t = (1 - d_2) * y_{t-1} + d_2 * tanh(W_y z_t + V_y x_t + b_y)                 [N]

    W_y multiplies the z of this very step, so that product stands in the update: the cell is not Pointwise. Both states
    stay within (-1, 1) while dt <= 1. The state (y, z) is zero at the start; the output is y.

    The authors tune dt for each task: 0.21 for sequential, 0.31 for permuted MNIST, 0.0242 for the adding problem.

    Initial values: U(-1/sqrt(N), 1/sqrt(N)) for all matrices and biases, as the authors draw them; their program has
    two biases in each sum ("uniform_units_twice"), its CUDA version one ("uniform_units").

    Elsewhere: none of torch, Keras, Flax, Haiku, Equinox.

    Source: Rusch, Mishra, Erichson & Mahoney 2022 (arXiv:2110.04744), eq. 3.

    Cost: 8 N (D + N) flops a step.
    """

    inputs: int
    units: int
    dt: float = 1.0
    recurrent_init: str = "uniform_units"
    input_init: str = "uniform_units"
    bias_init: str = "uniform_units_twice"

    powers = ("factored",)

    def __post_init__(self):
        parts.check(self)
        if self.dt <= 0:
            raise ValueError(f"LEM.dt got {self.dt}; write a step size above 0, such as 1")

    outputs = property(parts.outputs)

    def init(self, key: Array) -> Params:
        w_x, w_h, b = parts.gates(self, key, 4)
        return Params(w_x, w_h[:, :3], w_h[:, 3], b)

    prepare = parts.prepare

    def initial_state(self, weights: Params) -> State:
        zero = jnp.zeros_like(weights.b[0])
        return State(zero, zero)

    drive = parts.drive
    recur = parts.recur

    def update(self, weights: Params, state: State, u, v) -> State:
        y, z = state
        u1, u2, uz, uy = u
        v1, v2, vz = v
        d1 = self.dt * sigmoid(u1 + v1)
        d2 = self.dt * sigmoid(u2 + v2)
        z = (1 - d1) * z + d1 * jnp.tanh(uz + vz)
        y = (1 - d2) * y + d2 * jnp.tanh(uy + z @ weights.w_y)
        return State(y, z)

    readout = parts.readout
    step = parts.step
