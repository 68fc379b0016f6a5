"""The one door: any cell through time, with exact meanings of resets, length and reverse."""

from collections.abc import Callable
from functools import partial
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax import Array

from rnnx.scans.sequential import Sequential
from rnnx.types import Masked, bare, one_of

METHODS = {
    "sequential": Sequential,
}


def outputs(state: Any, y: Array) -> Array:
    """What `scan` stacks unless told otherwise: y."""
    del state
    return y


def scan(
    cell: Any,
    params: Any,
    xs: Any,
    state: Any = None,
    *,
    resets: Any = None,
    length: Any = None,
    reverse: bool = False,
    keep: Callable[[Any, Array], Any] | None = None,
    method: Any = None,
) -> tuple[Any, Any]:
    """Take `cell` through one sequence: (final state, ys), ys [T, O].

        s_t, y_t = step(prepare(params), s_{t-1}, x_t),    t = 0 .. T-1

    xs: [T, D], or a pytree whose leaves lead with T. One sequence: `jax.vmap` adds batch and seeds.
    state: the state before the first step, with the structure, shapes and dtypes of `initial_state`, which
        is taken if it is None. Nothing is cast.
    resets: bool [T]. True: a sequence starts at x_t, so the state before step t is `initial_state`. Under
        `reverse` the boundary lies between t and t+1: `initial_state` stands before step t when
        resets[t+1]. Packed sequences so equal separate runs both ways. Resets at or after `length` say nothing.
    length: int []. Steps at and after it change nothing and emit zeros; their x is replaced by zeros before
        the cell sees it, so that NaN there reaches no value and no gradient. 0 returns the state given.
        An array beyond 0 to T counts as 0 or T.
    reverse: from the last valid step to the first; ys keep the order of xs.
    keep(state, y): what is stacked instead of y (nothing, if it returns None). A function of its own, not a new
        lambda per call: it is static, and a new one compiles again.
    method: a value of METHODS, its name, or None to choose. A named method never turns into another: it
        raises NotImplementedError where it cannot take the cell.

    T = 0 returns the state and ys of length 0. A NaN in a valid x_t reaches every later output up to the next
    reset, and the whole gradient of the parameters. Compiled once per cell, method, reverse, keep and shapes.

    >>> import jax.numpy as jnp, rnnx
    >>> from rnnx.cells import Elman, elman
    >>> params = elman.Params(w_x=jnp.ones((1, 1, 1)), w_h=jnp.full((1, 1, 1), 0.5), b=jnp.zeros((1, 1)))
    >>> final, ys = rnnx.scan(Elman(1, 1, nonlinearity="identity"), params, jnp.array([[2.0], [-1.0], [3.0]]))
    >>> ys[:, 0].tolist()
    [2.0, 0.0, 3.0]
    """
    if isinstance(length, (int, np.integer)):
        leaves = jax.tree.leaves(xs)
        if leaves and np.ndim(leaves[0]) and not 0 <= length <= np.shape(leaves[0])[0]:
            steps = np.shape(leaves[0])[0]
            raise ValueError(f"scan: length is {length} for {steps} steps; write a length of 0 to {steps}")
    if isinstance(resets, (list, tuple)):
        resets = np.asarray(resets, bool if not resets else None)
    if isinstance(length, (list, tuple)):
        length = np.asarray(length)
    if type(cell).__hash__ is None:
        raise TypeError(f"scan: {type(cell).__name__} cannot be hashed; make its class with @rnnx.types.cell")
    keep = keep or outputs
    if not callable(keep):
        raise TypeError(f"scan: keep is {keep!r}; give a function of (state, y), or None for y")
    return _scan(cell, params, xs, state, resets, length, bool(reverse), keep, choose(cell, method))


def choose(cell: Any, method: Any) -> Any:
    """The method that runs: the one named, or the one to take for this cell."""
    if method is None:
        return Sequential()
    if isinstance(method, str):
        one_of("scan: method", method, METHODS)
        method = METHODS[method]()
    if isinstance(method, type) or not hasattr(method, "refuses"):
        raise TypeError(f"scan: method is {method!r}; give a name or a value of METHODS, such as Sequential()")
    reason = method.refuses(cell)
    if reason:
        raise NotImplementedError(f"{method} cannot take {cell}: {reason}")
    return method


@partial(jax.jit, static_argnames=("cell", "reverse", "keep", "method"))
def _scan(cell, params, xs, state, resets, length, reverse, keep, method):
    steps = _check_inputs(cell, xs, resets, length)
    _check_params(cell, params)
    weights = cell.prepare(params)
    initial = jax.eval_shape(cell.initial_state, weights)
    if state is None:
        state = cell.initial_state(weights)
    else:
        _match("scan: state", state, initial, f"start from cell.initial_state(weights) of {cell}")
    time = jnp.arange(steps)
    valid = None if length is None else time < length.astype(time.dtype)
    if valid is not None:
        xs = jax.tree.map(lambda a: jnp.where(_column(valid, a), a, jnp.zeros_like(a)), xs)
    starts = resets if resets is None or valid is None else resets & valid
    if reverse and starts is not None and steps:
        starts = jnp.concatenate([starts[1:], jnp.zeros_like(starts[:1])])
    if steps:
        after = _one_step(cell, params, weights, state, xs)
        _match("scan: a step's new state", after, initial, "give xs, state and params one dtype")
    return method.run(cell, weights, xs, state, starts=starts, valid=valid, reverse=reverse, keep=keep)


def _check_inputs(cell: Any, xs: Any, resets: Any, length: Any) -> int:
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


def _check_params(cell: Any, params: Any) -> None:
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


def _one_step(cell: Any, params: Any, weights: Any, state: Any, xs: Any) -> Any:
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


def _column(flags: Array, like: Array) -> Array:
    """[T] flags with the trailing axes of `like`, so that they broadcast over it."""
    return flags.reshape(flags.shape + (1,) * (like.ndim - 1))


def _match(what: str, got: Any, want: Any, remedy: str) -> None:
    """Raise unless two states have one structure, one set of shapes and one set of dtypes."""
    told = [jax.tree.map(lambda a: f"{a.dtype}{list(a.shape)}", tree) for tree in (got, want)]
    if jax.tree.structure(got) != jax.tree.structure(want) or told[0] != told[1]:
        raise ValueError(f"{what} is {told[0]} but the cell's is {told[1]}; {remedy}")
