"""The minimal RNN, whose states stay among its encoded inputs."""

from typing import NamedTuple

import jax
import jax.numpy as jnp
from jax import Array
from jax.nn import sigmoid

from rnnx.cells import initialisers, parts
from rnnx.cells.memory import remember
from rnnx.types import cell, one_of

NONLINEARITIES = {"tanh": jnp.tanh, "relu": parts.relu, "identity": lambda x: x}


class Params(NamedTuple):
    w_x: Array  # [D, 1, N], z
    w_z: Array  # [N, 1, N], u
    w_h: Array  # [N, 1, N], u
    b: Array  # [2, N], z, u


def step(params: Params, state: Array, x: Array, *, nonlinearity: str = "tanh") -> tuple[Array, Array]:
    """One step for `lax.scan`: `MinimalRNN.step` without a configuration. State h [N], x [D] -> (h, h)."""
    inputs, _, units = params.w_x.shape
    return MinimalRNN(inputs, units, nonlinearity).step(params, state, x)


@cell
class MinimalRNN:
    """Minimal RNN: the new state lies between the old one and the encoded input, unit by unit.

        z   = Phi(W_x x_t + b)                              [N]
        u   = sigmoid(U_h h_{t-1} + U_z z + b)              [N]
        h_t = u * h_{t-1} + (1 - u) * z                     [N]
        y_t = h_t

    The input goes nowhere but through z, so the states stay in the space of the encoded inputs. Phi may be any
    function in the paper; here it is one layer, with `nonlinearity` tanh (the paper's), relu or identity. u keeps
    the old state. The state h is an array [N], zero at the start.

    Initial values: Glorot uniform, biases zero. `recurrent_init` draws U_h and U_z ("orthogonal" for the isometry of
    Chen, Pennington & Schoenholz 2018, arXiv:1806.05394). `forget_bias` is added to the bias of u, `forget_init`
    draws it ("constant", "chrono:T", "uniform_gate").

    Elsewhere: none of torch, Keras, Flax, Haiku, Equinox.

    Source: Chen 2017 (arXiv:1711.06788), the equations of z_t, h_t and u_t of its model.

    Cost: 2 N (D + 2 N) flops a step.
    """

    inputs: int
    units: int
    nonlinearity: str = "tanh"
    forget_bias: float = 0.0
    forget_init: str = "constant"
    recurrent_init: str = "glorot_uniform"
    input_init: str = "glorot_uniform"
    bias_init: str = "zeros"

    powers = ("factored", "pointwise")

    def __post_init__(self):
        parts.check(self)
        one_of("MinimalRNN.nonlinearity", self.nonlinearity, NONLINEARITIES)

    outputs = property(parts.outputs)

    def init(self, key: Array) -> Params:
        dtype = jnp.zeros(()).dtype
        key_x, key_z, key_h, key_b, key_f = jax.random.split(key, 5)
        w_x = initialisers.draw(self.input_init, key_x, (self.inputs, 1, self.units), dtype)
        w_z = initialisers.draw(self.recurrent_init, key_z, (self.units, 1, self.units), dtype)
        w_h = initialisers.draw(self.recurrent_init, key_h, (self.units, 1, self.units), dtype)
        b = initialisers.draw(self.bias_init, key_b, (1, 2, self.units), dtype)[0]
        return Params(w_x, w_z, w_h, remember(self, key_f, b, keeps=1))

    prepare = parts.prepare
    initial_state = parts.initial_state

    def drive(self, weights: Params, x: Array) -> Array:
        """z and U_z z + b    [2, N]"""
        bz, bu = weights.b
        z = NONLINEARITIES[self.nonlinearity](parts.product(x, weights.w_x)[0] + bz)
        return jnp.stack([z, parts.product(z, weights.w_z)[0] + bu])

    recur = parts.recur

    def update(self, weights: Params, state: Array, u, v) -> Array:
        del weights
        h = state
        z, uu = u
        (vu,) = v
        u = sigmoid(uu + vu)
        return u * h + (1 - u) * z

    readout = parts.readout
    step = parts.step
    recurrent = parts.recurrent
