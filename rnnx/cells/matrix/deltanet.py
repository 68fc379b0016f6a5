"""Fast weights under the delta rule: what a key held is replaced, not added to."""

from typing import NamedTuple

import jax
import jax.numpy as jnp
from jax import Array
from jax.nn import sigmoid

from rnnx.cells import initialisers, parts
from rnnx.cells.matrix.fastweights import check_epsilon, draw_maps, elu_plus_1
from rnnx.cells.parts import check_heads, softplus
from rnnx.cells.timesteps import check_steps, draw_steps
from rnnx.types import cell, one_of

FEATURES = {"silu": jax.nn.silu, "elu": elu_plus_1, "identity": lambda a: a}
LARGEST = {"positive": 1, "signed": 2}  # beta, by where the eigenvalues of I - beta k k^T lie


class Params(NamedTuple):
    w_x: Array  # [D, 2, N], what is written: k, v
    w_q: Array  # [D, 1, N], what reads
    w_b: Array  # [D, 1, H], how much is written


def step(
    params: Params, state: Array, x: Array, *, feature: str = "silu", eigenvalues: str = "positive"
) -> tuple[Array, Array]:
    """One step for `lax.scan`: `DeltaNet.step` without a configuration. x [D] -> (S [H, d, d], y [N])."""
    inputs, _, units = params.w_x.shape
    return DeltaNet(inputs, units, params.w_b.shape[2], feature, eigenvalues).step(params, state, x)


@cell
class DeltaNet:
    """Fast weight programmer with the delta rule.

        q, k, v = W x_t                                     [H, d] each, d = N / H
        beta    = sigmoid(W_b x_t)                          [H], twice that for signed eigenvalues
        S_t     = S_{t-1} (I - beta k k^T) + beta v k^T     [H, d, d]
        y_t     = S_t q                                     [N]

    q and k pass a `feature` phi and are normalised: phi(a) / sqrt(|phi(a)|^2 + epsilon) for "silu" and "identity"
    (Yang et al. 2024), (elu(a) + 1) / sum(elu(a) + 1) for "elu" (Schlag et al. 2021, eq. 29). beta k k^T
    takes from S what it held under k. `eigenvalues` of the transition are "positive", in [0, 1], or "signed", in
    [-1, 1], which lets one layer track states such as parity. `heads` is H and must divide `units`. The state S is
    zero at the start. As an affine cell it repeats the transition for each row of S: N d^2 numbers a step for a
    state of N d.

    Initial values: all maps Glorot uniform.

    Elsewhere: none of torch, Keras, Flax, Haiku, Equinox.

    Source: Schlag, Irie & Schmidhuber 2021 (arXiv:2102.11174), eq. 4 and 20-25; Yang, Wang, Zhang, Shen & Kim 2024
    (arXiv:2406.06484), sections 2.2 and 3.3; Grazzi et al. 2024 (arXiv:2411.12537), table 1 and eq. 2, for signed ones.

    Cost: 6 N D + 6 N d flops a step.
    """

    inputs: int
    units: int
    heads: int = 1
    feature: str = "silu"
    eigenvalues: str = "positive"
    epsilon: float = 1e-6
    input_init: str = "glorot_uniform"

    powers = ("factored", "affine")

    def __post_init__(self):
        _check(self)

    outputs = property(parts.outputs)

    def init(self, key: Array) -> Params:
        key_w, key_b = jax.random.split(key)
        w_x, w_q = draw_maps(self, key_w)
        return Params(w_x, w_q, initialisers.draw(self.input_init, key_b, (self.inputs, 1, self.heads), w_x.dtype))

    prepare = parts.prepare

    def initial_state(self, weights: Params) -> Array:
        d = self.units // self.heads
        return jnp.zeros((self.heads, d, d), weights.w_x.dtype)

    def drive(self, weights: Params, x: Array) -> tuple[Array, Array, Array]:
        """k, v, beta    [H, d], [H, d], [H]"""
        k, v = parts.product(x, weights.w_x).reshape(2, self.heads, -1)
        beta = LARGEST[self.eigenvalues] * sigmoid(parts.product(x, weights.w_b)[0])
        return _normalised(self, k), v, beta

    def recur(self, weights: Params, state: Array) -> tuple[()]:
        """Nothing: no weight multiplies the state."""
        del weights, state
        return ()

    def update(self, weights: Params, state: Array, u, v) -> Array:
        del weights, v
        return _written(state, *u)

    def readout(self, weights: Params, state: Array, x: Array) -> Array:
        q = _normalised(self, parts.product(x, weights.w_q).reshape(self.heads, -1))
        return jnp.einsum("hvk,hk->hv", state, q).reshape(-1)

    step = parts.step

    kind = "block"

    def coefficients(self, weights: Params, x: Array) -> tuple[Array, Array]:
        """(A, b) of S_t = S_{t-1} A + b: A [N, d, d] once for each row of S, b [H, d, d]"""
        return _transition(*self.drive(weights, x))


class GatedParams(NamedTuple):
    w_x: Array  # [D, 2, N], what is written: k, v
    w_q: Array  # [D, 1, N], what reads
    w_b: Array  # [D, 2, H], how much is written and how much is kept
    a_log: Array  # [H]
    b_dt: Array  # [H]


class GatedWeights(NamedTuple):
    w_x: Array
    w_q: Array
    w_b: Array
    a: Array  # [H], negative
    b_dt: Array


@cell
class GatedDeltaNet:
    """Fast weight programmer with the delta rule and a decay set by x.

        q, k, v, beta as in `DeltaNet`
        alpha = exp(-exp(A_log) softplus(W_a x_t + b_dt))           [H]
        S_t   = alpha S_{t-1} (I - beta k k^T) + beta v k^T         [H, d, d]
        y_t   = S_t q                                               [N]

    alpha near 0 erases the whole memory at once, which the delta rule alone cannot. Options, state and the price of
    its affine form are those of `DeltaNet`.

    Initial values: as `DeltaNet`; exp(A_log) from U(0, 16), b_dt the inverse softplus of steps drawn log-uniformly
    from [`dt_min`, `dt_max`], as in the authors' code.

    Elsewhere: none of torch, Keras, Flax, Haiku, Equinox.

    Source: Yang, Kautz & Hatamizadeh 2024 (arXiv:2412.06464), eq. 10 of its third version, eq. 8 of its first; alpha
    as in Mamba-2, which its footnote refers to and the authors' code holds.

    Cost: 6 N D + 7 N d flops a step.
    """

    inputs: int
    units: int
    heads: int = 1
    feature: str = "silu"
    eigenvalues: str = "positive"
    epsilon: float = 1e-6
    dt_min: float = 0.001
    dt_max: float = 0.1
    input_init: str = "glorot_uniform"

    powers = ("factored", "affine")

    def __post_init__(self):
        _check(self)
        check_steps(self)

    outputs = property(parts.outputs)

    def init(self, key: Array) -> GatedParams:
        key_w, key_b, key_a, key_dt = jax.random.split(key, 4)
        w_x, w_q = draw_maps(self, key_w)
        w_b = initialisers.draw(self.input_init, key_b, (self.inputs, 2, self.heads), w_x.dtype)
        a = 16 * (1 - jax.random.uniform(key_a, (self.heads,), w_x.dtype))  # never 0
        return GatedParams(w_x, w_q, w_b, jnp.log(a), draw_steps(self, key_dt, self.heads, w_x.dtype))

    def prepare(self, params: GatedParams) -> GatedWeights:
        return GatedWeights(params.w_x, params.w_q, params.w_b, -jnp.exp(params.a_log), params.b_dt)

    def initial_state(self, weights: GatedWeights) -> Array:
        d = self.units // self.heads
        return jnp.zeros((self.heads, d, d), weights.w_x.dtype)

    def drive(self, weights: GatedWeights, x: Array) -> tuple[Array, Array, Array, Array]:
        """k, v, beta, alpha    [H, d], [H, d], [H], [H]"""
        k, v = parts.product(x, weights.w_x).reshape(2, self.heads, -1)
        write, keep = parts.product(x, weights.w_b)
        alpha = jnp.exp(weights.a * softplus(keep + weights.b_dt))
        return _normalised(self, k), v, LARGEST[self.eigenvalues] * sigmoid(write), alpha

    recur = DeltaNet.recur
    update = DeltaNet.update

    def readout(self, weights: GatedWeights, state: Array, x: Array) -> Array:
        q = _normalised(self, parts.product(x, weights.w_q).reshape(self.heads, -1))
        return jnp.einsum("hvk,hk->hv", state, q).reshape(-1)

    step = parts.step

    kind = "block"

    def coefficients(self, weights: GatedWeights, x: Array) -> tuple[Array, Array]:
        """(A, b) of S_t = S_{t-1} A + b: A [N, d, d] once for each row of S, b [H, d, d]"""
        return _transition(*self.drive(weights, x))


def _check(cell) -> None:
    parts.check(cell)
    check_heads(cell)
    check_epsilon(cell)
    one_of(f"{type(cell).__name__}.feature", cell.feature, FEATURES)
    one_of(f"{type(cell).__name__}.eigenvalues", cell.eigenvalues, LARGEST)


def _normalised(cell, a: Array) -> Array:
    """A key or a query [H, d]."""
    a = FEATURES[cell.feature](a)
    if cell.feature == "elu":
        return a / jnp.sum(a, 1, keepdims=True)
    return a / jnp.sqrt(jnp.sum(a * a, 1, keepdims=True) + cell.epsilon)


def _written(s: Array, k: Array, v: Array, beta: Array, alpha: Array | None = None) -> Array:
    """S (I - beta k k^T) + beta v k^T, as S + beta (v - S k) k^T."""
    s = s if alpha is None else alpha[:, None, None] * s
    old = jnp.einsum("hvk,hk->hv", s, k)
    return s + (beta[:, None] * (v - old))[:, :, None] * k[:, None]


def _transition(k: Array, v: Array, beta: Array, alpha: Array | None = None) -> tuple[Array, Array]:
    """(A once for each row of S, b)."""
    scaled = beta[:, None] * k
    a = jnp.eye(k.shape[1], dtype=k.dtype)[None] - scaled[:, :, None] * k[:, None]
    a = a if alpha is None else alpha[:, None, None] * a
    return jnp.repeat(a, k.shape[1], axis=0), v[:, :, None] * scaled[:, None]
