"""Closed-form continuous-time networks."""

from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
from jax import Array
from jax.nn import sigmoid

from rnnx.cells import parts
from rnnx.cells.initialisers import draw
from rnnx.types import Timed, cell, one_of

ACTIVATIONS = {
    "lecun_tanh": lambda a: 1.7159 * jnp.tanh(0.666 * a),
    "tanh": jnp.tanh,
    "relu": parts.relu,
    "silu": jax.nn.silu,
    "gelu": lambda a: jax.nn.gelu(a, approximate=False),
}
MODES = ("default", "no_gate", "pure")


class Params(NamedTuple):
    w_x: Array  # [D, G, M], into the first layer
    w_h: Array  # [N, G, M]
    b: Array  # [G, M]
    layers: tuple[Any, ...]  # (w [M, 1, M], b [1, M]) each, at last the heads (w [M, G, N], b [G, N])
    w_tau: Array | None  # [N], "pure" alone
    a: Array | None  # [N], "pure" alone


def step(
    params: Params,
    state: Array,
    x: Any,
    *,
    mode: str = "default",
    backbone_layers: int = 1,
    backbone_units: int = 0,
    activation: str = "lecun_tanh",
    offset: bool = True,
    dt: float = 1.0,
) -> tuple[Array, Array]:
    """One step for `lax.scan`: `CfC.step` without a configuration. State h [N], x [D] or Timed -> (h, h)."""
    inputs, units = params.w_x.shape[0], params.w_h.shape[0]
    options = (mode, backbone_layers, backbone_units, activation, offset, dt)
    return CfC(inputs, units, *options).step(params, state, x)


@cell
class CfC:
    """Closed-form continuous-time network: a liquid time-constant network whose solution is written down, not stepped.

        s          = act(W_x x_t + W_h h_{t-1} + b), then more such layers      [M]
        g, k, f, o = W s + c, each its own                                      [N] each
        p          = sigmoid(f dt + o)                                          [N]
        h_t        = (1 - p) * tanh(g) + p * tanh(k)                            [N]
        y_t        = h_t

    `mode` "no_gate" leaves out the 1 - p: h_t = tanh(g) + p * tanh(k). "pure" has one head g and is the approximate
    solution itself: h_t = a - a * exp(-dt (|w_tau| + |g|)) * g, with a and w_tau [N].

    The backbone has `backbone_layers` layers of `backbone_units` (0: of N) units and `activation` (LeCun's tanh is
    1.7159 tanh(0.666 a)). With 0 layers the heads read x and h, and only then is the cell Pointwise. `offset=False`
    drops the head o: the paper's equation, which has f alone (with the other sign). dt is a field, or comes with
    the input as `Timed(x, dt)`. The state h is an array [N], zero at the start.

    Initial values: Glorot uniform for the matrix of (x, h) as one, and for each head; biases zero (the authors': those
    of torch's linear layers). a is 1, w_tau is 0; there |w_tau| has derivative 0, so w_tau stays, as with the authors.
    Their packages have 128 backbone units.

    Elsewhere: none of torch, Keras, Flax, Haiku, Equinox; ncps `CfC` (no sparse wiring here).

    Source: Hasani, Lechner, Amini, Liebenwein, Ray, Tschaikowski, Teschl & Rus 2022 (arXiv:2106.13898; Nature Machine
    Intelligence 4, 992-1003), eq. 10 of the preprint; modes and backbone as in the authors' `CfcCell`.

    Cost: 2 M (D + N) + 8 M N flops a step with one layer, 8 N (D + N) with none.
    """

    inputs: int
    units: int
    mode: str = "default"
    backbone_layers: int = 1
    backbone_units: int = 0
    activation: str = "lecun_tanh"
    offset: bool = True
    dt: float = 1.0
    kernel_init: str = "glorot_uniform"
    bias_init: str = "zeros"

    def __post_init__(self):
        parts.check(self)
        one_of("CfC.mode", self.mode, MODES)
        one_of("CfC.activation", self.activation, ACTIVATIONS)
        for name, value in (("backbone_layers", self.backbone_layers), ("backbone_units", self.backbone_units)):
            if value < 0:
                raise ValueError(f"CfC.{name} got {value}; write a whole number of at least 0")
        if self.dt <= 0:
            raise ValueError(f"CfC.dt got {self.dt}; write a time above 0, such as 1")

    outputs = property(parts.outputs)

    @property
    def powers(self) -> tuple[str, ...]:
        return ("factored",) if self.backbone_layers else ("factored", "pointwise")

    def init(self, key: Array) -> Params:
        dtype = jnp.zeros(()).dtype
        width = self.backbone_units or self.units
        heads = 1 if self.mode == "pure" else 3 + self.offset
        shapes = [(1, width)] * self.backbone_layers + [(heads, self.units)]
        sources = [self.inputs + self.units] + [width] * self.backbone_layers
        layers = []
        for source, shape, k in zip(sources, shapes, jax.random.split(key, len(shapes)), strict=True):
            key_w, key_b = jax.random.split(k)
            w = draw(self.kernel_init, key_w, (source, *shape), dtype)
            layers.append((w, draw(self.bias_init, key_b, (1, *shape), dtype)[0]))
        (w, b), *layers = layers
        zero, pure = jnp.zeros(self.units, dtype), self.mode == "pure"
        last = (zero, zero + 1) if pure else (None, None)
        return Params(w[: self.inputs], w[self.inputs :], b, tuple(layers), *last)

    prepare = parts.prepare

    def initial_state(self, weights: Params) -> Array:
        return jnp.zeros_like(weights.w_h[:, 0, 0])

    def drive(self, weights: Params, x: Any) -> Array:
        """The input's share of the first layer, and dt for every unit of it    [G + 1, M]"""
        x, dt = x if isinstance(x, Timed) else (x, self.dt)
        rows = parts.drive(self, weights, x)
        return jnp.concatenate((rows, jnp.full_like(rows[:1], dt)))

    recur = parts.recur

    def update(self, weights: Params, state: Array, u, v) -> Array:
        del state
        *u, dt = u
        s = tuple(a + b for a, b in zip(u, v, strict=True))
        if weights.layers:
            dt = dt[0]  # the heads have N units, the first layer M
        for w, b in weights.layers:
            s = parts.product(ACTIVATIONS[self.activation](s[0]), w) + b
        if self.mode == "pure":
            (g,) = s
            assert weights.a is not None and weights.w_tau is not None
            return weights.a - weights.a * jnp.exp(-dt * (jnp.abs(weights.w_tau) + jnp.abs(g))) * g
        g, k, f, *o = s
        p = sigmoid(f * dt + o[0] if o else f * dt)
        g = jnp.tanh(g) if self.mode == "no_gate" else (1 - p) * jnp.tanh(g)
        return g + p * jnp.tanh(k)

    readout = parts.readout
    step = parts.step
    recurrent = parts.recurrent
