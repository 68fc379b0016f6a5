"""The Lipschitz network: a linear flow and a Lipschitz one, both with a spectrum that is set by hand."""

from typing import NamedTuple

import jax.numpy as jnp
import numpy as np
from jax import Array
from jax.nn import sigmoid

from rnnx.cells import parts
from rnnx.types import cell, one_of

INTEGRATORS = ("euler", "rk2")


class Params(NamedTuple):
    w_x: Array  # [D, G, N], gate h, or gates h, z
    w_h: Array  # [N, 2, N], M_A and M_W; after `prepare` A and W
    b: Array  # [G, N]


def step(
    weights: Params,
    state: Array,
    x: Array,
    *,
    epsilon: float = 0.03,
    integrator: str = "euler",
    gated: bool = False,
) -> tuple[Array, Array]:
    """One step for `lax.scan`: weights = Lipschitz(...).prepare(params), once, outside the loop. x [D] -> (h, h)."""
    inputs, _, units = weights.w_x.shape
    return Lipschitz(inputs, units, epsilon, integrator=integrator, gated=gated).step(weights, state, x)


@cell
class Lipschitz:
    """Lipschitz network: steps of size epsilon along dh/dt = A h + tanh(W h + V x + b).

        A    = (1 - beta_a) (M_A + M_A^T) + beta_a (M_A - M_A^T) - gamma_a I       [N, N], W likewise of M_W
        f(h) = A h + tanh(W h + V x_t + b)                                         [N]
        h_t  = h_{t-1} + epsilon * f(h_{t-1})                                      [N], "euler"
        h_t  = h_{t-1} + epsilon * f(h_{t-1} + epsilon / 2 * f(h_{t-1}))           [N], "rk2"
        y_t  = h_t

    beta 1 makes a matrix antisymmetric, beta 1/2 leaves it as it is, and gamma pulls every eigenvalue to the left.
    Where the largest eigenvalue of (A + A^T) / 2 is negative and exceeds the largest singular value of W in size, all
    solutions approach each other. "rk2" holds x_t for both halves; its second product with A and W needs the
    first half, so it stands in the update and the cell is not Pointwise. `gated` multiplies f by
    sigmoid(W h + V_z x_t + b_z), with the same W; V and b then have rows for h and z. The state h is an array
    [N], zero at the start.

    Initial values: M_A and M_W normal with deviation 0.001; the authors' program takes 0.1 / N, which is
    `recurrent_init="normal:S"` with that number for S. It draws V and b as torch's Linear does, uniform up to
    1 / sqrt(D); here Glorot uniform and zero.

    Elsewhere: none of torch, Keras, Flax, Haiku, Equinox.

    Source: Erichson, Azencot, Queiruga, Hodgkinson & Mahoney 2021 (arXiv:2006.12070) and their program, models.py:
    LipschitzRNN, LipschitzRNN_gated, and LipschitzRNN_ODE with the solver "midpoint". Values from its README.

    Cost: 2 N (D + 2 N) flops a step; "rk2" 2 N (D + 4 N).
    """

    inputs: int
    units: int
    epsilon: float = 0.03
    beta_a: float = 0.75
    beta_w: float = 0.75
    gamma_a: float = 0.001
    gamma_w: float = 0.001
    integrator: str = "euler"
    gated: bool = False
    recurrent_init: str = "normal:0.001"
    input_init: str = "glorot_uniform"
    bias_init: str = "zeros"

    def __post_init__(self):
        parts.check(self)
        one_of("Lipschitz.integrator", self.integrator, INTEGRATORS)
        if self.epsilon <= 0:
            raise ValueError(f"Lipschitz.epsilon got {self.epsilon}; write a step size above 0")
        for name, beta in (("beta_a", self.beta_a), ("beta_w", self.beta_w)):
            if not 0 <= beta <= 1:
                raise ValueError(f"Lipschitz.{name} got {beta}; write a share of 0 to 1")

    outputs = property(parts.outputs)

    @property
    def powers(self) -> tuple[str, ...]:
        return ("factored", "pointwise") if self.integrator == "euler" else ("factored",)

    def init(self, key: Array) -> Params:
        w_x, w_h, b = parts.gates(self, key, 2)
        return Params(w_x, w_h, b) if self.gated else Params(w_x[:, :1], w_h, b[:1])

    @parts.widely
    def prepare(self, params: Params) -> Params:
        def mixed(m: Array, beta: float, gamma: float) -> Array:
            return (1 - beta) * (m + m.T) + beta * (m - m.T) - gamma * np.eye(self.units, dtype=m.dtype)

        a = mixed(params.w_h[:, 0], self.beta_a, self.gamma_a)
        w = mixed(params.w_h[:, 1], self.beta_w, self.gamma_w)
        return params._replace(w_h=jnp.stack([a, w], axis=1))

    initial_state = parts.initial_state
    drive = parts.drive
    recur = parts.recur

    def flow(self, u, v) -> Array:
        """f(h) of v = (A h, W h)."""
        u, *uz = u
        va, vw = v
        f = va + jnp.tanh(vw + u)
        return f * sigmoid(vw + uz[0]) if self.gated else f

    def update(self, weights: Params, state: Array, u, v) -> Array:
        h = state
        if self.integrator == "rk2":
            v = parts.product(h + self.epsilon / 2 * self.flow(u, v), weights.w_h)
        return h + self.epsilon * self.flow(u, v)

    readout = parts.readout
    step = parts.step
    recurrent = parts.recurrent
