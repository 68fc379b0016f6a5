"""Efficient unitary network: a complex recurrent network whose matrix is layers of rotations of two units."""

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
from rnnx.cells.unitary.rotations import polish, real
from rnnx.types import cell, one_of


class Params(NamedTuple):
    w_x: Array  # [D, 2, N], real and imaginary part
    theta: Array  # [L, floor(N / 2)], the angles of the pairs of each layer; that of no pair counts for nothing
    phi: Array  # [L, floor(N / 2)]
    omega: Array  # [N]
    b: Array  # [N], of modReLU


def step(weights: ComplexWeights, state: State, x: Array) -> tuple[State, Array]:
    """One step for `lax.scan`: `EUNN.step` without a configuration. x [D] -> (State(re, im), y [2N]).

    weights = EUNN(...).prepare(params), once, outside the loop.
    """
    inputs, _, units = weights.w_x.shape
    return EUNN(inputs, units).step(weights, state, x)


@cell
class EUNN:
    """Efficient unitary neural network: N complex units, a unitary matrix of layers of 2 x 2 rotations.

        R_ij = ((cos(theta), -sin(theta) exp(i phi)), (sin(theta), cos(theta) exp(i phi)))    on units i < j
        W    = D F_L ... F_2 F_1                [N, N], complex; D diagonal, exp(i omega)
        h_t  = modReLU(W h_{t-1} + W_x x_t)     [N], complex
        y_t  = (Re h_t, Im h_t)                 [2N]

    Each layer F_l is R_ij for disjoint pairs, with a theta and a phi for every pair. `style="tunable"`: L = `capacity`
    layers, the odd ones (1, 2), (3, 4), ..., the even ones (2, 3), (4, 5), ...; with capacity N every unitary matrix
    is reached. `style="fft"`: log2(N) layers, which pair units N/2, N/4, ..., 1 apart; N must be a power of two.
    modReLU(z) = max(|z| + b, 0) z / |z|. W is made once per scan, as a dense matrix. The outputs are twice the units.
    The state (re, im) is zero at the start.

    Initial values: all angles from U(-pi, pi), W_x from U(-0.01, 0.01), b zero.

    Elsewhere: none of torch, Keras, Flax, Haiku, Equinox.

    Source: Jing et al. 2017 (arXiv:1612.05231), section 4, with the authors' code
    (github.com/jingli9111/EUNN-tensorflow), which takes even N and capacity and adds 0.01 to |z|. R is the code's: with
    the phase in the first row, as the paper prints it, those of the last layer only repeat D.

    Cost: 4 N (D + 2 N) flops a step, about (20 L + 16 N) N^2 once per scan.
    """

    inputs: int
    units: int
    capacity: int = 2
    style: str = "tunable"
    input_init: str = "uniform:0.01"
    bias_init: str = "zeros"

    powers = ("factored", "pointwise")

    def __post_init__(self):
        modrelu.check(self)
        one_of("EUNN.style", self.style, ("tunable", "fft"))
        if self.capacity < 1:
            raise ValueError(f"EUNN.capacity got {self.capacity}; write a whole number of at least 1")
        if self.style == "fft" and self.units & (self.units - 1):
            raise ValueError(f"EUNN.style got 'fft' with {self.units} units; write a power of two, or style='tunable'")

    outputs = property(modrelu.complex_outputs)

    def partners(self) -> np.ndarray:
        """[L, N]: the unit that each unit is rotated with, itself where there is none."""
        n, unit = self.units, np.arange(self.units)
        if self.style == "fft":
            return np.stack([unit ^ (n >> layer) for layer in range(1, n.bit_length())] or [unit])
        other = np.stack([unit ^ 1, ((unit + 1) ^ 1) - 1])
        other = np.where((other < 0) | (other >= n), unit, other)
        return other[np.arange(self.capacity) % 2]

    def init(self, key: Array) -> Params:
        key_x, key_theta, key_phi, key_omega = jax.random.split(key, 4)
        w_x, b = modrelu.input_weights(self, key_x, 2)
        shape = (len(self.partners()), 1, max(self.units // 2, 1))
        theta, phi = (uniform(k, shape, b.dtype, math.pi)[:, 0] for k in (key_theta, key_phi))
        return Params(w_x, theta, phi, uniform(key_omega, (1, 1, self.units), b.dtype, math.pi)[0, 0], b)

    @parts.widely
    def prepare(self, params: Params) -> ComplexWeights:
        other, unit = self.partners(), np.arange(self.units)
        first, second = other > unit, other < unit
        pair = np.cumsum(first, axis=1) - 1  # the number of the pair, told by its first unit
        pair = np.maximum(np.where(second, np.take_along_axis(pair, other, axis=1), pair), 0)
        theta, phi = (jnp.take_along_axis(angle, pair, axis=1) for angle in (params.theta, params.phi))
        cos, sin = jnp.cos(theta), jnp.sin(theta)
        # Row i of a layer, after the second of each pair has turned: `same` of unit i and `cross` of its partner.
        zero = jnp.zeros_like(sin)
        same = jnp.where(first | second, cos, jnp.ones_like(cos))
        cross = jnp.where(first, -sin, jnp.where(second, sin, zero))
        turn = _phase(jnp.where(second, phi, zero))

        def layer(w, this):
            same, cross, turn, other = this
            w = turn[:, None] * w
            return same[:, None].astype(w.dtype) * w + cross[:, None].astype(w.dtype) * w[other], None

        start = jnp.eye(self.units, dtype=turn.dtype)
        w, _ = jax.lax.scan(layer, start, (same, cross, turn, other))
        w = real(polish(_phase(params.omega)[:, None] * w))
        return ComplexWeights(params.w_x, w, params.b, jnp.zeros_like(params.b, shape=(2, self.units)))

    initial_state = modrelu.complex_initial_state
    drive = modrelu.drive
    recur = modrelu.complex_recur
    update = modrelu.complex_update
    readout = modrelu.complex_readout
    step = parts.step
    recurrent = modrelu.complex_recurrent


def _phase(angle: Array) -> Array:
    """exp(i angle)"""
    return jax.lax.complex(jnp.cos(angle), jnp.sin(angle))
