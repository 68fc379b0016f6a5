"""The undamped independent controlled oscillatory recurrent network."""

from typing import NamedTuple

import jax
import jax.numpy as jnp
from jax import Array
from jax.nn import sigmoid

from rnnx.cells import parts
from rnnx.cells.initialisers import draw
from rnnx.types import Recurrent, cell


class Params(NamedTuple):
    w_x: Array  # [D, 1, N]
    w: Array  # [1, N], each unit its own
    b: Array  # [1, N]
    c: Array  # [N], the step size of each unit before the sigmoid


class State(NamedTuple):
    y: Array  # [N]
    z: Array  # [N]


def step(params: Params, state: State, x: Array, *, dt: float = 0.19, alpha: float = 30.65) -> tuple[State, Array]:
    """One step for `lax.scan`: `UnICORNN.step` without a configuration. x [D] -> (State(y, z), y)."""
    inputs, _, units = params.w_x.shape
    return UnICORNN(inputs, units, dt, alpha).step(params, state, x)


@cell
class UnICORNN:
    """Undamped independent controlled oscillatory RNN: a Hamiltonian system, by the symplectic Euler method.

        d   = dt sigmoid(c)                                                         [N]
        z_t = z_{t-1} - d * (tanh(w * y_{t-1} + V x_t + b) + alpha y_{t-1})         [N]
        y_t = y_{t-1} + d * z_t                                                     [N]

    With the input at rest, H = |z|^2 / 2 + alpha |y|^2 / 2 + sum log cosh(w y + V x + b) / w is nearly constant. A step
    keeps volume and can be undone: y_{t-1} = y_t - d z_t, then z_{t-1}. No unit sees another one: this is one layer of
    the paper, which stacks several. It blows up where d^2 (alpha + w) > 4. The state (y, z) is zero at the start; the
    output is y.

    dt and alpha are those of the authors' permuted MNIST (3 layers); noisy CIFAR-10 has 0.126 and 13, the respiratory
    rate 0.011 and 9.

    Initial values: c is U(-0.1, 0.1), w the magnitude of what `recurrent_init` draws, so U(0, 1), b zero, as in the
    authors' code. Its V is `kaiming_uniform_` with a = 8, U(-a, a) with a = 0.304 / sqrt(D): write that number,
    "uniform:0.304" for D = 1; LeCun uniform, the default, is 5.7 times as wide.

    Elsewhere: none of torch, Keras, Flax, Haiku, Equinox.

    Source: Rusch & Mishra 2021 (arXiv:2103.05487), section 2; as `unicornn_fwd` of the authors' code computes it.

    Cost: 2 N D flops a step.
    """

    inputs: int
    units: int
    dt: float = 0.19
    alpha: float = 30.65
    recurrent_init: str = "uniform:1"
    input_init: str = "lecun_uniform"
    bias_init: str = "zeros"
    control_init: str = "uniform:0.1"

    powers = ("factored", "pointwise")

    def __post_init__(self):
        parts.check(self)
        if self.dt <= 0:
            raise ValueError(f"UnICORNN.dt got {self.dt}; write a step size above 0, such as 0.19")

    outputs = property(parts.outputs)

    def init(self, key: Array) -> Params:
        dtype = jnp.zeros(()).dtype
        key_x, key_w, key_b, key_c = jax.random.split(key, 4)
        w_x = draw(self.input_init, key_x, (self.inputs, 1, self.units), dtype)
        row = (1, 1, self.units)
        w = jnp.abs(draw(self.recurrent_init, key_w, row, dtype)[0])
        b = draw(self.bias_init, key_b, row, dtype)[0]
        return Params(w_x, w, b, draw(self.control_init, key_c, row, dtype)[0, 0])

    prepare = parts.prepare

    def initial_state(self, weights: Params) -> State:
        zero = jnp.zeros_like(weights.c)
        return State(zero, zero)

    drive = parts.drive

    def recur(self, weights: Params, state: State) -> Array:
        return weights.w * state.y[None]

    def update(self, weights: Params, state: State, u, v) -> State:
        (y, z), (u,), (v,) = state, u, v
        d = self.dt * sigmoid(weights.c)
        z = z - d * (jnp.tanh(u + v) + self.alpha * y)
        return State(y + d * z, z)

    readout = parts.readout
    step = parts.step

    def recurrent(self, weights: Params) -> Recurrent:
        return Recurrent("diagonal", weights.w, (0,))
