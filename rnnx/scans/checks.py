"""What the door refuses, each in one line: what was got, what was expected, what to do."""

from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from rnnx.types import Masked, bare


def values(cell: Any, xs: Any, length: Any) -> None:
    """What can only be seen before tracing: concrete lengths, cells that cannot be static."""
    if isinstance(length, (int, np.integer)):
        leaves = jax.tree.leaves(xs)
        if leaves and np.ndim(leaves[0]) and not 0 <= length <= np.shape(leaves[0])[0]:
            steps = np.shape(leaves[0])[0]
            raise ValueError(f"scan: length is {length} for {steps} steps; write a length of 0 to {steps}")
    if type(cell).__hash__ is None:
        raise TypeError(f"scan: {type(cell).__name__} cannot be hashed; make its class with @rnnx.types.cell")


def inputs(cell: Any, xs: Any, resets: Any, length: Any) -> int:
    """The number of steps, after every shape has been seen to fit."""
    leaves = jax.tree.leaves(xs)
    if not leaves or min(leaf.ndim for leaf in leaves) == 0:
        raise ValueError("scan: xs has no time axis; give [T, D], or a pytree whose leaves lead with T")
    if isinstance(xs, (jax.Array, np.ndarray)):
        if xs.ndim != 2:
            raise ValueError(
                f"scan: xs has shape {xs.shape}, one sequence is [T, D]; "
                + ("vmap over the batch: jax.vmap(lambda xs: rnnx.scan(cell, params, xs))(xs)" if xs.ndim > 2
                   else "give every step an axis of features: xs[:, None]")
            )  # fmt: skip
        if xs.shape[1] != cell.inputs:
            raise ValueError(
                f"scan: xs has {xs.shape[1]} features but {cell} takes {cell.inputs}; build the cell with "
                f"inputs={xs.shape[1]} or project xs first"
            )
    plain = bare(xs)
    if isinstance(plain, (jax.Array, np.ndarray)) and not jnp.issubdtype(plain.dtype, jnp.inexact):
        raise ValueError(
            f"scan: xs is {plain.dtype}; give floating-point numbers: xs.astype(...), or jax.nn.one_hot for symbols"
        )
    steps = leaves[0].shape[0]
    for leaf in leaves:
        if leaf.shape[0] != steps:
            raise ValueError(f"scan: leaves of xs have {steps} and {leaf.shape[0]} steps; give all of them the same T")
    if resets is not None and (resets.shape != (steps,) or resets.dtype != bool):
        raise ValueError(f"scan: resets is {resets.dtype}{list(resets.shape)}; give bool[{steps}], one flag a step")
    if length is not None and (length.ndim or not jnp.issubdtype(length.dtype, jnp.integer)):
        raise ValueError(
            f"scan: length is {length.dtype}{list(length.shape)}; give one whole number (vmap adds a batch)"
        )
    return steps


def parameters(cell: Any, params: Any) -> None:
    """Raise unless the parameters have the structure and shapes that `init` makes; masks on them are looked through."""
    want = jax.eval_shape(cell.init, jax.random.key(0))
    got = _unmasked(params)
    if jax.tree.structure(got) != jax.tree.structure(want):
        kinds = [f"{type(tree).__module__}.{type(tree).__qualname__}".removeprefix("builtins.") for tree in (got, want)]
        raise ValueError(
            f"scan: params are {kinds[0]} of {len(jax.tree.leaves(got))} arrays but {cell} takes {kinds[1]} of "
            f"{len(jax.tree.leaves(want))}; give what its init(key) makes"
        )
    pairs = zip(jax.tree_util.tree_leaves_with_path(got), jax.tree.leaves(want), strict=True)
    for (path, a), b in pairs:
        if np.shape(a) != b.shape:
            raise ValueError(
                f"scan: params{jax.tree_util.keystr(path)} is {list(np.shape(a))} but {cell} takes {list(b.shape)}; "
                + ("vmap over the seeds" if np.shape(a)[1:] == b.shape else "give what its init(key) makes")
            )


def _unmasked(tree: Any) -> Any:
    """The same parameters without the masks that `Masked` puts on them."""

    def masked(a: Any) -> bool:
        return isinstance(a, Masked)

    return jax.tree.map(lambda a: _unmasked(a.x) if masked(a) else a, tree, is_leaf=masked)


def one_step(cell: Any, params: Any, weights: Any, state: Any, xs: Any) -> Any:
    """The shapes of a step's new state; what goes wrong between dtypes is said in ours."""
    leaves = {"xs": xs, "params": params, "state": state}
    dtypes = {name: sorted({str(a.dtype) for a in jax.tree.leaves(tree)}) for name, tree in leaves.items()}
    try:
        return jax.eval_shape(cell.step, weights, state, jax.tree.map(lambda a: a[0], xs))[0]
    except (TypeError, ValueError) as error:
        if len({dtype for some in dtypes.values() for dtype in some}) == 1:
            raise
        told = ", ".join(f"{name} {' and '.join(some)}" for name, some in dtypes.items())
        raise ValueError(f"scan: got {told}; give xs, state and params one dtype") from error


def match(what: str, got: Any, want: Any, remedy: str, whose: str = "the cell's") -> None:
    """Raise unless two states have one structure, one set of shapes and one set of dtypes."""
    told = [jax.tree.map(lambda a: f"{a.dtype}{list(a.shape)}", tree) for tree in (got, want)]
    if jax.tree.structure(got) != jax.tree.structure(want) or told[0] != told[1]:
        raise ValueError(f"{what} is {told[0]} but {whose} is {told[1]}; {remedy}")
