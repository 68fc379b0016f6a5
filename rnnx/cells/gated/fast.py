"""Two networks for small machines: FastGRNN, one pair of matrices for gate and candidate, and FastRNN, two numbers."""

import functools
from typing import NamedTuple

import jax
import jax.numpy as jnp
from jax import Array
from jax.nn import sigmoid

from rnnx.cells import initialisers, parts
from rnnx.cells.memory import remember
from rnnx.types import Recurrent, cell, one_of

NONLINEARITIES = {"sigmoid": sigmoid, "tanh": jnp.tanh, "relu": parts.relu}

Factors = tuple[Array, ...]  # a matrix as a product of one, or of two of low rank R: [M, 1, N], or [M, 1, R], [R, 1, N]


def through(a: Array, factors: Factors) -> Array:
    """a [M] through each factor in turn    [1, N]"""
    return functools.reduce(lambda a, matrix: parts.product(a, matrix)[0], factors, a)[None]


def factors(rule: str, key: Array, width: int, rank: int, units: int, dtype) -> Factors:
    """A matrix [width, units] of this rank (0: full), each factor drawn by the rule."""
    if not rank:
        return (initialisers.draw(rule, key, (width, 1, units), dtype),)
    one, other = jax.random.split(key)
    return (
        initialisers.draw(rule, one, (width, 1, rank), dtype),
        initialisers.draw(rule, other, (rank, 1, units), dtype),
    )


def recur(self, weights, state: Array) -> Array:
    """v = U h    [1, N]"""
    return through(state, weights.w_h)


def recurrent(self, weights) -> Recurrent:
    """U, multiplied out, multiplies h."""
    first, *rest = weights.w_h
    return Recurrent("dense", (first[:, 0] @ rest[0][:, 0])[:, None] if rest else first, (0,))


def check(self) -> None:
    parts.check(self)
    name = type(self).__name__
    one_of(f"{name}.nonlinearity", self.nonlinearity, NONLINEARITIES)
    for field in ("rank_x", "rank_h"):
        if getattr(self, field) < 0:
            raise ValueError(
                f"{name}.{field} got {getattr(self, field)}; write a rank of at least 1, or 0 for full rank"
            )


class Params(NamedTuple):
    w_x: Factors  # [D, 1, N], W
    w_h: Factors  # [N, 1, N], U
    b: Array  # [2, N], z, n
    zeta: Array  # [1], before the sigmoid; after `prepare` a number between 0 and 1
    nu: Array  # [1]


def step(
    weights: Params, state: Array, x: Array, *, nonlinearity: str = "tanh", gate: str = "sigmoid"
) -> tuple[Array, Array]:
    """One step for `lax.scan`: `FastGRNN.step` without a configuration. State h [N], x [D] -> (h, h).

    weights = FastGRNN(...).prepare(params), once, outside the loop.
    """
    inputs, units = weights.w_x[0].shape[0], weights.b.shape[1]
    return FastGRNN(inputs, units, nonlinearity, gate).step(weights, state, x)


@cell
class FastGRNN:
    """Fast gated recurrent network: the gate shares its matrices with the candidate.

        z   = sigma(W x_t + U h_{t-1} + b_z)                [N]
        n   = phi(W x_t + U h_{t-1} + b_n)                  [N]
        h_t = (zeta * (1 - z) + nu) * n + z * h_{t-1}       [N]
        y_t = h_t

    zeta and nu are two learned numbers between 0 and 1, sigmoids of the parameters; n is the paper's h~. `gate` sigma
    and `nonlinearity` phi are sigmoid, tanh or relu (the paper: tanh for phi, sigmoid or tanh for sigma). `rank_x`
    and `rank_h` make W and U products of two matrices of that rank, 0 leaves them whole. The paper's sparsity and
    quantisation are ways to train and to store, not part of the cell. The state h is an array [N], zero at the start.

    Initial values: as in the authors' code, every matrix, or both its factors, N(0, 0.1^2); both biases 1, which are
    `forget_bias` for z and `bias` for n; `zeta` and `nu` are 1 and -4 before the sigmoid. `forget_init` draws the
    bias of z ("constant", "chrono:T", "uniform_gate").

    Elsewhere: none of torch, Keras, Flax, Haiku, Equinox.

    Source: Kusupati et al. 2018 (arXiv:1901.02358), eq. 6-7; initial values: github.com/microsoft/EdgeML, FastGRNNCell.

    Cost: 2 N (D + N) flops a step; with ranks R and S, 2 R (D + N) + 4 S N.
    """

    inputs: int
    units: int
    nonlinearity: str = "tanh"
    gate: str = "sigmoid"
    rank_x: int = 0
    rank_h: int = 0
    zeta: float = 1.0
    nu: float = -4.0
    bias: float = 1.0
    forget_bias: float = 1.0
    forget_init: str = "constant"
    recurrent_init: str = "normal:0.1"
    input_init: str = "normal:0.1"
    bias_init: str = "zeros"

    powers = ("factored", "pointwise")

    def __post_init__(self):
        check(self)
        one_of("FastGRNN.gate", self.gate, NONLINEARITIES)

    outputs = property(parts.outputs)

    def init(self, key: Array) -> Params:
        dtype = jnp.zeros(()).dtype
        key_x, key_h, key_b, key_f = jax.random.split(key, 4)
        b = initialisers.draw(self.bias_init, key_b, (1, 2, self.units), dtype)[0]
        return Params(
            factors(self.input_init, key_x, self.inputs, self.rank_x, self.units, dtype),
            factors(self.recurrent_init, key_h, self.units, self.rank_h, self.units, dtype),
            remember(self, key_f, b.at[1].add(self.bias), keeps=0),
            jnp.full(1, self.zeta, dtype),
            jnp.full(1, self.nu, dtype),
        )

    def prepare(self, params: Params) -> Params:
        return params._replace(zeta=sigmoid(params.zeta[0]), nu=sigmoid(params.nu[0]))

    initial_state = parts.initial_state

    def drive(self, weights: Params, x: Array) -> Array:
        """u = W x + b    [2, N]"""
        return through(x, weights.w_x) + weights.b

    recur = recur

    def update(self, weights: Params, state: Array, u, v) -> Array:
        h = state
        uz, un = u
        (v,) = v
        z = NONLINEARITIES[self.gate](uz + v)
        n = NONLINEARITIES[self.nonlinearity](un + v)
        return (weights.zeta * (1 - z) + weights.nu) * n + z * h

    readout = parts.readout
    step = parts.step
    recurrent = recurrent


class ParamsRNN(NamedTuple):
    w_x: Factors  # [D, 1, N], W
    w_h: Factors  # [N, 1, N], U
    b: Array  # [1, N]
    alpha: Array  # [1], before the sigmoid; after `prepare` a number between 0 and 1
    beta: Array  # [1]


@cell
class FastRNN:
    """Simple recurrent network with a weighted residual connection.

        n   = phi(W x_t + U h_{t-1} + b)        [N]
        h_t = alpha * n + beta * h_{t-1}        [N]
        y_t = h_t

    alpha and beta are two learned numbers between 0 and 1, sigmoids of the parameters; n is the paper's h~.
    `nonlinearity` phi is tanh, sigmoid or relu; `rank_x` and `rank_h` as in `FastGRNN`. The state h is an array [N],
    zero at the start.

    Initial values: as in the authors' code, every matrix, or both its factors, N(0, 0.1^2), b is `bias` = 1; `alpha`
    and `beta` are -3 and 3 before the sigmoid: 0.047 and 0.953.

    Elsewhere: none of torch, Keras, Flax, Haiku, Equinox.

    Source: Kusupati et al. 2018 (arXiv:1901.02358), eq. 2 and 7; initial values: github.com/microsoft/EdgeML,
    FastRNNCell.

    Cost: 2 N (D + N) flops a step; with ranks R and S, 2 R (D + N) + 4 S N.
    """

    inputs: int
    units: int
    nonlinearity: str = "tanh"
    rank_x: int = 0
    rank_h: int = 0
    alpha: float = -3.0
    beta: float = 3.0
    bias: float = 1.0
    recurrent_init: str = "normal:0.1"
    input_init: str = "normal:0.1"
    bias_init: str = "zeros"

    powers = ("factored", "pointwise")
    __post_init__ = check
    outputs = property(parts.outputs)

    def init(self, key: Array) -> ParamsRNN:
        dtype = jnp.zeros(()).dtype
        key_x, key_h, key_b = jax.random.split(key, 3)
        return ParamsRNN(
            factors(self.input_init, key_x, self.inputs, self.rank_x, self.units, dtype),
            factors(self.recurrent_init, key_h, self.units, self.rank_h, self.units, dtype),
            initialisers.draw(self.bias_init, key_b, (1, 1, self.units), dtype)[0] + self.bias,
            jnp.full(1, self.alpha, dtype),
            jnp.full(1, self.beta, dtype),
        )

    def prepare(self, params: ParamsRNN) -> ParamsRNN:
        return params._replace(alpha=sigmoid(params.alpha[0]), beta=sigmoid(params.beta[0]))

    initial_state = parts.initial_state

    def drive(self, weights: ParamsRNN, x: Array) -> Array:
        """u = W x + b    [1, N]"""
        return through(x, weights.w_x) + weights.b

    recur = recur

    def update(self, weights: ParamsRNN, state: Array, u, v) -> Array:
        h = state
        (u,), (v,) = u, v
        return weights.alpha * NONLINEARITIES[self.nonlinearity](u + v) + weights.beta * h

    readout = parts.readout
    step = parts.step
    recurrent = recurrent
