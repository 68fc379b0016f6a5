"""The echo state network: a recurrent network that stays as it was drawn, and a linear readout that is trained."""

import functools
from typing import NamedTuple

import jax.numpy as jnp
import numpy as np
from jax import Array

from rnnx.cells import initialisers, parts
from rnnx.types import cell, one_of

NONLINEARITIES = {"tanh": jnp.tanh, "identity": lambda x: x}


class Params(NamedTuple):
    w_out: Array  # [1 + D + N, O], of 1, x and h


class Weights(NamedTuple):
    w_x: Array  # [D, 1, N], fixed
    w_h: Array  # [N, 1, N], fixed
    b: Array  # [1, N], fixed
    w_out: Array  # [1 + D + N, O]


def step(
    weights: Weights, state: Array, x: Array, *, leak: float = 0.3, nonlinearity: str = "tanh"
) -> tuple[Array, Array]:
    """One step for `lax.scan`: weights = ESN(...).prepare(params), once, outside the loop. x [D] -> (h, y)."""
    inputs, _, units = weights.w_x.shape
    return ESN(inputs, units, weights.w_out.shape[1], leak=leak, nonlinearity=nonlinearity).step(weights, state, x)


@functools.lru_cache(maxsize=8)
def reservoir(cell: "ESN") -> tuple[np.ndarray, np.ndarray]:
    """(W_in [N, 1 + D], W [N, N]) of a cell in NumPy: what its `seed` draws, in this order, and nothing else."""
    draws = np.random.default_rng(cell.seed)
    w_in = draws.uniform(-1, 1, (cell.units, 1 + cell.inputs))
    w = draws.uniform(-1, 1, (cell.units, cell.units))
    w *= draws.random((cell.units, cell.units)) < cell.density
    w_in *= np.where(np.arange(1 + cell.inputs) == 0, cell.bias_scale, cell.input_scale)
    radius = np.max(np.abs(np.linalg.eigvals(w)))
    if radius > 1e-3:  # a small sparse network without a loop has radius 0, and its rounding errors are no scale
        w *= cell.radius / radius
    return w_in, w


@cell
class ESN:
    """Echo state network: a fixed random reservoir of leaky units with a trained linear readout.

        h_t = (1 - leak) * h_{t-1} + leak * phi(W_in [1; x_t] + W h_{t-1})    [N]
        y_t = W_out [1; x_t; h_t]                                             [O]

    W_in and W are fixed: constants that `seed` draws, the same in every dtype. Entries of W_in are uniform up to
    `bias_scale` in its first column and `input_scale` in the others; of W a share `density` is drawn uniform and then
    scaled to the spectral radius `radius`. The only parameter is W_out; `fit_readout` trains it in one stroke.
    `nonlinearity` phi is tanh or identity. O is `readouts`, or N where that is 0. The state h is an array [N],
    zero at the start. The feedback of y that some networks have is left out.

    Initial values: W_out hands over h (`readout_init` "identity"), so that y_t = h_t until it is trained.

    Elsewhere: none of torch, Keras, Flax, Haiku, Equinox.

    Source: Jaeger 2001 (GMD report 148); with the leak Jaeger, Lukosevicius, Popovici & Siewert 2007 (Neural Networks
    20, 335-352); the form of Lukosevicius 2012 (A practical guide to applying echo state networks) and his program
    minimalESN, which takes radius 1.25.

    Cost: 2 N (D + N) + 2 (1 + D + N) O flops a step.
    """

    inputs: int
    units: int
    readouts: int = 0
    radius: float = 0.9
    leak: float = 0.3
    input_scale: float = 0.5
    bias_scale: float = 0.5
    density: float = 1.0
    nonlinearity: str = "tanh"
    seed: int = 0
    readout_init: str = "identity"

    def __post_init__(self):
        parts.check(self)
        one_of("ESN.nonlinearity", self.nonlinearity, NONLINEARITIES)
        for name in ("readouts", "seed", "radius"):
            if getattr(self, name) < 0:
                raise ValueError(f"ESN.{name} got {getattr(self, name)}; write a number of at least 0")
        for name in ("leak", "density"):
            if not 0 < getattr(self, name) <= 1:
                raise ValueError(f"ESN.{name} got {getattr(self, name)}; write a share above 0 and up to 1")

    @property
    def outputs(self) -> int:
        return self.readouts or self.units

    @property
    def powers(self) -> tuple[str, ...]:
        return ("factored", "pointwise") + (("affine",) if self.nonlinearity == "identity" else ())

    def init(self, key: Array) -> Params:
        dtype = jnp.zeros(()).dtype
        rows = initialisers.draw(self.readout_init, key, (self.units, 1, self.outputs), dtype)[:, 0]
        return Params(jnp.concatenate([jnp.zeros((1 + self.inputs, self.outputs), dtype), rows]))

    def prepare(self, params: Params) -> Weights:
        w_in, w = (jnp.asarray(a.T[:, None, :], params.w_out.dtype) for a in reservoir(self))
        return Weights(w_in[1:], w, w_in[0], params.w_out)

    initial_state = parts.initial_state
    drive = parts.drive
    recur = parts.recur

    def update(self, weights: Weights, state: Array, u, v) -> Array:
        del weights
        h = state
        (u,), (v,) = u, v
        return (1 - self.leak) * h + self.leak * NONLINEARITIES[self.nonlinearity](u + v)

    def readout(self, weights: Weights, state: Array, x: Array) -> Array:
        return features(state[None], x[None])[0] @ weights.w_out

    step = parts.step
    recurrent = parts.recurrent

    kind = "dense"

    def coefficients(self, weights: Weights, x: Array) -> tuple[Array, Array]:
        """(A, b) of h_t = A h_{t-1} + b, for the identity."""
        w = weights.w_h[:, 0].T
        return (1 - self.leak) * jnp.eye(self.units, dtype=w.dtype) + self.leak * w, self.leak * self.drive(weights, x)[
            0
        ]


def features(hs: Array, xs: Array) -> Array:
    """[1; x_t; h_t] for all t    [T, 1 + D + N]"""
    return jnp.concatenate([jnp.ones_like(hs[:, :1]), xs, hs], axis=1)


def fit_readout(hs: Array, xs: Array, targets: Array, ridge: float = 1e-8) -> Params:
    """The W_out of least |W_out [1; x; h] - target|^2 + ridge |W_out|^2: ridge regression, all steps at once.

    hs [T, N] are the states that `scan(..., keep=lambda state, y: state)` stacks, targets are [T, O]. Drop the first
    steps of all three, in which the network still remembers where it started.
    """
    rows = features(hs, xs)
    gram = rows.T @ rows + ridge * jnp.eye(rows.shape[1], dtype=rows.dtype)
    return Params(jnp.linalg.solve(gram, rows.T @ targets))
