"""The update gate RNN."""

from typing import NamedTuple

import jax.numpy as jnp
from jax import Array
from jax.nn import sigmoid

from rnnx.cells import parts
from rnnx.types import cell, one_of

NONLINEARITIES = {"tanh": jnp.tanh, "relu": parts.relu}


class Params(NamedTuple):
    w_x: Array  # [D, 2, N], gates c, g
    w_h: Array  # [N, 2, N]
    b: Array  # [2, N]


def step(params: Params, state: Array, x: Array, *, nonlinearity: str = "tanh") -> tuple[Array, Array]:
    """One step for `lax.scan`: `UGRNN.step` without a configuration. State h [N], x [D] -> (h, h)."""
    inputs, _, units = params.w_x.shape
    return UGRNN(inputs, units, nonlinearity).step(params, state, x)


@cell
class UGRNN:
    """Update gate RNN: a simple recurrent network with one gate, a highway layer through time.

        c   = s(W_x x_t + W_h h_{t-1} + b)          [N]
        g   = sigmoid(W_x x_t + W_h h_{t-1} + b)    [N]
        h_t = g * h_{t-1} + (1 - g) * c             [N]
        y_t = h_t

    `nonlinearity` s is tanh or relu. g keeps the old state. The paper's b^fg, a number added to the gate and tuned,
    is `forget_bias`, which goes into b when it is drawn. The state h is an array [N], zero at the start (the paper
    learns it).

    Initial values: Glorot uniform gate by gate, biases zero, `forget_bias` 1 (the default of the authors' cell in
    TensorFlow 1; the paper tunes it). `forget_init` draws that bias ("constant", "chrono:T", "uniform_gate").

    Elsewhere: none of torch, Keras, Flax, Haiku, Equinox; TensorFlow 1 `contrib.rnn.UGRNNCell`.

    Source: Collins, Sohl-Dickstein & Sussillo 2016 (arXiv:1611.09913), eq. 2-4.

    Cost: 4 N (D + N) flops a step.
    """

    inputs: int
    units: int
    nonlinearity: str = "tanh"
    forget_bias: float = 1.0
    forget_init: str = "constant"
    recurrent_init: str = "glorot_uniform"
    input_init: str = "glorot_uniform"
    bias_init: str = "zeros"

    powers = ("factored", "pointwise")

    def __post_init__(self):
        parts.check(self)
        one_of("UGRNN.nonlinearity", self.nonlinearity, NONLINEARITIES)

    outputs = property(parts.outputs)

    def init(self, key: Array) -> Params:
        return Params(*parts.gates(self, key, 2, keeps=1))

    prepare = parts.prepare
    initial_state = parts.initial_state
    drive = parts.drive
    recur = parts.recur

    def update(self, weights: Params, state: Array, u, v) -> Array:
        del weights
        h = state
        uc, ug = u
        vc, vg = v
        c = NONLINEARITIES[self.nonlinearity](uc + vc)
        g = sigmoid(ug + vg)
        return g * h + (1 - g) * c

    readout = parts.readout
    step = parts.step
    recurrent = parts.recurrent
