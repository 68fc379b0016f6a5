"""The multiplicative RNN."""

from typing import NamedTuple

import jax
import jax.numpy as jnp
from jax import Array

from rnnx.cells import initialisers, parts
from rnnx.types import cell


class Params(NamedTuple):
    w_x: Array  # [D, 1, N], W_hx: input to hidden
    w_fx: Array  # [D, 1, F], W_fx: input to factors
    w_h: Array  # [N, 1, F], W_fh: hidden to factors
    w_f: Array  # [F, 1, N], W_hf: factors to hidden
    b: Array  # [1, N]


def step(params: Params, state: Array, x: Array) -> tuple[Array, Array]:
    """One step for `lax.scan`: `MRNN.step` without a configuration. State h [N], x [D] -> (h, h)."""
    inputs, _, units = params.w_x.shape
    return MRNN(inputs, units).step(params, state, x)


@cell
class MRNN:
    """Multiplicative RNN: each input makes its own recurrent matrix W_hf diag(W_fx x_t) W_fh.

        f   = (W_fx x_t) * (W_fh h_{t-1})           [F]
        h_t = tanh(W_hf f + W_hx x_t + b)           [N]
        y_t = h_t

    It is the factored form of a network with a matrix for every symbol. `factors` is F, 0 stands for F = N. The
    state h is an array [N], zero at the start.

    Initial values: Glorot uniform, b zero. `recurrent_init` draws W_fh and W_hf, `input_init` the other two.

    Elsewhere: none of torch, Keras, Flax, Haiku, Equinox.

    Source: Sutskever, Martens & Hinton 2011 (Proceedings of ICML 28, 1017-1024), the equations of f_t and h_t of
    its MRNN.

    Cost: 2 (D + 2 N) F + 2 D N flops a step.
    """

    inputs: int
    units: int
    factors: int = 0
    recurrent_init: str = "glorot_uniform"
    input_init: str = "glorot_uniform"
    bias_init: str = "zeros"

    powers = ("factored",)

    def __post_init__(self):
        parts.check(self)
        if self.factors < 0:
            raise ValueError(f"MRNN.factors got {self.factors}; write a number of factors, or 0 for one a unit")

    outputs = property(parts.outputs)

    def init(self, key: Array) -> Params:
        dtype = jnp.zeros(()).dtype
        factors = self.factors or self.units
        key_x, key_fx, key_h, key_f, key_b = jax.random.split(key, 5)
        return Params(
            initialisers.draw(self.input_init, key_x, (self.inputs, 1, self.units), dtype),
            initialisers.draw(self.input_init, key_fx, (self.inputs, 1, factors), dtype),
            initialisers.draw(self.recurrent_init, key_h, (self.units, 1, factors), dtype),
            initialisers.draw(self.recurrent_init, key_f, (factors, 1, self.units), dtype),
            initialisers.draw(self.bias_init, key_b, (1, 1, self.units), dtype)[0],
        )

    prepare = parts.prepare
    initial_state = parts.initial_state

    def drive(self, weights: Params, x: Array) -> tuple[Array, Array]:
        """W_hx x + b and W_fx x    [N] and [F]"""
        return parts.drive(self, weights, x)[0], parts.product(x, weights.w_fx)[0]

    recur = parts.recur

    def update(self, weights: Params, state: Array, u, v) -> Array:
        del state
        ux, uf = u
        (vf,) = v
        f = uf * vf
        return jnp.tanh(parts.product(f, weights.w_f)[0] + ux)

    readout = parts.readout
    step = parts.step
