"""Leaky integrators: units that forget at a rate of their own, which is continuous time in steps of dt."""

from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
from jax import Array

from rnnx.cells import initialisers, parts
from rnnx.types import Timed, bare, cell, one_of

NONLINEARITIES = {"tanh": jnp.tanh, "relu": parts.relu, "sigmoid": jax.nn.sigmoid, "identity": lambda x: x}
INTEGRATORS = {"euler": lambda ratio: ratio, "exponential": lambda ratio: -jnp.expm1(-ratio)}  # of dt / tau
FORMS = ("rates", "currents")


class Params(NamedTuple):
    w_x: Array  # [D, 1, N]
    w_h: Array  # [N, 1, N]
    b: Array  # [1, N]
    log_tau: Array | None  # [N]; None where tau is fixed


class Weights(NamedTuple):
    w_x: Array  # [D, 1, N]
    w_h: Array  # [N, 1, N]
    b: Array  # [1, N]
    rate: Array  # [N], 1 / tau
    alpha: Array  # [N], of the cell's own dt


class State(NamedTuple):
    """The state of "currents"."""

    r: Array  # [N], phi(c), carried because it is what W_h multiplies
    c: Array  # [N]


def step(
    weights: Weights,
    state: Any,
    x: Any,
    *,
    nonlinearity: str = "tanh",
    form: str = "rates",
    integrator: str = "euler",
) -> tuple[Any, Array]:
    """One step for `lax.scan`: weights = CTRNN(...).prepare(params), once, outside the loop. x [D] -> (state, y)."""
    inputs, _, units = weights.w_x.shape
    return CTRNN(inputs, units, nonlinearity, form, integrator=integrator).step(weights, state, x)


@cell
class CTRNN:
    """Leaky integrator network, or continuous-time recurrent network, tau dh/dt = -h + phi(W_x x + W_h h + b).

        alpha = dt / tau, or 1 - exp(-dt / tau)                          [N]
        h_t   = (1 - alpha) * h_{t-1} + alpha * phi(W_x x_t + W_h h_{t-1} + b)          [N], form "rates"
        c_t   = (1 - alpha) * c_{t-1} + alpha * (W_x x_t + W_h phi(c_{t-1}) + b)        [N], form "currents"
        y_t   = h_t, or phi(c_t)

    `form` says where the leak stands. Under an input that does not change the two are one network,
    c_t = W_x x + W_h h_t + b. `nonlinearity` phi is tanh, relu, sigmoid or identity; relu has derivative 0 at 0.
    `integrator` "euler" takes dt <= tau; "exponential" solves the leak exactly and takes any dt. `x` may be
    `Timed(x, dt)`: that step then has this dt, in the unit of tau; a plain x has the cell's. The state of "rates" is
    an array h [N], that of "currents" (r, c) with r = phi(c); both start as for h = 0 and c = 0.

    Initial values: Glorot uniform, biases zero. The program of Song, Yang & Wang draws W_h from a normal distribution
    and scales it to the spectral radius 1.1, as "sparse:1.1" does up to 15 units. `learned` makes tau a parameter of
    each unit, through its logarithm, which starts at log(`tau`) + what `tau_init` draws: "uniform:2.3" spreads the
    time constants over a factor of 10 both ways.

    Elsewhere: none of torch, Keras, Flax, Haiku, Equinox.

    Source: Song, Yang & Wang 2016 (PLoS Computational Biology 12, e1004792), their program pycog, euler.pyx, for
    "currents"; Jaeger, Lukosevicius, Popovici & Siewert 2007 (Neural Networks 20, 335-352) for "rates"; Funahashi &
    Nakamura 1993 (Neural Networks 6, 801-806) for what such a network can approximate.

    Cost: 2 N (D + N) flops a step.
    """

    inputs: int
    units: int
    nonlinearity: str = "tanh"
    form: str = "rates"
    tau: float = 10.0
    dt: float = 1.0
    learned: bool = False
    integrator: str = "euler"
    recurrent_init: str = "glorot_uniform"
    input_init: str = "glorot_uniform"
    bias_init: str = "zeros"
    tau_init: str = "zeros"

    def __post_init__(self):
        parts.check(self)
        one_of("CTRNN.nonlinearity", self.nonlinearity, NONLINEARITIES)
        one_of("CTRNN.form", self.form, FORMS)
        one_of("CTRNN.integrator", self.integrator, INTEGRATORS)
        for name, value in (("tau", self.tau), ("dt", self.dt)):
            if value <= 0:
                raise ValueError(f"CTRNN.{name} got {value}; write a time above 0")
        if self.integrator == "euler" and self.dt > self.tau:
            raise ValueError(f"CTRNN.dt got {self.dt} for tau {self.tau}; write dt <= tau or integrator='exponential'")

    outputs = property(parts.outputs)

    @property
    def powers(self) -> tuple[str, ...]:
        affine = self.nonlinearity == "identity" and self.form == "rates"
        return ("factored", "pointwise") + (("affine",) if affine else ())

    def init(self, key: Array) -> Params:
        w_x, w_h, b = parts.gates(self, key, 1)
        if not self.learned:
            return Params(w_x, w_h, b, None)
        spread = initialisers.draw(self.tau_init, jax.random.fold_in(key, 2), (1, 1, self.units), b.dtype)[0, 0]
        return Params(w_x, w_h, b, jnp.log(jnp.full_like(b[0], self.tau)) + spread)

    def prepare(self, params: Params) -> Weights:
        w_x, w_h, b, log_tau = params
        rate = jnp.full_like(b[0], 1 / self.tau) if log_tau is None else jnp.exp(-log_tau)
        return Weights(w_x, w_h, b, rate, INTEGRATORS[self.integrator](self.dt * rate))

    def initial_state(self, weights: Weights) -> Any:
        h = parts.initial_state(self, weights)
        return h if self.form == "rates" else State(NONLINEARITIES[self.nonlinearity](h), h)

    def drive(self, weights: Weights, x: Any) -> Array:
        """W_x x + b [1, N], and below it the alpha of this step where x tells its dt [2, N]."""
        u = parts.drive(self, weights, bare(x))
        if not isinstance(x, Timed):
            return u
        alpha = INTEGRATORS[self.integrator](x.dt * weights.rate)
        return jnp.concatenate([u, alpha[None]])

    recur = parts.recur

    def update(self, weights: Weights, state: Any, u, v) -> Any:
        phi = NONLINEARITIES[self.nonlinearity]
        u, *own = u
        (v,) = v
        alpha = own[0] if own else weights.alpha
        if self.form == "rates":
            return (1 - alpha) * state + alpha * phi(u + v)
        c = (1 - alpha) * state.c + alpha * (u + v)
        return State(phi(c), c)

    readout = parts.readout
    step = parts.step
    recurrent = parts.recurrent

    kind = "dense"

    def coefficients(self, weights: Weights, x: Any) -> tuple[Array, Array]:
        """(A, b) of h_t = A h_{t-1} + b, for the identity in "rates"."""
        u, *own = self.drive(weights, x)
        alpha = own[0] if own else weights.alpha
        return jnp.diag(1 - alpha) + alpha[:, None] * weights.w_h[:, 0].T, alpha * u
