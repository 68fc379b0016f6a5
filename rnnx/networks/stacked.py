"""Deep networks: layer over layer, with what is put between them."""

from collections.abc import Callable, Sequence
from typing import Any

import jax
import jax.numpy as jnp
from flax import nnx
from jax import Array

from rnnx.networks.layers import Bidirectional, Recurrent, without_padding
from rnnx.networks.watch import Watch


class Stacked(nnx.Module):
    """Recurrent layers on top of each other.

        n^0 = y^0 = drop_in(x);    y^l = drop(r^l + layer^l(n^{l-1})),    n^l = norm^l(y^l),    l = 1 .. L

    What comes out is n^L. norm is LayerNorm where `norm` is set, else nothing (never of the input, whose scale may say
    something); r^l is y^{l-1} where `residual` is set and the widths agree (the first layer seldom), else 0; drop and
    drop_in set a share of entries to zero, anew at each step, only where a `key` is given. States are a tuple, one of
    each layer. Source of the residual form: He et al. 2016 (arXiv:1603.05027), between recurrent layers.
    """

    def __init__(
        self,
        layers: Sequence[Any],
        *,
        residual: bool = False,
        norm: bool = False,
        dropout: float = 0.0,
        input_dropout: float = 0.0,
        rngs: nnx.Rngs,
    ):
        layers = tuple(layers)
        if not layers:
            raise ValueError("Stacked: no layers; give at least one")
        for below, above in zip(layers, layers[1:], strict=False):
            if below.outputs != above.inputs:
                raise ValueError(
                    f"Stacked: a layer of {above.inputs} inputs above one of {below.outputs} outputs; "
                    f"give it inputs={below.outputs}"
                )
        for name, rate in (("dropout", dropout), ("input_dropout", input_dropout)):
            if not 0 <= rate < 1:
                raise ValueError(f"Stacked: {name} is {rate}; write a number from 0 to below 1")
        if norm and min(layer.outputs for layer in layers) == 1:
            raise ValueError("Stacked: norm of a layer of 1 output, which would always say 0; write norm=False")
        self.layers = nnx.List(layers)
        self.norms = nnx.List(
            [nnx.LayerNorm(layer.outputs, param_dtype=jnp.result_type(float), rngs=rngs) for layer in layers]
            if norm
            else []
        )
        self.residual = residual
        self.dropout, self.input_dropout = nnx.Dropout(dropout), nnx.Dropout(input_dropout)

    @property
    def inputs(self) -> int:
        return self.layers[0].inputs

    @property
    def outputs(self) -> int:
        return self.layers[-1].outputs

    @property
    def directions(self) -> tuple[tuple[int, bool], ...]:
        return self.layers[-1].directions

    @property
    def causal(self) -> bool:
        """Whether y_t depends on x_0 .. x_t alone."""
        return all(layer.causal for layer in self.layers)

    def __call__(
        self,
        xs: Array,
        state: Any = None,
        *,
        length: Any = None,
        resets: Any = None,
        key: Array | None = None,
        watch: Watch | None = None,
    ) -> tuple[Any, Array]:
        """(final states, ys [T, O])"""
        count = len(self.layers)
        keys = [None] * (2 * count + 1) if key is None else list(jax.random.split(key, 2 * count + 1))
        before = [None] * count if state is None else state
        ys, after = _dropped(self.input_dropout, without_padding(xs, length), keys[-1]), []
        read = ys
        for i, layer in enumerate(self.layers):
            s, out = layer(read, before[i], length=length, resets=resets, key=keys[2 * i], watch=watch)
            if self.residual and layer.inputs == layer.outputs:
                out = ys + out
            ys = _dropped(self.dropout, out, keys[2 * i + 1])
            read = _normed(self.norms[i], ys) if self.norms else ys
            after.append(s)
        return tuple(after), read


def _normed(norm: nnx.LayerNorm, xs: Array) -> Array:
    with jax.numpy_dtype_promotion("standard"):  # flax asks what float32 and the dtype of xs make together
        return norm(xs)


def _dropped(dropout: nnx.Dropout, xs: Array, key: Array | None) -> Array:
    return xs if key is None or dropout.rate == 0 else dropout(xs, deterministic=False, rngs=key)


def stacked(
    make: Callable[[int, int], Any],
    inputs: int,
    units: int,
    layers: int = 1,
    *,
    bidirectional: bool = False,
    method: Any = None,
    rngs: nnx.Rngs,
    **between: Any,
) -> Stacked:
    """`layers` layers of `make(inputs, units)`, the upper ones as wide as what they read; `between` as in Stacked.

    Both directions of a bidirectional layer have `units` units.
    """
    if layers < 1:
        raise ValueError(f"stacked: layers is {layers}; write at least 1")
    made = []
    for _ in range(layers):
        cell = make(inputs, units)
        if bidirectional:
            made.append(Bidirectional(cell, make(inputs, units), method=method, rngs=rngs))
        else:
            made.append(Recurrent(cell, method=method, rngs=rngs))
        inputs = made[-1].outputs
    return Stacked(made, rngs=rngs, **between)
