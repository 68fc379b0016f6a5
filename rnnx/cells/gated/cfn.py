"""The chaos-free network."""

from typing import NamedTuple

import jax
import jax.numpy as jnp
from jax import Array
from jax.nn import sigmoid

from rnnx.cells import parts
from rnnx.cells.memory import remember
from rnnx.types import cell


class Params(NamedTuple):
    w_x: Array  # [D, 3, N], gates theta, eta, and the input W
    w_h: Array  # [N, 2, N], gates theta, eta
    b: Array  # [2, N]
    h_inf: Array | None  # [N], the state at rest; None where it is zero


def step(params: Params, state: Array, x: Array) -> tuple[Array, Array]:
    """One step for `lax.scan`: `CFN.step` without a configuration. State h [N], x [D] -> (h, h)."""
    inputs, _, units = params.w_x.shape
    return CFN(inputs, units).step(params, state, x)


@cell
class CFN:
    """Chaos-free network: without input every state decays to zero, whatever the weights.

        theta, eta = sigmoid(W_x x_t + W_h h_{t-1} + b)             [N] each
        h_t        = theta * tanh(h_{t-1}) + eta * tanh(W x_t)      [N]
        y_t        = h_t

    theta is the horizontal (forget) gate, eta the vertical (input) gate; W x_t has no bias, so that no input means
    no drive. `rest` learns a state to decay to: h - h_inf in place of h in the second equation, not in the gates.
    The state h is an array [N], zero at the start.

    Initial values: all matrices U(-0.07, 0.07); the biases are `forget_bias` = 1 for theta and `input_bias` = -1
    for eta, h_inf is zero. `forget_init` draws both ("chrono:T", "uniform_gate": b_eta = -b_theta).

    Elsewhere: none of torch, Keras, Flax, Haiku, Equinox.

    Source: Laurent & von Brecht 2016 (arXiv:1612.06212), eq. 1-2; h_inf: end of section 2.1; initial values:
    section 3.

    Cost: 2 N (3 D + 2 N) flops a step.
    """

    inputs: int
    units: int
    rest: bool = False
    forget_bias: float = 1.0
    input_bias: float = -1.0
    forget_init: str = "constant"
    recurrent_init: str = "uniform:0.07"
    input_init: str = "uniform:0.07"
    bias_init: str = "zeros"

    powers = ("factored", "pointwise")
    __post_init__ = parts.check
    outputs = property(parts.outputs)

    def init(self, key: Array) -> Params:
        key_w, key_f = jax.random.split(key)
        w_x, w_h, b = parts.gates(self, key_w, 3)
        b = remember(self, key_f, b[:2].at[1].add(self.input_bias), keeps=0, takes=1)
        return Params(w_x, w_h[:, :2], b, jnp.zeros_like(b[0]) if self.rest else None)

    prepare = parts.prepare
    initial_state = parts.initial_state

    def drive(self, weights: Params, x: Array) -> Array:
        """u = W_x x, with b for the gates alone    [3, N]"""
        u = parts.product(x, weights.w_x)
        return jnp.concatenate([u[:2] + weights.b, u[2:]])

    recur = parts.recur

    def update(self, weights: Params, state: Array, u, v) -> Array:
        h = state
        ut, ue, ux = u
        vt, ve = v
        theta = sigmoid(ut + vt)
        eta = sigmoid(ue + ve)
        if weights.h_inf is None:
            return theta * jnp.tanh(h) + eta * jnp.tanh(ux)
        return weights.h_inf + theta * jnp.tanh(h - weights.h_inf) + eta * jnp.tanh(ux)

    readout = parts.readout
    step = parts.step
    recurrent = parts.recurrent
