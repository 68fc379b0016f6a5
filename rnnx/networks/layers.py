"""One recurrent layer: a cell through the whole sequence, in one direction or in both."""

from typing import Any

import jax
import jax.numpy as jnp
from flax import nnx
from jax import Array

from rnnx.networks.watch import Watch
from rnnx.scans import scan
from rnnx.types import Masked


def without_padding(xs: Any, length: Any) -> Any:
    """xs [T, ...] with zeros at and after `length`: a NaN there times a gradient of 0 would be a NaN."""
    if length is None:
        return xs
    length = jnp.asarray(length)

    def real(a: Array) -> Array:
        valid = jnp.arange(a.shape[0], dtype=length.dtype) < length
        return jnp.where(valid.reshape(-1, *[1] * (a.ndim - 1)), a, jnp.zeros_like(a))

    return jax.tree.map(real, xs)


class Recurrent(nnx.Module):
    """A cell over a sequence: ys [T, O] of `rnnx.scan`, its parameters an `nnx.Param`.

    Like every module here it takes ONE sequence, xs [T, D]; `jax.vmap` adds the batch. Nothing is stored in it but
    parameters: states come in and go out. Under `reverse` it goes from the last valid step to the first.

    A `key` means training: the cell's masks (zoneout, variational dropout, dropped weights) are drawn from it.

    >>> import jax, jax.numpy as jnp
    >>> from flax import nnx
    >>> from rnnx.cells import GRU
    >>> layer = Recurrent(GRU(3, 8), rngs=nnx.Rngs(0))
    >>> state, ys = layer(jnp.ones((5, 3)))
    >>> ys.shape
    (5, 8)
    """

    def __init__(self, cell: Any, *, reverse: bool = False, method: Any = None, rngs: nnx.Rngs):
        self.cell, self.reverse, self.method = cell, reverse, method
        self.params = nnx.Param(cell.init(rngs.params()))

    @property
    def inputs(self) -> int:
        return self.cell.inputs

    @property
    def outputs(self) -> int:
        return self.cell.outputs

    @property
    def directions(self) -> tuple[tuple[int, bool], ...]:
        """(width, whether it runs backwards) of each part of ys."""
        return ((self.outputs, self.reverse),)

    @property
    def causal(self) -> bool:
        """Whether y_t depends on x_0 .. x_t alone."""
        return not self.reverse

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
        """(final state, ys [T, O])"""
        params, entering = self.params.get_value(), xs
        if key is not None:
            key_masks, key_weights = jax.random.split(key)
            if hasattr(self.cell, "drop"):
                params = self.cell.drop(key_weights, params)
            masks = self.cell.masks(key_masks, xs.shape[0]) if hasattr(self.cell, "masks") else None
            entering = xs if masks is None else Masked(xs, masks)
        how = {"resets": resets, "length": length, "reverse": self.reverse, "method": self.method}
        final, ys = scan(self.cell, params, entering, state, **how)
        return final, ys if watch is None else watch.passed(self, xs, ys, state)


class Bidirectional(nnx.Module):
    """Two layers over one sequence, one in each direction: y_t = (forward y_t, backward y_t), [T, O_f + O_b].

    Source: Schuster & Paliwal 1997, IEEE Trans. Signal Processing 45, 2673-2681.
    """

    def __init__(self, forward: Any, backward: Any, *, method: Any = None, rngs: nnx.Rngs):
        if forward.inputs != backward.inputs:
            raise ValueError(
                f"Bidirectional: the forward cell reads {forward.inputs} inputs, the backward one {backward.inputs}; "
                "give two cells of the same inputs"
            )
        self.forward = Recurrent(forward, method=method, rngs=rngs)
        self.backward = Recurrent(backward, reverse=True, method=method, rngs=rngs)

    @property
    def inputs(self) -> int:
        return self.forward.inputs

    @property
    def outputs(self) -> int:
        return self.forward.outputs + self.backward.outputs

    @property
    def directions(self) -> tuple[tuple[int, bool], ...]:
        return self.forward.directions + self.backward.directions

    causal = False

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
        """((final forward state, after the last valid step; final backward state, after the first), ys)"""
        keys = (None, None) if key is None else jax.random.split(key)
        before = (None, None) if state is None else state
        told = [
            layer(xs, s, length=length, resets=resets, key=k, watch=watch)
            for layer, s, k in zip((self.forward, self.backward), before, keys, strict=True)
        ]
        (end, ys), (begin, back) = told
        return (end, begin), jnp.concatenate([ys, back], axis=1)
