"""The clockwork network: groups of units that tick at periods of their own."""

from typing import NamedTuple

import jax.numpy as jnp
import numpy as np
from jax import Array

from rnnx.cells import parts
from rnnx.types import cell

EXACT = 2**24  # whole numbers up to here are exact in float32


class Params(NamedTuple):
    w_x: Array  # [D, 1, N]
    w_h: Array  # [N, 1, N], of which only the blocks from a group to itself and to faster ones are read
    b: Array  # [1, N]


class Weights(NamedTuple):
    w_x: Array  # [D, 1, N]
    w_h: Array  # [N, 1, N], zero from faster to slower groups
    b: Array  # [1, N]
    period: Array  # [N], T of each unit
    longest: Array  # [], the largest T


class State(NamedTuple):
    h: Array  # [N]
    t: Array  # [], steps since the start, modulo the largest period


def step(weights: Weights, state: State, x: Array) -> tuple[State, Array]:
    """One step for `lax.scan`: weights = Clockwork(...).prepare(params), once, outside the loop. -> (State, h)."""
    inputs, _, units = weights.w_x.shape
    return Clockwork(inputs, units).step(weights, state, x)


@cell
class Clockwork:
    """Clockwork network: group g of the units has period T_g = base^g and stands still between its ticks.

        h_t = tanh(W_x x_t + W_h h_{t-1} + b)    [N], units with t mod T = 0
        h_t = h_{t-1}                            [N], the others
        y_t = h_t

    W_h is block-triangular: a unit hears those whose period is its own or longer, so that slow groups feed fast ones
    and never hear them. The units are shared out evenly over `groups`, fastest first, which take what is left over;
    with fewer units than groups the slowest groups are empty. `base` 1 is the `Elman` network. t counts from 0, so
    that every group takes the first input; it is a number of the state (h, t), kept modulo the largest period. That
    must be at most 2^24, up to where float32 counts exactly; bfloat16 counts to 256.

    Initial values: normal with deviation 0.1 for all weights, biases zero; the state is zero.

    Elsewhere: none of torch, Keras, Flax, Haiku, Equinox.

    Source: Koutnik, Greff, Gomez & Schmidhuber 2014 (arXiv:1402.3511), section 3.

    Cost: 2 N (D + N) flops a step: what the paper saves by leaving out groups that stand still is not saved here.
    """

    inputs: int
    units: int
    groups: int = 8
    base: int = 2
    recurrent_init: str = "normal:0.1"
    input_init: str = "normal:0.1"
    bias_init: str = "zeros"

    powers = ("factored", "pointwise")

    def __post_init__(self):
        parts.check(self)
        for name, value in (("groups", self.groups), ("base", self.base)):
            if value < 1:
                raise ValueError(f"Clockwork.{name} got {value}; write a whole number of at least 1")
        if self.base ** (self.groups - 1) > EXACT:
            raise ValueError(
                f"Clockwork.groups got {self.groups} with base {self.base}; write fewer, "
                f"base^(groups - 1) must be at most {EXACT}"
            )

    outputs = property(parts.outputs)

    def init(self, key: Array) -> Params:
        return Params(*parts.gates(self, key, 1))

    def prepare(self, params: Params) -> Weights:
        share, more = divmod(self.units, self.groups)
        sizes = [share + (g < more) for g in range(self.groups)]
        period = np.repeat([float(self.base**g) for g in range(self.groups)], sizes)
        heard = period[:, None, None] >= period  # [from, 1, to]
        w_h = jnp.where(heard, params.w_h, jnp.zeros_like(params.w_h))
        dtype = w_h.dtype
        return Weights(params.w_x, w_h, params.b, jnp.asarray(period, dtype), jnp.asarray(period[-1], dtype))

    def initial_state(self, weights: Weights) -> State:
        return State(parts.initial_state(self, weights), jnp.zeros_like(weights.longest))

    drive = parts.drive
    recur = parts.recur

    def update(self, weights: Weights, state: State, u, v) -> State:
        (u,), (v,) = u, v
        ticks = jnp.fmod(state.t, weights.period) == 0
        return State(jnp.where(ticks, jnp.tanh(u + v), state.h), jnp.fmod(state.t + 1, weights.longest))

    readout = parts.readout
    step = parts.step
    recurrent = parts.recurrent
