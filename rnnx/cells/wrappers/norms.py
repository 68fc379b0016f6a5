"""Normalisation of what goes into a cell, or of what comes out of it."""

from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
from jax import Array

from rnnx.cells.wrappers import inner
from rnnx.types import Masked, Timed, bare, cell, one_of

NORMS = ("layer", "rms")


class Params(NamedTuple):
    cell: Any
    gain: Array  # [M], ones at first
    bias: Array  # [M], zeros at first


def normalised(norm: str, a: Array, gain: Array, bias: Array, epsilon: float) -> Array:
    """gain * (a - mean) / sqrt(variance + epsilon) + bias; "rms" takes no mean away. a [M]"""
    centred = a - jnp.mean(a) if norm == "layer" else a
    scale = jax.lax.rsqrt(jnp.mean(centred * centred) + epsilon)
    return gain.astype(a.dtype) * centred * scale + bias.astype(a.dtype)


def _init(wrapper: Any, key: Array, width: int) -> Params:
    params = wrapper.cell.init(key)
    dtype = jax.tree.leaves(params)[0].dtype
    return Params(params, jnp.ones(width, dtype), jnp.zeros(width, dtype))


def _check(wrapper: Any) -> None:
    one_of(f"{type(wrapper).__name__}.norm", wrapper.norm, NORMS)
    if wrapper.epsilon <= 0:
        raise ValueError(
            f"{type(wrapper).__name__}.epsilon got {wrapper.epsilon}; write a number above 0, such as 1e-5"
        )


@cell
class LayerNorm:
    """A cell whose output is normalised over its units, step by step.

        y_t = gain * (h_t - mean(h_t)) / sqrt(var(h_t) + epsilon) + bias    [N], h_t the inner cell's output

    `norm="rms"` leaves the mean (Zhang & Sennrich 2019, arXiv:1910.07467). What is carried stays as it is; for
    normalisation inside the recurrence see the cell `lstm_layer_norm`. It has the powers of the inner cell.

    Source: Ba, Kiros & Hinton 2016 (arXiv:1607.06450), eq. 4.
    """

    cell: Any
    norm: str = "layer"
    epsilon: float = 1e-5

    __post_init__ = _check
    inputs = property(inner.inputs)
    outputs = property(inner.outputs)
    powers = property(inner.claims)

    def init(self, key: Array) -> Params:
        return _init(self, key, self.outputs)

    def readout(self, weights: Params, state: Any, x: Any) -> Array:
        h = self.cell.readout(weights.cell, state, x)
        return normalised(self.norm, h, weights.gain, weights.bias, self.epsilon)

    prepare = inner.prepare
    initial_state = inner.initial_state
    drive = inner.drive
    recur = inner.recur
    update = inner.update
    step = inner.step
    recurrent = inner.recurrent
    kind = property(inner.kind)
    coefficients = inner.coefficients
    masks = inner.masks
    drop = inner.drop


@cell
class InputNorm:
    """A cell that sees its input normalised over the features, step by step.

        x'_t = gain * (x_t - mean(x_t)) / sqrt(var(x_t) + epsilon) + bias    [D], what the inner cell sees

    `norm` and `epsilon` as in `LayerNorm`. It happens in `drive`, outside the loop: the powers of the inner cell stay.
    """

    cell: Any
    norm: str = "layer"
    epsilon: float = 1e-5

    __post_init__ = _check
    inputs = property(inner.inputs)
    outputs = property(inner.outputs)
    powers = property(inner.claims)

    def init(self, key: Array) -> Params:
        return _init(self, key, self.inputs)

    def seen(self, weights: Params, x: Any) -> Any:
        """x as the inner cell sees it."""
        if isinstance(x, (Masked, Timed)):
            return x._replace(x=self.seen(weights, x.x))
        return normalised(self.norm, bare(x), weights.gain, weights.bias, self.epsilon)

    def drive(self, weights: Params, x: Any) -> Any:
        return self.cell.drive(weights.cell, self.seen(weights, x))

    def readout(self, weights: Params, state: Any, x: Any) -> Array:
        return self.cell.readout(weights.cell, state, self.seen(weights, x))

    def step(self, weights: Params, state: Any, x: Any) -> tuple[Any, Array]:
        return self.cell.step(weights.cell, state, self.seen(weights, x))

    def coefficients(self, weights: Params, x: Any) -> tuple[Any, Any]:
        return self.cell.coefficients(weights.cell, self.seen(weights, x))

    prepare = inner.prepare
    initial_state = inner.initial_state
    recur = inner.recur
    update = inner.update
    recurrent = inner.recurrent
    kind = property(inner.kind)
    masks = inner.masks
    drop = inner.drop
