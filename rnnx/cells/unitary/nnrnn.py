"""Non-normal recurrent network: rotations and a feed-forward part in an orthogonal basis."""

import math
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jax import Array

from rnnx.cells import parts
from rnnx.cells.unitary import modrelu
from rnnx.cells.unitary.modrelu import Weights
from rnnx.cells.unitary.rotations import SKEW, orthogonal, product
from rnnx.types import cell


class Params(NamedTuple):
    w_x: Array  # [D, 1, N]
    a: Array  # [N, N], of which the entries above the diagonal count
    gamma: Array  # [ceil(N / 2)]
    theta: Array  # [ceil(N / 2)], the last one of an odd N counts for nothing
    t: Array  # [N, N], of which the entries below the blocks count
    b: Array  # [N], of modReLU


def step(weights: Weights, state: Array, x: Array) -> tuple[Array, Array]:
    """One step for `lax.scan`: `NNRNN.step` without a configuration. State h [N], x [D] -> (h, h).

    weights = NNRNN(...).prepare(params), once, outside the loop.
    """
    inputs, _, units = weights.w_x.shape
    return NNRNN(inputs, units).step(weights, state, x)


@cell
class NNRNN:
    """Non-normal RNN: a recurrent matrix with eigenvalues gamma exp(+-i theta) and any departure from normality.

        P   = exp(a - a^T), of the entries of a above the diagonal               [N, N]
        R_k = gamma_k ((cos theta_k, -sin theta_k), (sin theta_k, cos theta_k))   [2, 2]
        V   = P (diag(R_1, R_2, ...) + T) P^T                                     [N, N]
        h_t = modReLU(V h_{t-1} + W_x x_t)                                        [N]
        y_t = h_t

    modReLU(z) = sign(z) max(|z| + b, 0). T is zero on and above the 2 x 2 blocks, so that it leaves the eigenvalues
    alone: it lets a signal pass from plane to plane, and grow for a while. The last block of an odd N is gamma. V is
    made once per scan. The state h is an array [N], zero at the start.

    Initial values: gamma 1 and T zero, so that V is orthogonal; theta from U(0, 2 pi), a by `skew_init` as `ExpRNN`;
    W_x Glorot normal, b from U(-0.01, 0.01). The authors add delta |1 - gamma|^2 and a decay of T to the loss (eq. 5),
    and learn a with a tenth of the rate of the rest.

    Elsewhere: none of torch, Keras, Flax, Haiku, Equinox.

    Source: Kerg et al. 2019 (arXiv:1905.12080), eq. 4, with the authors' code (github.com/nnRNN/nnRNN_release), where
    V is transposed, T also enters the blocks, and N is even.

    Cost: 2 N (D + N) flops a step, about 40 N^3 once per scan.
    """

    inputs: int
    units: int
    skew_init: str = "henaff"
    input_init: str = "glorot_normal"
    bias_init: str = "uniform:0.01"

    powers = ("factored", "pointwise")
    __post_init__ = modrelu.check
    outputs = property(parts.outputs)

    def init(self, key: Array) -> Params:
        key_x, key_a, key_theta = jax.random.split(key, 3)
        w_x, b = modrelu.input_weights(self, key_x, 1)
        theta = jax.random.uniform(key_theta, ((self.units + 1) // 2,), b.dtype, 0, 2 * math.pi)
        a = SKEW[self.skew_init](key_a, self.units, b.dtype, "exp")
        return Params(w_x, a, jnp.ones_like(theta), theta, jnp.zeros_like(a), b)

    @parts.widely
    def prepare(self, params: Params) -> Weights:
        n = self.units
        plane = np.arange(n) // 2
        theta = jnp.where(2 * np.arange(len(params.theta)) + 1 < n, params.theta, jnp.zeros_like(params.theta))
        cos = jnp.repeat(params.gamma * jnp.cos(theta), 2)[:n]
        sin = jnp.repeat(params.gamma * jnp.sin(theta), 2)[: n - 1]
        sin = jnp.where(plane[1:] == plane[:-1], sin, jnp.zeros_like(sin))  # not between two blocks
        blocks = jnp.diag(cos) + jnp.diag(sin, -1) - jnp.diag(sin, 1)
        t = jnp.where(plane[:, None] > plane[None], params.t, jnp.zeros_like(params.t))
        p = orthogonal(params.a, "exp")
        v = product(product(p, blocks + t), p.T)
        return Weights(params.w_x, v.T[:, None], params.b)

    initial_state = modrelu.initial_state
    drive = modrelu.drive
    recur = parts.recur
    update = modrelu.update
    readout = parts.readout
    step = parts.step
    recurrent = parts.recurrent
