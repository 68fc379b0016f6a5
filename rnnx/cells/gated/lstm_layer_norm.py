"""Long short-term memory whose sums are normalised."""

from typing import NamedTuple

import jax.numpy as jnp
from jax import Array
from jax.nn import sigmoid

from rnnx.cells import parts
from rnnx.cells.gated.lstm import State, zero_state
from rnnx.types import cell, one_of

SUMS = {"apart": 2, "gates": 1, "none": 0}  # how many sums of [4, N] are normalised


class Params(NamedTuple):
    w_x: Array  # [D, 4, N], gates i, f, g, o
    w_h: Array  # [N, 4, N]
    b: Array  # [4, N]
    gain: Array | None  # [2, 4, N] of W_h h and W_x x, or [1, 4, N] of their sum
    shift: Array | None
    gain_c: Array  # [N]
    shift_c: Array  # [N]


def step(
    params: Params, state: State, x: Array, *, sums: str = "apart", carried: bool = False, epsilon: float = 1e-5
) -> tuple[State, Array]:
    """One step for `lax.scan`: `LSTMLayerNorm.step` without a configuration. x [D] -> (State(h, c), h)."""
    inputs, _, units = params.w_x.shape
    return LSTMLayerNorm(inputs, units, sums, carried, epsilon).step(params, state, x)


def normal(z: Array, gain: Array, shift: Array, axis: int | None, epsilon: float) -> Array:
    """LN(z) = gain * (z - mean) / sqrt(variance + epsilon) + shift. A number alone in its group stays as it is."""
    if (z.size if axis is None else z.shape[axis]) == 1:
        return gain * z + shift
    apart = z - jnp.mean(z, axis, keepdims=True)
    return gain * apart / jnp.sqrt(jnp.mean(apart * apart, axis, keepdims=True) + epsilon) + shift


@cell
class LSTMLayerNorm:
    """Long short-term memory with layer normalisation.

        a       = LN(W_h h_{t-1}) + LN(W_x x_t) + b    [4, N]
        i, f, o = sigmoid(a)                           [N] each
        g       = tanh(a)                              [N]
        c_t     = f * c_{t-1} + i * g                  [N]
        h_t     = o * tanh(LN(c_t))                    [N]
        y_t     = h_t

        LN(z)   = gain * (z - mean(z)) / sqrt(mean((z - mean(z))^2) + epsilon) + shift

    Mean and variance of the first two are over all 4 N numbers together, and each LN has a gain and a shift for
    every number. `sums="gates"` takes a = LN(W_h h_{t-1} + W_x x_t) + b gate by gate, as TensorFlow's
    LayerNormBasicLSTMCell does; "none" leaves a alone, as the paper's for images and its Torch module do.
    `carried=True` keeps the normalised c for the next step, as TensorFlow and torch's example do. A single unit
    has no others to be compared with: its c is not normalised. The update mixes units: the cell is not Pointwise.
    The state (h, c) is zero at the start.

    Initial values: orthogonal W_h gate by gate, gains 1, shifts and biases 0, as in the authors' code, whose W_x is
    "normal:0.01", small beside epsilon for few inputs. `forget_bias` and `forget_init` as `LSTM`. The paper gives no
    epsilon; 1e-5 is that code's.

    Elsewhere: none of torch, Keras, Flax, Haiku, Equinox.

    Source: Ba, Kiros & Hinton 2016 (arXiv:1607.06450), eq. 20-22 of the supplement, and the code they point to.

    Cost: 8 N (D + N) flops a step, and two passes over 9 N numbers.
    """

    inputs: int
    units: int
    sums: str = "apart"
    carried: bool = False
    epsilon: float = 1e-5
    forget_bias: float = 0.0
    forget_init: str = "constant"
    recurrent_init: str = "orthogonal"
    input_init: str = "glorot_uniform"
    bias_init: str = "zeros"

    def __post_init__(self):
        parts.check(self)
        one_of("LSTMLayerNorm.sums", self.sums, SUMS)
        if not self.epsilon > 0:
            raise ValueError(f"LSTMLayerNorm.epsilon got {self.epsilon}; write a number above 0, such as 1e-5")

    powers = ("factored",)
    outputs = property(parts.outputs)

    def init(self, key: Array) -> Params:
        w_x, w_h, b = parts.gates(self, key, 4, keeps=1, takes=0)
        gain = jnp.ones((SUMS[self.sums], *b.shape), b.dtype) if self.sums != "none" else None
        shift = jnp.zeros_like(gain) if gain is not None else None
        return Params(w_x, w_h, b, gain, shift, jnp.ones_like(b[0]), jnp.zeros_like(b[0]))

    prepare = parts.prepare
    initial_state = zero_state

    def drive(self, weights: Params, x: Array) -> Array:
        """u = LN(W_x x) + b, W_x x + b, or W_x x where the sum is normalised    [4, N]"""
        u = parts.product(x, weights.w_x)
        if self.sums == "gates":
            return u
        if weights.gain is not None and weights.shift is not None:
            u = normal(u, weights.gain[1], weights.shift[1], None, self.epsilon)
        return u + weights.b

    recur = parts.recur

    def update(self, weights: Params, state: State, u, v) -> State:
        if weights.gain is None or weights.shift is None:
            i, f, g, o = u + v
        elif self.sums == "apart":
            i, f, g, o = u + normal(v, weights.gain[0], weights.shift[0], None, self.epsilon)
        else:
            i, f, g, o = normal(u + v, weights.gain[0], weights.shift[0], 1, self.epsilon) + weights.b
        c = sigmoid(f) * state.c + sigmoid(i) * jnp.tanh(g)
        normed = normal(c, weights.gain_c, weights.shift_c, 0, self.epsilon)
        return State(sigmoid(o) * jnp.tanh(normed), normed if self.carried else c)

    readout = parts.readout
    step = parts.step
