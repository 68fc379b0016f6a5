"""The simple recurrent network."""

from typing import NamedTuple

import jax.numpy as jnp
from jax import Array

from rnnx.cells import parts
from rnnx.types import cell, one_of

NONLINEARITIES = {"tanh": jnp.tanh, "relu": parts.relu, "identity": lambda x: x}


class Params(NamedTuple):
    w_x: Array  # [D, 1, N]
    w_h: Array  # [N, 1, N]
    b: Array  # [1, N]


def step(params: Params, state: Array, x: Array, *, nonlinearity: str = "tanh") -> tuple[Array, Array]:
    """One step for `lax.scan`: `Elman.step` without a configuration. State h [N], x [D] -> (h, h)."""
    inputs, _, units = params.w_x.shape
    return Elman(inputs, units, nonlinearity).step(params, state, x)


@cell
class Elman:
    """Simple recurrent network.

        h_t = phi(W_x x_t + W_h h_{t-1} + b)    [N]
        y_t = h_t

    `nonlinearity` phi is tanh, relu (with `recurrent_init="identity"` the IRNN of Le, Jaitly & Hinton 2015,
    arXiv:1504.00941) or identity, which makes the cell affine. relu has derivative 0 at 0. The state h is
    an array [N], zero at the start.

    Initial values: Glorot uniform here; `identity` or "identity:0.01" for the IRNN (its section 3, with
    `input_init="normal:0.001"`), "sparse:1.1" for Sutskever et al. 2013, "normal:0.1" or "sparse:0.95" for
    Pascanu, Mikolov & Bengio 2013 (arXiv:1211.5063), "uniform_units" for torch.

    Elsewhere: torch `RNN`, Keras `SimpleRNN`, linen and nnx `SimpleCell`, Haiku `VanillaRNN` (relu).

    Source: Elman 1990 (Cognitive Science 14, 179-211), with tanh for its logistic function.

    Cost: 2 N (D + N) flops a step.
    """

    inputs: int
    units: int
    nonlinearity: str = "tanh"
    recurrent_init: str = "glorot_uniform"
    input_init: str = "glorot_uniform"
    bias_init: str = "zeros"

    def __post_init__(self):
        parts.check(self)
        one_of("Elman.nonlinearity", self.nonlinearity, NONLINEARITIES)

    outputs = property(parts.outputs)

    @property
    def powers(self) -> tuple[str, ...]:
        return ("factored", "pointwise") + (("affine",) if self.nonlinearity == "identity" else ())

    def init(self, key: Array) -> Params:
        return Params(*parts.gates(self, key, 1))

    prepare = parts.prepare

    initial_state = parts.initial_state
    drive = parts.drive
    recur = parts.recur

    def update(self, weights: Params, state: Array, u, v) -> Array:
        del weights, state
        (u,), (v,) = u, v
        return NONLINEARITIES[self.nonlinearity](u + v)

    readout = parts.readout
    step = parts.step
    recurrent = parts.recurrent

    kind = "dense"

    def coefficients(self, weights: Params, x: Array) -> tuple[Array, Array]:
        """(A, b) of h_t = A h_{t-1} + b, for the identity."""
        return weights.w_h[:, 0].T, self.drive(weights, x)[0]
