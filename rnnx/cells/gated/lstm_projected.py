"""Long short-term memory that feeds back a projection of its output."""

from typing import NamedTuple

import jax
import jax.numpy as jnp
from jax import Array
from jax.nn import sigmoid

from rnnx.cells import initialisers, parts
from rnnx.cells.memory import remember
from rnnx.types import cell


class Params(NamedTuple):
    """R units are fed back, P are not."""

    w_x: Array  # [D, 4, N], gates i, f, g, o
    w_h: Array  # [R, 4, N]
    b: Array  # [4, N]
    w_r: Array  # [N, R + P], the projections r and p
    p_i: Array | None  # [N], with peepholes
    p_f: Array | None  # [N]
    p_o: Array | None  # [N]


class State(NamedTuple):
    h: Array  # [R], the paper's r
    c: Array  # [N]
    p: Array | None  # [P], where there are any


def step(params: Params, state: State, x: Array) -> tuple[State, Array]:
    """One step for `lax.scan`: `LSTMProjected.step`, with or without peepholes as the parameters have them."""
    inputs, _, units = params.w_x.shape
    width = params.w_h.shape[0]
    this = LSTMProjected(inputs, units, width, params.w_r.shape[1] - width, params.p_i is not None)
    return this.step(params, state, x)


@cell
class LSTMProjected:
    """Long short-term memory with a recurrent projection layer (LSTMP).

        i, f = sigmoid(W_x x_t + W_h h_{t-1} + p * c_{t-1} + b)    [N] each
        g    = tanh(W_x x_t + W_h h_{t-1} + b)                     [N]
        c_t  = f * c_{t-1} + i * g                                 [N]
        o    = sigmoid(W_x x_t + W_h h_{t-1} + p * c_t + b)        [N]
        h_t  = W_r (o * tanh(c_t))                                 [R]
        y_t  = h_t, and after it W_p (o * tanh(c_t))               [R + P]

    N cells, of which only `projection` = R numbers are fed back and put out; 0 means half the units, rounded up. P =
    `nonrecurrent` further ones are put out and not fed back. The terms in p are there with `peepholes=True`, as in
    the paper's; without them it is torch's. The update mixes units: the cell is not Pointwise. The state is zero
    at the start.

    Initial values: Glorot uniform gate by gate, `projection_init` for W_r and W_p, `peephole_init` for peepholes.
    `forget_bias` and `forget_init` as `LSTM`. The second paper draws all from U(-0.02, 0.02), "uniform:0.02".

    Elsewhere: torch `LSTM(proj_size=R)`; none of Keras, Flax, Haiku, Equinox.

    Source: Sak, Senior & Beaufays 2014 (arXiv:1402.1128), section 2, the equations of LSTMP; second paper 2014
    (Interspeech, 338-342), without P.

    Cost: 8 N (D + R) + 2 N (R + P) flops a step.
    """

    inputs: int
    units: int
    projection: int = 0
    nonrecurrent: int = 0
    peepholes: bool = False
    forget_bias: float = 1.0
    forget_init: str = "constant"
    projection_init: str = "glorot_uniform"
    peephole_init: str = "uniform:0.1"
    recurrent_init: str = "glorot_uniform"
    input_init: str = "glorot_uniform"
    bias_init: str = "zeros"

    def __post_init__(self):
        parts.check(self)
        if not 0 <= self.projection <= self.units:
            raise ValueError(
                f"LSTMProjected.projection got {self.projection} for {self.units} units; write 1 to {self.units}, or "
                "0 for half the units"
            )
        if self.nonrecurrent < 0:
            raise ValueError(f"LSTMProjected.nonrecurrent got {self.nonrecurrent}; write how many, or 0 for none")

    powers = ("factored",)

    @property
    def width(self) -> int:
        """How many numbers are fed back."""
        return self.projection or -(-self.units // 2)

    @property
    def outputs(self) -> int:
        return self.width + self.nonrecurrent

    def init(self, key: Array) -> Params:
        dtype = jnp.zeros(()).dtype
        keys = jax.random.split(key, 6)
        w_x = initialisers.draw(self.input_init, keys[0], (self.inputs, 4, self.units), dtype)
        w_h = initialisers.draw(self.recurrent_init, keys[1], (self.width, 4, self.units), dtype)
        b = initialisers.draw(self.bias_init, keys[2], (1, 4, self.units), dtype)[0]
        b = remember(self, keys[3], b, keeps=1, takes=0)
        w_r = initialisers.draw(self.projection_init, keys[4], (self.units, 1, self.outputs), dtype)[:, 0]
        if not self.peepholes:
            return Params(w_x, w_h, b, w_r, None, None, None)
        return Params(w_x, w_h, b, w_r, *initialisers.draw(self.peephole_init, keys[5], (1, 3, self.units), dtype)[0])

    prepare = parts.prepare

    def initial_state(self, weights: Params) -> State:
        c = jnp.zeros_like(weights.b[0])
        out = jnp.zeros_like(weights.w_r[0])
        return State(out[: self.width], c, out[self.width :] if self.nonrecurrent else None)

    drive = parts.drive
    recur = parts.recur

    def update(self, weights: Params, state: State, u, v) -> State:
        (ui, uf, ug, uo), (vi, vf, vg, vo) = u, v
        i = sigmoid(ui + vi if weights.p_i is None else ui + vi + weights.p_i * state.c)
        f = sigmoid(uf + vf if weights.p_f is None else uf + vf + weights.p_f * state.c)
        g = jnp.tanh(ug + vg)
        c = f * state.c + i * g
        o = sigmoid(uo + vo if weights.p_o is None else uo + vo + weights.p_o * c)
        out = (o * jnp.tanh(c)) @ weights.w_r
        return State(out[: self.width], c, out[self.width :] if self.nonrecurrent else None)

    def readout(self, weights: Params, state: State, x: Array) -> Array:
        """y = h, and p after it"""
        del weights, x
        return state.h if state.p is None else jnp.concatenate([state.h, state.p])

    step = parts.step
