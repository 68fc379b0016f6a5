"""Unitary evolution: a complex recurrent network whose matrix is a product of simple unitary ones."""

import math
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jax import Array

from rnnx.cells import parts
from rnnx.cells.initialisers import uniform
from rnnx.cells.unitary import modrelu
from rnnx.cells.unitary.modrelu import ComplexWeights, State
from rnnx.cells.unitary.rotations import polish, product, real
from rnnx.types import cell


class Params(NamedTuple):
    w_x: Array  # [D, 2, N], real and imaginary part
    w: Array  # [3, N], the angles of D_1, D_2, D_3
    v: Array  # [2, 2, N], of R_1 and R_2, real and imaginary part
    b: Array  # [N], of modReLU
    h_0: Array  # [2, N], real and imaginary part


def step(weights: ComplexWeights, state: State, x: Array) -> tuple[State, Array]:
    """One step for `lax.scan`: `URNN.step` without a configuration. x [D] -> (State(re, im), y [2N]).

    weights = URNN(...).prepare(params), once, outside the loop.
    """
    inputs, _, units = weights.w_x.shape
    return URNN(inputs, units).step(weights, state, x)


@cell
class URNN:
    """Unitary evolution RNN: N complex units, a unitary recurrent matrix of 7 N parameters.

        W   = D_3 R_2 F^-1 D_2 Pi R_1 F D_1      [N, N], complex
        h_t = modReLU(W h_{t-1} + W_x x_t)       [N], complex
        y_t = (Re h_t, Im h_t)                   [2N]

    D_k is diagonal, exp(i w_k); R_k = I - 2 v_k v_k^* / |v_k|^2; F is the unitary Fourier transform; Pi takes row p(j)
    to row j, p the permutation drawn with `seed`. modReLU(z) = max(|z| + b, 0) z / |z|. W is made once per scan, as a
    dense matrix: a step costs N^2 where the paper's factors cost N log N. The outputs are twice the units. The state
    (re, im) starts at h_0, which is learned.

    Initial values: the angles from U(-pi, pi), v from U(-1, 1), h_0 from U(-a, a), a = sqrt(3 / 2N), so that the mean
    of |h_0|^2 is 1; W_x Glorot uniform, its real and imaginary part side by side; b zero, where the cell is linear
    (U(-0.01, 0.01) in the authors' code).

    Elsewhere: none of torch, Keras, Flax, Haiku, Equinox.

    Source: Arjovsky, Shah & Bengio 2016 (arXiv:1511.06464), eq. 6-9 and section 4.3; p, on which the paper is silent,
    as in the authors' code (github.com/amarshah/complex_RNN), which also adds 1e-5 to the |z| it divides by.

    Cost: 4 N (D + 2 N) flops a step, about 16 N^3 once per scan.
    """

    inputs: int
    units: int
    seed: int = 0
    input_init: str = "glorot_uniform_fused"
    bias_init: str = "zeros"

    powers = ("factored", "pointwise")

    def __post_init__(self):
        modrelu.check(self)
        if self.seed < 0:
            raise ValueError(f"URNN.seed got {self.seed}; write a whole number of at least 0")

    outputs = property(modrelu.complex_outputs)

    def init(self, key: Array) -> Params:
        key_x, key_w, key_v, key_h = jax.random.split(key, 4)
        w_x, b = modrelu.input_weights(self, key_x, 2)
        return Params(
            w_x=w_x,
            w=uniform(key_w, (3, 1, self.units), b.dtype, math.pi)[:, 0],
            v=uniform(key_v, (2, 2, self.units), b.dtype, 1.0),
            b=b,
            h_0=uniform(key_h, (2, 1, self.units), b.dtype, math.sqrt(1.5 / self.units))[:, 0],
        )

    @parts.widely
    def prepare(self, params: Params) -> ComplexWeights:
        p = np.random.default_rng(self.seed).permutation(self.units)
        d_1, d_2, d_3 = jax.lax.complex(jnp.cos(params.w), jnp.sin(params.w))
        v_1, v_2 = jax.lax.complex(params.v[:, 0], params.v[:, 1])
        w = jnp.fft.fft(jnp.diag(d_1), axis=0, norm="ortho")
        w = d_2[:, None] * _reflect(v_1, w)[p]
        w = d_3[:, None] * _reflect(v_2, jnp.fft.ifft(w, axis=0, norm="ortho"))
        return ComplexWeights(params.w_x, real(polish(w)), params.b, params.h_0)

    initial_state = modrelu.complex_initial_state
    drive = modrelu.drive
    recur = modrelu.complex_recur
    update = modrelu.complex_update
    readout = modrelu.complex_readout
    step = parts.step
    recurrent = modrelu.complex_recurrent


def _reflect(v: Array, w: Array) -> Array:
    """(I - 2 v v^* / |v|^2) w"""
    along = product(v.conj(), w) * (2 / jnp.sum(jnp.square(v.real) + jnp.square(v.imag))).astype(v.dtype)
    return w - v[:, None] * along[None]
