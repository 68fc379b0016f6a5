"""The recurrent highway network."""

from typing import NamedTuple

import jax
import jax.numpy as jnp
from jax import Array
from jax.nn import sigmoid

from rnnx.cells import initialisers, parts
from rnnx.cells.memory import remember
from rnnx.types import cell, one_of

CARRIES = {"coupled": 2, "free": 3}  # and the number of gates


class Params(NamedTuple):
    w_x: Array  # [D, G, N], gates n, t and, where it is free, c
    w_h: Array  # [N, G, N], R of the first layer
    b: Array  # [G, N]
    w_deep: Array | None  # [L - 1, N, G, N], R of the layers above it; None where there are none
    b_deep: Array | None  # [L - 1, G, N]


def step(params: Params, state: Array, x: Array) -> tuple[Array, Array]:
    """One step for `lax.scan`: `RHN.step` without a configuration. State h [N], x [D] -> (h, h).

    The parameters tell the depth and the kind of carry.
    """
    inputs, _, units = params.w_x.shape
    return RHN(inputs, units).step(params, state, x)


@cell
class RHN:
    """Recurrent highway network: L highway layers from one state to the next.

        s_0 = h_{t-1}
        n_l = tanh(W_x x_t [l = 1] + R_l s_{l-1} + b_l)         [N], l = 1 to L
        t_l = sigmoid(W_x x_t [l = 1] + R_l s_{l-1} + b_l)      [N]
        c_l = sigmoid(W_x x_t [l = 1] + R_l s_{l-1} + b_l)      [N]
        s_l = n_l * t_l + s_{l-1} * c_l                         [N]
        h_t = s_L
        y_t = h_t

    n is the paper's h. `depth` is L; the input enters the first layer alone. `carry` is "coupled", c = 1 - t without
    weights of its own, as in all experiments of the paper, or "free". Every gate has its own rows of W_x, R and b,
    in the order n, t, c. With `depth` 1 the cell is Pointwise. The state h is an array [N], zero at the start.

    Initial values: U(-0.04, 0.04) for all weights and the bias of n, as in the authors' code; the bias of t is
    -2 (-4 for text by characters), that of a free c is its negative. Both follow `forget_bias` and `forget_init`,
    in every layer.

    Elsewhere: none of torch, Keras, Flax, Haiku, Equinox.

    Source: Zilly, Srivastava, Koutnik & Schmidhuber 2016 (arXiv:1607.03474), eq. 6-9; coupled gate and initial
    values: github.com/jzilly/RecurrentHighwayNetworks, rhn.py and rhn_train.py.

    Cost: 2 G N (D + L N) flops a step, G = 2 gates, or 3.
    """

    inputs: int
    units: int
    depth: int = 3
    carry: str = "coupled"
    forget_bias: float = 2.0
    forget_init: str = "constant"
    recurrent_init: str = "uniform:0.04"
    input_init: str = "uniform:0.04"
    bias_init: str = "uniform:0.04"

    def __post_init__(self):
        parts.check(self)
        one_of("RHN.carry", self.carry, CARRIES)
        if self.depth < 1:
            raise ValueError(f"RHN.depth got {self.depth}; write a number of layers of at least 1")

    outputs = property(parts.outputs)

    @property
    def powers(self) -> tuple[str, ...]:
        return ("factored",) + (("pointwise",) if self.depth == 1 else ())

    def init(self, key: Array) -> Params:
        dtype = jnp.zeros(()).dtype
        key_x, key_h = jax.random.split(key)
        w_x = initialisers.draw(self.input_init, key_x, (self.inputs, CARRIES[self.carry], self.units), dtype)
        (w_h, b), *deep = [self._layer(key, dtype) for key in jax.random.split(key_h, self.depth)]
        if not deep:
            return Params(w_x, w_h, b, None, None)
        return Params(w_x, w_h, b, *(jnp.stack(layers) for layers in zip(*deep, strict=True)))

    def _layer(self, key: Array, dtype) -> tuple[Array, Array]:
        """(R [N, G, N], b [G, N]) of one layer."""
        gates = CARRIES[self.carry]
        key_r, key_b, key_f = jax.random.split(key, 3)
        r = initialisers.draw(self.recurrent_init, key_r, (self.units, gates, self.units), dtype)
        b = initialisers.draw(self.bias_init, key_b, (1, gates, self.units), dtype)[0]
        keep = remember(self, key_f, jnp.zeros_like(b), keeps=0)[0]
        return r, b.at[1].set(-keep).at[2:].set(keep)

    prepare = parts.prepare
    initial_state = parts.initial_state
    drive = parts.drive
    recur = parts.recur

    def update(self, weights: Params, state: Array, u, v) -> Array:
        s = self._highway([ui + vi for ui, vi in zip(u, v, strict=True)], state)
        if weights.w_deep is not None and weights.b_deep is not None:
            for r, b in zip(weights.w_deep, weights.b_deep, strict=True):
                s = self._highway(parts.product(s, r) + b, s)
        return s

    def _highway(self, gates, s: Array) -> Array:
        """s_l from what stands inside the functions of n, t and c, and s_{l-1}."""
        n, t, *c = gates
        t = sigmoid(t)
        return jnp.tanh(n) * t + s * (sigmoid(c[0]) if c else 1 - t)

    readout = parts.readout
    step = parts.step
    recurrent = parts.recurrent
