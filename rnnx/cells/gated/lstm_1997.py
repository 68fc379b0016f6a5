"""The first long short-term memory: memory cell blocks, and no forget gate."""

from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jax import Array
from jax.nn import sigmoid

from rnnx.cells import initialisers, parts
from rnnx.cells.gated import lstm
from rnnx.types import Recurrent, cell, one_of

# The paper's g and h; the literature's; those of experiments 2a and 2b.
SQUASHINGS = {"paper": lstm.SQUASHINGS["paper"], "tanh": (jnp.tanh, jnp.tanh), "identity": (sigmoid, lambda c: c)}

STARTS = {"i": "in_bias", "f": "forget_bias", "o": "out_bias"}


class Params(NamedTuple):
    """G gates a block, in the order i, f, o, for B blocks; M = N + G B with sees="all", N with sees="cells"."""

    w_x: Array  # [D, 1, N], of the cells' inputs g
    w_h: Array | None  # [M, 1, N]
    b: Array | None  # [1, N]
    v_x: Array  # [D, G, B], of the gates
    v_h: Array | None  # [M, G, B]
    v_b: Array | None  # [G, B]


class Weights(NamedTuple):
    """Each cell with its block's gates, in the order i, f, g, o; M = (1 + G) N with sees="all"."""

    w_x: Array  # [D, 1 + G, N]
    w_h: Array | None  # [M, 1 + G, N]
    b: Array  # [1 + G, N]


class State(NamedTuple):
    h: Array  # [N]
    c: Array  # [N]
    i: Array | None = None  # [N], with sees="all": the gates of this step
    f: Array | None = None  # [N]
    o: Array | None = None  # [N]


def step(
    weights: Weights,
    state: State,
    x: Array,
    *,
    squashing: str = "paper",
    sees: str = "all",
    output_gate: bool = True,
    forget: bool = False,
) -> tuple[State, Array]:
    """One step for `lax.scan`; weights = LSTM1997(...).prepare(params), once, outside the loop."""
    inputs, _, units = weights.w_x.shape
    this = LSTM1997(inputs, units, squashing=squashing, sees=sees, output_gate=output_gate, forget=forget)
    return this.step(weights, state, x)


@cell
class LSTM1997:
    """Long short-term memory of 1997: memory cell blocks, no forget gate, no peepholes.

        z    = (x_t, h_{t-1}, i_{t-1}, o_{t-1})            what every gate and cell sees
        i, o = sigmoid(W z + b)                            [B] each, one for each block
        g    = 4 sigmoid(W z + b) - 2                      [N]
        c_t  = c_{t-1} + i * g                             [N], with the i of its block
        h_t  = o * (2 sigmoid(c_t) - 1)                    [N], with the o of its block
        y_t  = h_t

    A block is `block` consecutive cells with one input gate and one output gate; the last may be smaller. c keeps
    what it holds with derivative 1: the constant error carousel. `sees` is what gates and cells see of the step
    before: "all" (cells and gates, the paper's F), "cells", or "nothing" (its B). `squashing`: "paper", "tanh", or
    "identity" (h = c and g = sigmoid, experiments 2a and 2b). `output_gate=False` makes o = 1 (2a, 2b). `bias`
    says which units have one: "all", "gates" or "none". `forget=True` gives each block a forget gate f,
    c_t = f * c_{t-1} + i * g (Gers, Schmidhuber & Cummins 2000). The gradient here is the whole one, the paper
    truncates it where it would leave a cell or gate through time. The state is zero at the start; its gates are
    there with sees="all" only.

    Initial values: U(-0.1, 0.1), biases too, as in experiments 3-6; "uniform:0.2" for 1 and 2. The bias of gate k
    (k = 0, 1, ... over the blocks) is `in_bias` + k `in_bias_step` instead, unless both are zero; likewise `out_bias`
    and `forget_bias`. Experiment 1: out -1, step -1; 3: out -2, step -2 and in -1, step -2; 4: in -3, step -3;
    6: in -2, step -2. In 2000, continual Reber: in and out -0.5, step -0.5 and forget 0.5, step 0.5.

    Elsewhere: none of torch, Keras, Flax, Haiku, Equinox.

    Source: Hochreiter & Schmidhuber 1997 (Neural Computation 9, 1735-1780), eq. 3-9, section 4 and table 10; with
    `forget`, Gers, Schmidhuber & Cummins 2000 (Neural Computation 12, 2451-2471), section 3.

    Cost: 6 N (D + 3 N) flops a step with sees="all", 6 N (D + N) with "cells": blocks are spread to cells.
    """

    inputs: int
    units: int
    block: int = 1
    squashing: str = "paper"
    sees: str = "all"
    output_gate: bool = True
    forget: bool = False
    bias: str = "all"
    in_bias: float = 0.0
    in_bias_step: float = 0.0
    out_bias: float = 0.0
    out_bias_step: float = 0.0
    forget_bias: float = 0.0
    forget_bias_step: float = 0.0
    recurrent_init: str = "uniform:0.1"
    input_init: str = "uniform:0.1"
    bias_init: str = "uniform:0.1"

    def __post_init__(self):
        parts.check(self)
        one_of("LSTM1997.squashing", self.squashing, SQUASHINGS)
        one_of("LSTM1997.sees", self.sees, ("all", "cells", "nothing"))
        one_of("LSTM1997.bias", self.bias, ("all", "gates", "none"))
        if self.block < 1:
            raise ValueError(f"LSTM1997.block got {self.block}; write how many cells share their gates, at least 1")
        started = [name for letter in self.gates for name in (STARTS[letter], STARTS[letter] + "_step")]
        if self.bias == "none" and any(getattr(self, name) for name in started):
            raise ValueError("LSTM1997.bias got 'none' and the start of a bias; write bias='gates' or no start")

    powers = ("factored", "pointwise")
    outputs = property(parts.outputs)

    @property
    def gates(self) -> str:
        """The letters of the gates, in their order."""
        return "i" + "f" * self.forget + "o" * self.output_gate

    def init(self, key: Array) -> Params:
        dtype = jnp.zeros(()).dtype
        count, blocks = len(self.gates), -(-self.units // self.block)
        width = {"all": self.units + count * blocks, "cells": self.units, "nothing": 0}[self.sees]
        keys = jax.random.split(key, 6)
        w_x = initialisers.draw(self.input_init, keys[0], (self.inputs, 1, self.units), dtype)
        v_x = initialisers.draw(self.input_init, keys[1], (self.inputs, count, blocks), dtype)
        w_h = v_h = b = v_b = None
        if width:
            w_h = initialisers.draw(self.recurrent_init, keys[2], (width, 1, self.units), dtype)
            v_h = initialisers.draw(self.recurrent_init, keys[3], (width, count, blocks), dtype)
        if self.bias == "all":
            b = initialisers.draw(self.bias_init, keys[4], (1, 1, self.units), dtype)[0]
        if self.bias != "none":
            v_b = initialisers.draw(self.bias_init, keys[5], (1, count, blocks), dtype)[0]
            for row, letter in enumerate(self.gates):
                start, by = getattr(self, STARTS[letter]), getattr(self, STARTS[letter] + "_step")
                if start or by:
                    v_b = v_b.at[row].set(start + by * jnp.arange(blocks, dtype=dtype))
        return Params(w_x, w_h, b, v_x, v_h, v_b)

    def prepare(self, params: Params) -> Weights:
        """Gives each cell the gates of its block: the weights of an LSTM with tied columns."""
        count, before = len(self.gates), 2 if self.forget else 1  # gates, and those that stand before g
        of = np.arange(self.units) // self.block  # the block of each cell

        def spread(cells: Array, gates: Array) -> Array:
            """[M, 1, N] and [M, G, B] -> [M, 1 + G, N]"""
            gates = gates[:, :, of] if self.block > 1 else gates
            return jnp.concatenate([gates[:, :before], cells, gates[:, before:]], axis=1)

        w_x, w_h, b = spread(params.w_x, params.v_x), None, jnp.zeros((1 + count, self.units), params.w_x.dtype)
        if params.v_b is not None:
            cells = jnp.zeros_like(b[:1]) if params.b is None else params.b
            b = spread(cells[None], params.v_b[None])[0]
        if params.w_h is not None and params.v_h is not None:
            w_h = spread(params.w_h, params.v_h)
            if self.sees == "all" and self.block > 1:  # a gate is seen once, by the first cell of its block
                first = np.arange(0, self.units, self.block)
                rows = np.concatenate([np.arange(self.units), *(self.units * (1 + k) + first for k in range(count))])
                whole = jnp.zeros((self.units * (1 + count), *w_h.shape[1:]), w_h.dtype)
                w_h = whole.at[rows].set(w_h)
        return Weights(w_x, w_h, b)

    def initial_state(self, weights: Weights) -> State:
        zero = jnp.zeros_like(weights.b[0])
        return State(zero, zero, **{letter: zero for letter in self.gates if self.sees == "all"})

    drive = parts.drive

    def recur(self, weights: Weights, state: State) -> Array:
        """v = W (h, i, f, o), of what is seen    [1 + G, N]"""
        if weights.w_h is None:
            return jnp.zeros_like(weights.b)
        h, _, *gates = jax.tree.leaves(state)
        return parts.product(jnp.concatenate([h, *gates]), weights.w_h)

    def update(self, weights: Weights, state: State, u, v) -> State:
        del weights
        squash_g, squash_h = SQUASHINGS[self.squashing]
        rows = [a + b for a, b in zip(u, v, strict=True)]  # i, (f), g, (o)
        i = sigmoid(rows[0])
        f = sigmoid(rows[1]) if self.forget else None
        g = squash_g(rows[2 if self.forget else 1])
        o = sigmoid(rows[-1]) if self.output_gate else None
        c = i * g + (state.c if f is None else f * state.c)
        h = squash_h(c) if o is None else o * squash_h(c)
        return State(h, c, i, f, o) if self.sees == "all" else State(h, c)

    readout = parts.readout
    step = parts.step

    def recurrent(self, weights: Weights) -> Recurrent:
        if weights.w_h is None:
            return Recurrent("dense", jnp.zeros((self.units, *weights.b.shape), weights.b.dtype), (0,))
        leaves = (0, *(2 + k for k in range(len(self.gates)))) if self.sees == "all" else (0,)
        return Recurrent("dense", weights.w_h, leaves)
