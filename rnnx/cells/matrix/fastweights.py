"""Fast weights: a matrix of values by keys to which outer products are added. Linear attention, step by step."""

from typing import NamedTuple

import jax
import jax.numpy as jnp
from jax import Array

from rnnx.cells import initialisers, parts
from rnnx.cells.parts import check_heads, log_sigmoid
from rnnx.types import cell, one_of


class Params(NamedTuple):
    w_x: Array  # [D, 2, N], what is written: k, v
    w_q: Array  # [D, 1, N], what reads


def step(
    params: Params, state: Array, x: Array, *, heads: int = 1, kernel: str = "elu", decay: float = 1.0
) -> tuple[Array, Array]:
    """One step for `lax.scan`: `FastWeights.step` without a configuration. x [D] -> (S [H, d + 1, d], y [N])."""
    inputs, _, units = params.w_x.shape
    return FastWeights(inputs, units, heads, kernel, decay).step(params, state, x)


@cell
class FastWeights:
    """Fast weight programmer with the sum update, the recurrent form of linear attention.

        q, k, v = W x_t                                     [H, d] each, d = N / H
        S_t     = decay S_{t-1} + v phi(k)^T                [H, d, d]
        z_t     = decay z_{t-1} + phi(k)                    [H, d]
        y_t     = S_t phi(q) / (z_t . phi(q) + epsilon)     [N]

    `kernel` "elu" is phi(a) = elu(a) + 1; "linear" is phi(a) = a without z: y = S q, with a decay below 1 the
    retention of Sun et al. 2023 (arXiv:2307.08621), with one decay for all heads and without its rotation. `heads`
    is H and must divide `units`. The state is one array [H, d + 1, d], z below S (the row of a value that is always
    1), for "linear" S alone; zero at the start.

    Initial values: all maps Glorot uniform.

    Elsewhere: none of torch, Keras, Flax, Haiku, Equinox.

    Source: Katharopoulos et al. 2020 (arXiv:2006.16236), eq. 7 and 16-20 without the layer f; Schlag, Irie &
    Schmidhuber 2021 (arXiv:2102.11174), eq. 4 and 17-19. epsilon is of the authors' code.

    Cost: 6 N D + 5 N d flops a step.
    """

    inputs: int
    units: int
    heads: int = 1
    kernel: str = "elu"
    decay: float = 1.0
    epsilon: float = 1e-6
    input_init: str = "glorot_uniform"

    powers = ("factored", "affine")

    def __post_init__(self):
        parts.check(self)
        check_heads(self)
        one_of("FastWeights.kernel", self.kernel, ("elu", "linear"))
        if not 0 < self.decay <= 1:
            raise ValueError(f"FastWeights.decay got {self.decay}; write a number above 0 and at most 1")
        check_epsilon(self)

    outputs = property(parts.outputs)

    def init(self, key: Array) -> Params:
        return Params(*draw_maps(self, key))

    prepare = parts.prepare

    def initial_state(self, weights: Params) -> Array:
        d = self.units // self.heads
        return jnp.zeros((self.heads, d + 1 if self.kernel == "elu" else d, d), weights.w_x.dtype)

    def drive(self, weights: Params, x: Array) -> tuple[Array, Array]:
        """phi(k) [H, d] and v, with a 1 at its end if there is a z to add to"""
        k, v = parts.product(x, weights.w_x).reshape(2, self.heads, -1)
        if self.kernel == "linear":
            return k, v
        return elu_plus_1(k), jnp.concatenate([v, jnp.ones_like(v[:, :1])], axis=1)

    def recur(self, weights: Params, state: Array) -> tuple[()]:
        """Nothing: no weight multiplies the state."""
        del weights, state
        return ()

    def update(self, weights: Params, state: Array, u, v) -> Array:
        del weights, v
        k, v = u
        return self.decay * state + v[:, :, None] * k[:, None]

    def readout(self, weights: Params, state: Array, x: Array) -> Array:
        q = parts.product(x, weights.w_q).reshape(self.heads, -1)
        if self.kernel == "linear":
            return jnp.einsum("hvk,hk->hv", state, q).reshape(-1)
        y = jnp.einsum("hvk,hk->hv", state, elu_plus_1(q))
        return (y[:, :-1] / (y[:, -1:] + self.epsilon)).reshape(-1)

    step = parts.step

    kind = "diagonal"

    def coefficients(self, weights: Params, x: Array) -> tuple[Array, Array]:
        """(A, b) of S_t = A * S_{t-1} + b    [H, d + 1, d] each"""
        k, v = self.drive(weights, x)
        b = v[:, :, None] * k[:, None]
        return jnp.full_like(b, self.decay), b


class GatedParams(NamedTuple):
    w_x: Array  # [D, 2, N], what is written: k, v
    w_q: Array  # [D, 1, N], what reads
    w_r: Array  # [D, 1, R], what the gate sees of x
    w_a: Array  # [R, N]
    b_a: Array  # [N]


@cell
class GLA:
    """Gated linear attention: fast weights whose every key dimension forgets at a rate of its own, set by x.

        q, k, v = W x_t                                     [H, d] each, d = N / H
        alpha   = sigmoid(W_a W_r x_t + b_a)^(1 / tau)      [H, d]
        S_t     = S_{t-1} Diag(alpha) + v k^T               [H, d, d]
        y_t     = S_t q                                     [N]

    `heads` is H and must divide `units`, `gate_rank` is the width R of W_r, `temperature` is tau. Normalisation,
    output gate and output map of the paper's layer are left to the network. The state S is zero at the start.

    Initial values: all maps Glorot uniform, b_a zero.

    Elsewhere: none of torch, Keras, Flax, Haiku, Equinox.

    Source: Yang, Wang, Shen, Panda & Kim 2023 (arXiv:2312.06635), eq. 3 and section 4.4, S transposed.

    Cost: 6 N D + 2 R (D + N) + 5 N d flops a step.
    """

    inputs: int
    units: int
    heads: int = 1
    gate_rank: int = 16
    temperature: float = 16.0
    input_init: str = "glorot_uniform"
    bias_init: str = "zeros"

    powers = ("factored", "affine")

    def __post_init__(self):
        parts.check(self)
        check_heads(self)
        if self.gate_rank < 1:
            raise ValueError(f"GLA.gate_rank got {self.gate_rank}; write a whole number of at least 1")
        if self.temperature <= 0:
            raise ValueError(f"GLA.temperature got {self.temperature}; write a number above 0")

    outputs = property(parts.outputs)

    def init(self, key: Array) -> GatedParams:
        key_w, key_r, key_a, key_b = jax.random.split(key, 4)
        w_x, w_q = draw_maps(self, key_w)
        w_r = initialisers.draw(self.input_init, key_r, (self.inputs, 1, self.gate_rank), w_x.dtype)
        w_a = initialisers.draw(self.input_init, key_a, (self.gate_rank, 1, self.units), w_x.dtype)[:, 0]
        b_a = initialisers.draw(self.bias_init, key_b, (1, 1, self.units), w_x.dtype)[0, 0]
        return GatedParams(w_x, w_q, w_r, w_a, b_a)

    prepare = parts.prepare

    def initial_state(self, weights: GatedParams) -> Array:
        d = self.units // self.heads
        return jnp.zeros((self.heads, d, d), weights.w_x.dtype)

    def drive(self, weights: GatedParams, x: Array) -> tuple[Array, Array, Array]:
        """k, v, alpha    [H, d] each"""
        k, v = parts.product(x, weights.w_x).reshape(2, self.heads, -1)
        gate = parts.product(x, weights.w_r)[0] @ weights.w_a + weights.b_a
        return k, v, jnp.exp(log_sigmoid(gate) * (1 / self.temperature)).reshape(self.heads, -1)

    recur = FastWeights.recur

    def update(self, weights: GatedParams, state: Array, u, v) -> Array:
        del weights, v
        k, v, alpha = u
        return state * alpha[:, None] + v[:, :, None] * k[:, None]

    def readout(self, weights: GatedParams, state: Array, x: Array) -> Array:
        q = parts.product(x, weights.w_q).reshape(self.heads, -1)
        return jnp.einsum("hvk,hk->hv", state, q).reshape(-1)

    step = parts.step

    kind = "diagonal"

    def coefficients(self, weights: GatedParams, x: Array) -> tuple[Array, Array]:
        """(A, b) of S_t = A * S_{t-1} + b    [H, d, d] each"""
        k, v, alpha = self.drive(weights, x)
        b = v[:, :, None] * k[:, None]
        return jnp.broadcast_to(alpha[:, None], b.shape), b


# -------------------------------------------------------------------------------------------- keys and values


def elu_plus_1(a: Array) -> Array:
    """elu(a) + 1: exp(a) below 0, a + 1 above; always positive."""
    return jnp.where(a > 0, a + 1, jnp.exp(jnp.minimum(a, 0)))


def draw_maps(cell, key: Array) -> tuple[Array, Array]:
    """(w_x [D, 2, N] of keys and values, w_q [D, 1, N] of queries) by the cell's `input_init`."""
    dtype = jnp.zeros(()).dtype
    key_x, key_q = jax.random.split(key)
    w_x = initialisers.draw(cell.input_init, key_x, (cell.inputs, 2, cell.units), dtype)
    return w_x, initialisers.draw(cell.input_init, key_q, (cell.inputs, 1, cell.units), dtype)


def check_epsilon(cell) -> None:
    """epsilon >= 0."""
    if cell.epsilon < 0:
        raise ValueError(f"{type(cell).__name__}.epsilon got {cell.epsilon}; write a number of at least 0")
