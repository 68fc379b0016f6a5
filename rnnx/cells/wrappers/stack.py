"""Deep networks: one cell on top of another."""

from typing import Any

import jax
from jax import Array

from rnnx.cells.wrappers.inner import entering
from rnnx.types import Masked, cell, powers


@cell
class Stack:
    """Cells on top of each other: each sees the output of the one below.

        s^l_t, y^l_t = step^l(s^l_{t-1}, y^{l-1}_t),    y^0_t = x_t;  y_t = y^L_t

    `cells` is a tuple, the lowest first; parameters, weights, states and masks are tuples alike. Layers of one kind
    may differ in every option. `layers(params)` hands the layers out, for whole sequences to go through one after the
    other, which gives the same numbers. Factored if all its cells are: the products of upper layers with this
    step's input then belong to the update.
    """

    cells: tuple[Any, ...]

    def __post_init__(self):
        if not isinstance(self.cells, tuple) or not self.cells:
            raise ValueError(f"Stack.cells got {self.cells!r}; write a tuple of cells, the lowest first")
        for below, above in zip(self.cells, self.cells[1:], strict=False):
            if below.outputs != above.inputs:
                raise ValueError(
                    f"Stack.cells got {above} above a cell of {below.outputs} outputs; give it inputs={below.outputs}"
                )

    @property
    def inputs(self) -> int:
        return self.cells[0].inputs

    @property
    def outputs(self) -> int:
        return self.cells[-1].outputs

    @property
    def powers(self) -> tuple[str, ...]:
        return ("factored",) if all("factored" in powers(layer) for layer in self.cells) else ()

    def layers(self, params: tuple[Any, ...]) -> tuple[tuple[Any, Any], ...]:
        """(cell, its parameters) of each layer, the lowest first."""
        return tuple(zip(self.cells, params, strict=True))

    def init(self, key: Array) -> tuple[Any, ...]:
        keys = jax.random.split(key, len(self.cells))
        return tuple(layer.init(k) for layer, k in zip(self.cells, keys, strict=True))

    def prepare(self, params: tuple[Any, ...]) -> tuple[Any, ...]:
        return tuple(layer.prepare(p) for layer, p in self.layers(params))

    def initial_state(self, weights: tuple[Any, ...]) -> tuple[Any, ...]:
        return tuple(layer.initial_state(w) for layer, w in self.layers(weights))

    def drive(self, weights: tuple[Any, ...], x: Any) -> Any:
        x, masks = self._enter(x)
        x = entering(x, masks[0])
        return self.cells[0].drive(weights[0], x), x, masks

    def recur(self, weights: tuple[Any, ...], state: tuple[Any, ...]) -> Any:
        return tuple(layer.recur(w, s) for layer, w, s in zip(self.cells, weights, state, strict=True))

    def update(self, weights: tuple[Any, ...], state: tuple[Any, ...], u: Any, v: Any) -> tuple[Any, ...]:
        u, x, masks = u
        new = [self.cells[0].update(weights[0], state[0], u, v[0])]
        for i in range(1, len(self.cells)):
            below, layer = self.cells[i - 1], self.cells[i]
            x = entering(below.readout(weights[i - 1], new[-1], x), masks[i])
            new.append(layer.update(weights[i], state[i], layer.drive(weights[i], x), v[i]))
        return tuple(new)

    def step(self, weights: tuple[Any, ...], state: tuple[Any, ...], x: Any) -> tuple[Any, Array]:
        y, masks = self._enter(x)
        new = []
        for layer, w, s, mask in zip(self.cells, weights, state, masks, strict=True):
            s, y = layer.step(w, s, entering(y, mask))
            new.append(s)
        return tuple(new), y

    def readout(self, weights: tuple[Any, ...], state: tuple[Any, ...], x: Any) -> Array:
        y, masks = self._enter(x)
        for layer, w, s, mask in zip(self.cells, weights, state, masks, strict=True):
            y = layer.readout(w, s, entering(y, mask))
        return y

    def masks(self, key: Array, steps: int) -> tuple[Any, ...]:
        """The masks of every layer; None for one that takes none."""
        keys = jax.random.split(key, len(self.cells))
        return tuple(c.masks(k, steps) if hasattr(c, "masks") else None for c, k in zip(self.cells, keys, strict=True))

    def drop(self, key: Array, params: tuple[Any, ...]) -> tuple[Any, ...]:
        keys = jax.random.split(key, len(self.cells))
        pairs = zip(self.layers(params), keys, strict=True)
        return tuple(layer.drop(k, p) if hasattr(layer, "drop") else p for (layer, p), k in pairs)

    def _enter(self, x: Any) -> tuple[Any, tuple[Any, ...]]:
        return (x.x, x.mask) if isinstance(x, Masked) else (x, (None,) * len(self.cells))
