"""Dropout that does not forget: one mask a sequence on inputs and recurrent products, or on recurrent weights."""

from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
from jax import Array

from rnnx.cells.wrappers import inner
from rnnx.types import Masked, Timed, bare, cell, powers, state_of


def rate(owner: str, value: float) -> None:
    """Raise unless `value` is a rate of dropping, which leaves something over."""
    if not 0 <= value < 1:
        raise ValueError(f"{owner} got {value}; write a number from 0 to below 1")


def kept(key: Array, share: float, shape: tuple[int, ...], dtype) -> Array:
    """0 with probability `share`, else 1 / (1 - share): the mean is 1."""
    return jax.random.bernoulli(key, 1 - share, shape).astype(dtype) / (1 - share)


class State(NamedTuple):
    r: Array  # h under its mask: what the recurrent product reads
    cell: Any


@cell
class Dropout:
    """Variational dropout: one mask a sequence, on what enters the cell and on what its recurrent product reads.

        x'_t = m_x * x_t                what the inner cell sees
        r_t  = m_h * h_t                what its recurrent product reads in the next step
        m    = 0 with probability p, else 1 / (1 - p); without masks (evaluation) 1

    `inputs_rate` and `recurrent_rate` are the p. Masks come through x: `Masked(xs, cell.masks(key, T))`; they are the
    same for all steps of a sequence, but any that vary are obeyed too. h is the first leaf of the state; elsewhere
    (z * h of a GRU) the cell sees it whole. The state a sequence starts from is read without a mask.

    It has the powers of the inner cell; affine only without a recurrent rate.

    Source: Gal & Ghahramani 2016 (arXiv:1512.05287), section 4, tied weights (one mask for all gates).
    """

    cell: Any
    inputs_rate: float = 0.0
    recurrent_rate: float = 0.0

    def __post_init__(self):
        rate("Dropout.inputs_rate", self.inputs_rate)
        rate("Dropout.recurrent_rate", self.recurrent_rate)
        if self.recurrent_rate and "factored" not in powers(self.cell):
            raise ValueError(
                f"Dropout.cell got {self.cell}, which does not tell its recurrent product; give a factored cell, or "
                "recurrent_rate=0"
            )

    inputs = property(inner.inputs)
    outputs = property(inner.outputs)

    @property
    def powers(self) -> tuple[str, ...]:
        return inner.claims_but_affine(self) if self.recurrent_rate else powers(self.cell)

    def masks(self, key: Array, steps: int) -> Any:
        """((m_x [T, D], m_h [T, N]), those of the inner cell)."""
        key_x, key_h, key_cell = jax.random.split(key, 3)
        h = jax.tree.leaves(state_of(self.cell))[0]
        m_x = kept(key_x, self.inputs_rate, (self.inputs,), h.dtype)
        m_h = kept(key_h, self.recurrent_rate, h.shape, h.dtype)
        own = tuple(jnp.broadcast_to(m, (steps, *m.shape)) for m in (m_x, m_h))
        return own, inner.masks(self, key_cell, steps)

    def _enter(self, weights: inner.Params, x: Any) -> tuple[Array, Any]:
        """(m_h, the inner cell's x)."""
        if not isinstance(x, Masked):
            h = jax.tree.leaves(jax.eval_shape(self.cell.initial_state, weights.cell))[0]
            return jnp.ones(h.shape, h.dtype), x
        (m_x, m_h), other = x.mask
        x = x.x
        masked = bare(x) * m_x.astype(bare(x).dtype)
        return m_h, inner.entering(x._replace(x=masked) if isinstance(x, Timed) else masked, other)

    def _read(self, state: State) -> Any:
        """The inner state as the recurrent product reads it: r in the place of h."""
        leaves, structure = jax.tree.flatten(state.cell)
        return structure.unflatten([state.r, *leaves[1:]])

    def _carried(self, m_h: Array, state: Any) -> Any:
        h = jax.tree.leaves(state)[0]
        return State(m_h.astype(h.dtype) * h, state)

    def initial_state(self, weights: inner.Params) -> Any:
        state = self.cell.initial_state(weights.cell)
        return State(jax.tree.leaves(state)[0], state) if self.recurrent_rate else state

    def drive(self, weights: inner.Params, x: Any) -> Any:
        m_h, x = self._enter(weights, x)
        u = self.cell.drive(weights.cell, x)
        return (u, m_h[None]) if self.recurrent_rate else u

    def recur(self, weights: inner.Params, state: Any) -> Any:
        return self.cell.recur(weights.cell, self._read(state) if self.recurrent_rate else state)

    def update(self, weights: inner.Params, state: Any, u: Any, v: Any) -> Any:
        if not self.recurrent_rate:
            return self.cell.update(weights.cell, state, u, v)
        u, (m_h,) = u
        return self._carried(m_h, self.cell.update(weights.cell, state.cell, u, v))

    def step(self, weights: inner.Params, state: Any, x: Any) -> tuple[Any, Array]:
        if self.recurrent_rate:
            state = self.update(weights, state, self.drive(weights, x), self.recur(weights, state))
        else:
            state, _ = self.cell.step(weights.cell, state, self._enter(weights, x)[1])
        return state, self.readout(weights, state, x)

    def readout(self, weights: inner.Params, state: Any, x: Any) -> Array:
        state = state.cell if self.recurrent_rate else state
        return self.cell.readout(weights.cell, state, self._enter(weights, x)[1])

    def recurrent(self, weights: inner.Params) -> Any:
        told = self.cell.recurrent(weights.cell)
        if not self.recurrent_rate:
            return told
        return told._replace(leaves=tuple(0 if i == 0 else i + 1 for i in told.leaves))

    def coefficients(self, weights: inner.Params, x: Any) -> tuple[Any, Any]:
        return self.cell.coefficients(weights.cell, self._enter(weights, x)[1])

    init = inner.init
    prepare = inner.prepare
    kind = property(inner.kind)
    drop = inner.drop


@cell
class DropConnect:
    """A cell with some of its recurrent weights dropped, the same ones all through a sequence.

        W'_h = m * W_h    in `prepare`, once a sequence
        m    = 0 with probability p, else 1 / (1 - p), for each weight; without a mask (evaluation) 1

    The mask comes with the parameters: `cell.drop(key, params)` puts it on them, inside the gradient and outside the
    loop. `leaf` names the field of the inner parameters that is dropped. It has the powers of the inner cell.

    Source: Merity, Keskar & Socher 2018 (arXiv:1708.02182), section 2 (the weight-dropped LSTM).
    """

    cell: Any
    rate: float = 0.5
    leaf: str = "w_h"

    def __post_init__(self):
        rate("DropConnect.rate", self.rate)
        fields = getattr(jax.eval_shape(self.cell.init, jax.random.key(0)), "_fields", ())
        if self.leaf not in fields:
            raise ValueError(
                f"DropConnect.leaf got {self.leaf!r}, which {type(self.cell).__name__} does not have; write one of "
                f"{', '.join(fields) or 'no field: give a cell of named parameters'}"
            )

    inputs = property(inner.inputs)
    outputs = property(inner.outputs)
    powers = property(inner.claims)

    def drop(self, key: Array, params: inner.Params) -> Masked:
        """The parameters under a mask drawn for them."""
        key_own, key_cell = jax.random.split(key)
        dropped = getattr(params.cell, self.leaf)
        return Masked(inner.drop(self, key_cell, params), kept(key_own, self.rate, dropped.shape, dropped.dtype))

    def prepare(self, params: Any) -> inner.Params:
        if isinstance(params, Masked):
            params, mask = params
            own = params.cell
            params = params._replace(cell=own._replace(**{self.leaf: mask * getattr(own, self.leaf)}))
        return inner.prepare(self, params)

    init = inner.init
    initial_state = inner.initial_state
    drive = inner.drive
    recur = inner.recur
    update = inner.update
    readout = inner.readout
    step = inner.step
    recurrent = inner.recurrent
    kind = property(inner.kind)
    coefficients = inner.coefficients
    masks = inner.masks
