"""Networks whose recurrent matrix is antisymmetric, so that the flow they follow neither grows nor dies."""

from typing import Any, NamedTuple

import jax.numpy as jnp
from jax import Array
from jax.nn import sigmoid

from rnnx.cells import parts
from rnnx.types import cell


class Params(NamedTuple):
    w_x: Array  # [D, G, N], gate h, or gates z, h
    w_h: Array  # [N, 1, N]; after `prepare` W - W^T - gamma I
    b: Array  # [G, N]


def step(weights: Params, state: Array, x: Array, *, epsilon: float = 0.01) -> tuple[Array, Array]:
    """One step for `lax.scan`: weights = Antisymmetric(...).prepare(params), once, outside the loop. -> (h, h)."""
    inputs, _, units = weights.w_x.shape
    return Antisymmetric(inputs, units, epsilon).step(weights, state, x)


def check(cell: Any) -> None:
    """The step is positive, the diffusion not negative."""
    parts.check(cell)
    if cell.epsilon <= 0:
        raise ValueError(f"{type(cell).__name__}.epsilon got {cell.epsilon}; write a step size above 0")
    if cell.gamma < 0:
        raise ValueError(f"{type(cell).__name__}.gamma got {cell.gamma}; write a diffusion of at least 0")


def prepare(cell: Any, params: Params) -> Params:
    """W - W^T - gamma I for W."""
    w = params.w_h[:, 0]
    w = w - w.T - cell.gamma * jnp.eye(cell.units, dtype=w.dtype)
    return params._replace(w_h=w[:, None, :])


@cell
class Antisymmetric:
    """Antisymmetric network: Euler steps along dh/dt = tanh((W - W^T) h + V x + b), with diffusion.

        h_t = h_{t-1} + epsilon * tanh((W - W^T - gamma I) h_{t-1} + V x_t + b)    [N]
        y_t = h_t

    The eigenvalues of W - W^T are imaginary, +-i omega. An Euler step turns them outwards and the diffusion `gamma`
    inwards: it stays within the unit circle where omega^2 <= 2 gamma / epsilon - gamma^2. Here W is a full matrix,
    of which only the antisymmetric part matters. The state h is an array [N], zero at the start.

    Initial values: W and V of variance 1 / N and 1 / D (normal, cut at two deviations), biases zero. Then omega is at
    most about 2.8, which the default epsilon and gamma allow. The paper simulates with 0.1 and 0.15 (section 4).

    Elsewhere: none of torch, Keras, Flax, Haiku, Equinox.

    Source: Chang, Chen, Haber & Chi 2019 (arXiv:1902.09689), eq. 12.

    Cost: 2 N (D + N) flops a step.
    """

    inputs: int
    units: int
    epsilon: float = 0.01
    gamma: float = 0.05
    recurrent_init: str = "lecun_normal"
    input_init: str = "lecun_normal"
    bias_init: str = "zeros"

    powers = ("factored", "pointwise")
    __post_init__ = check
    outputs = property(parts.outputs)

    def init(self, key: Array) -> Params:
        return Params(*parts.gates(self, key, 1))

    prepare = prepare
    initial_state = parts.initial_state
    drive = parts.drive
    recur = parts.recur

    def update(self, weights: Params, state: Array, u, v) -> Array:
        del weights
        h = state
        (u,), (v,) = u, v
        return h + self.epsilon * jnp.tanh(u + v)

    readout = parts.readout
    step = parts.step
    recurrent = parts.recurrent


@cell
class GatedAntisymmetric:
    """Antisymmetric network with an input gate that shares its recurrent matrix.

        z   = sigmoid((W - W^T - gamma I) h_{t-1} + V_z x_t + b_z)                          [N]
        h_t = h_{t-1} + epsilon * z * tanh((W - W^T - gamma I) h_{t-1} + V_h x_t + b_h)     [N]
        y_t = h_t

    V and b have rows of their own for z and h, in this order. As `Antisymmetric` otherwise.

    Initial values: as `Antisymmetric`.

    Elsewhere: none of torch, Keras, Flax, Haiku, Equinox.

    Source: Chang, Chen, Haber & Chi 2019 (arXiv:1902.09689), eq. 13.

    Cost: 2 N (2 D + N) flops a step.
    """

    inputs: int
    units: int
    epsilon: float = 0.01
    gamma: float = 0.05
    recurrent_init: str = "lecun_normal"
    input_init: str = "lecun_normal"
    bias_init: str = "zeros"

    powers = ("factored", "pointwise")
    __post_init__ = check
    outputs = property(parts.outputs)

    def init(self, key: Array) -> Params:
        w_x, w_h, b = parts.gates(self, key, 2)
        return Params(w_x, w_h[:, :1], b)

    prepare = prepare
    initial_state = parts.initial_state
    drive = parts.drive
    recur = parts.recur

    def update(self, weights: Params, state: Array, u, v) -> Array:
        del weights
        h = state
        uz, uh = u
        (v,) = v
        z = sigmoid(uz + v)
        return h + self.epsilon * z * jnp.tanh(uh + v)

    readout = parts.readout
    step = parts.step
    recurrent = parts.recurrent
