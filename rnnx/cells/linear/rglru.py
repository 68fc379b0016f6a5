"""The real-gated linear recurrent unit."""

from typing import NamedTuple

import jax
import jax.numpy as jnp
from jax import Array
from jax.nn import sigmoid

from rnnx.cells import initialisers, parts
from rnnx.cells.linear import affine
from rnnx.cells.parts import softplus
from rnnx.types import cell


class Params(NamedTuple):
    w_x: Array  # [D, 1, N]
    b: Array  # [1, N]
    w_g: Array  # [H, N / H, 2, N / H], gates r, i
    b_g: Array  # [2, N]
    lam: Array  # [N]


class Weights(NamedTuple):
    w_x: Array  # [D, 1, N]
    b: Array  # [1, N]
    w_g: Array  # [H, N / H, 2, N / H]
    b_g: Array  # [2, N]
    log_a: Array  # [N], log(a^c)


def step(weights: Weights, state: Array, x: Array) -> tuple[Array, Array]:
    """One step for `lax.scan`; weights = RGLRU(...).prepare(params), once, outside the loop. State h [N] -> (h, h)."""
    inputs, _, units = weights.w_x.shape
    return RGLRU(inputs, units, weights.w_g.shape[0]).step(weights, state, x)


@cell
class RGLRU:
    """Real-gated linear recurrent unit.

        x'   = W_x x_t + b                                              [N]
        r, i = sigmoid(W_g x' + b_g)                                    [N] each
        a_t  = a^(c r), a = exp(-softplus(lam))                         [N]
        h_t  = a_t * h_{t-1} + sqrt(1 - a_t^2) * i * x'                 [N]
        y_t  = h_t

    r near 0 keeps the state and takes nothing; no gate sees the state, and the square root keeps the variance of h at
    that of its input. x' is the linear map that stands before the layer in its block and lets inputs differ from
    units; the block's convolution is left to the network. The gates are full matrices, or block-diagonal in `blocks`
    H, as in the authors' code. Where a_t rounds to 1 the root has gradient 0, not infinity; the authors' code
    bounds the root's derivative at 1000 instead. The state h is an array [N], zero at the start.

    Initial values: a^c from U(`a_min`, `a_max`), W_g by `gate_init`, LeCun normal; W_x LeCun normal, biases zero. The
    authors' code draws a instead of a^c, with a^2 uniform.

    Elsewhere: none of torch, Keras, Flax, Haiku, Equinox.

    Source: De et al. 2024 (arXiv:2402.19427), eq. 1-4, with lam for -Lambda as in the authors' code.

    Cost: 2 N (D + 2 N / H) flops a step.
    """

    inputs: int
    units: int
    blocks: int = 1
    c: float = 8.0
    a_min: float = 0.9
    a_max: float = 0.999
    gate_init: str = "lecun_normal"
    input_init: str = "lecun_normal"
    bias_init: str = "zeros"

    powers = ("factored", "pointwise", "affine")
    kind = "diagonal"

    def __post_init__(self):
        parts.check(self)
        if self.blocks < 1 or self.units % self.blocks:
            raise ValueError(f"RGLRU.blocks got {self.blocks}; write a number that divides units={self.units}")
        if self.c <= 0:
            raise ValueError(f"RGLRU.c got {self.c}; write a number above 0")
        if not 0 < self.a_min <= self.a_max < 1:
            raise ValueError(f"RGLRU.a_min got {self.a_min}; write a number above 0 and at most a_max={self.a_max} < 1")

    outputs = property(parts.outputs)

    def init(self, key: Array) -> Params:
        dtype = jnp.zeros(()).dtype
        blocks, n = self.blocks, self.units // self.blocks
        key_x, key_b, key_g, key_a = jax.random.split(key, 4)
        keys = jax.random.split(key_g, blocks)
        b = initialisers.draw(self.bias_init, key_b, (1, 3, self.units), dtype)[0]
        decay = jax.random.uniform(key_a, (self.units,), dtype, self.a_min, self.a_max)
        return Params(
            w_x=initialisers.draw(self.input_init, key_x, (self.inputs, 1, self.units), dtype),
            b=b[:1],
            w_g=jnp.stack([initialisers.draw(self.gate_init, k, (n, 2, n), dtype) for k in keys]),
            b_g=b[1:],
            lam=jnp.log(jnp.expm1(-jnp.log(decay) / self.c)),
        )

    def prepare(self, params: Params) -> Weights:
        w_x, b, w_g, b_g, lam = params
        return Weights(w_x, b, w_g, b_g, -self.c * softplus(lam))

    initial_state = parts.initial_state

    def drive(self, weights: Weights, x: Array) -> Array:
        """u = (a_t, sqrt(1 - a_t^2) * i * x')    [2, N]"""
        (x,) = parts.drive(self, weights, x)
        blocks = x.reshape(self.blocks, -1)
        r, i = jnp.einsum("hm,hmgn->ghn", blocks, weights.w_g).reshape(2, -1) + weights.b_g
        log_a = weights.log_a * sigmoid(r)
        return jnp.stack([jnp.exp(log_a), root(-jnp.expm1(2 * log_a)) * sigmoid(i) * x])

    recur = affine.recur
    update = affine.update
    readout = parts.readout
    step = parts.step
    recurrent = affine.recurrent
    coefficients = affine.coefficients


def root(x: Array) -> Array:
    """sqrt(x), with derivative 0 at 0."""
    some = x > 0
    return jnp.where(some, jnp.sqrt(jnp.where(some, x, jnp.ones_like(x))), jnp.zeros_like(x))
