"""The one door: any cell through time, with exact meanings of resets, length and reverse."""

from collections.abc import Callable
from functools import partial
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax import Array

from rnnx.scans import checks
from rnnx.scans.methods import choose
from rnnx.scans.sequential import Sequential, select
from rnnx.types import Masked


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
    method: a value of METHODS, its name, or None to choose (`rnnx.explain` says what and why). A named method never
        turns into another: it raises NotImplementedError where it cannot take the cell. The layers of a stack are
        run one after the other, each over the whole sequence, by one method or by a tuple with one for each.

    T = 0 returns the state and ys of length 0. A NaN in a valid x_t reaches every later output up to the next
    reset, and the whole gradient of the parameters. Compiled once per cell, method, reverse, keep and shapes.

    >>> import jax.numpy as jnp, rnnx
    >>> from rnnx.cells import Elman, elman
    >>> params = elman.Params(w_x=jnp.ones((1, 1, 1)), w_h=jnp.full((1, 1, 1), 0.5), b=jnp.zeros((1, 1)))
    >>> final, ys = rnnx.scan(Elman(1, 1, nonlinearity="identity"), params, jnp.array([[2.0], [-1.0], [3.0]]))
    >>> ys[:, 0].tolist()
    [2.0, 0.0, 3.0]
    """
    resets, length = _arrays(cell, xs, resets, length)
    keep = keep or outputs
    if not callable(keep):
        raise TypeError(f"scan: keep is {keep!r}; give a function of (state, y), or None for y")
    if method is None and not _floating((params, xs, state)):
        method = Sequential()  # the others differentiate by rules of their own, which know floating numbers only
    return _scan(cell, params, xs, state, resets, length, bool(reverse), keep, choose(cell, method, _steps(xs)))


def report(
    cell: Any,
    params: Any,
    xs: Any,
    state: Any = None,
    *,
    resets: Any = None,
    length: Any = None,
    reverse: bool = False,
    method: Any = "newton",
) -> Any:
    """What `method` has to tell of the run that `scan` would make with the same arguments.

    Newton tells `Report(iterations, residual, converged)`. A method that has nothing to tell raises a TypeError.
    """
    resets, length = _arrays(cell, xs, resets, length)
    method = choose(cell, method, _steps(xs))
    if not hasattr(method, "report"):
        raise TypeError(f"report: {method} has nothing to tell; give one that has, such as Newton(), of a single cell")
    return _report(cell, params, xs, state, resets, length, bool(reverse), method)


@partial(jax.jit, static_argnames=("cell", "reverse", "keep", "method"))
def _scan(cell, params, xs, state, resets, length, reverse, keep, method):
    weights, xs, state, marks = _prepared(cell, params, xs, state, resets, length, reverse)
    how = {**marks, "reverse": reverse}
    if isinstance(method, tuple):
        return _layer_by_layer(cell, weights, xs, state, keep, method, how)
    return method.run(cell, weights, xs, state, keep=keep, **how)


@partial(jax.jit, static_argnames=("cell", "reverse", "method"))
def _report(cell, params, xs, state, resets, length, reverse, method):
    weights, xs, state, marks = _prepared(cell, params, xs, state, resets, length, reverse)
    return method.report(cell, weights, xs, state, reverse=reverse, **marks)


def _arrays(cell: Any, xs: Any, resets: Any, length: Any) -> tuple[Any, Any]:
    """(resets, length) as arrays, after the checks that need the values themselves."""
    checks.values(cell, xs, length)
    if isinstance(resets, (list, tuple)):
        resets = np.asarray(resets, bool if not resets else None)
    if isinstance(length, (list, tuple)):
        length = np.asarray(length)
    return resets, length


def _steps(xs: Any) -> int:
    """T, or 0 where xs is refused a moment later."""
    shapes = [np.shape(leaf) for leaf in jax.tree.leaves(xs)]
    return shapes[0][0] if shapes and shapes[0] else 0


def _floating(tree: Any) -> bool:
    """Whether every array in it holds floating-point numbers."""
    dtypes = [leaf.dtype for leaf in jax.tree.leaves(tree) if hasattr(leaf, "dtype")]
    return all(jnp.issubdtype(dtype, jnp.floating) for dtype in dtypes)


def _prepared(cell: Any, params: Any, xs: Any, state: Any, resets: Any, length: Any, reverse: bool) -> Any:
    """(weights, xs without padding, first state, marks of every step), all checked."""
    steps = checks.inputs(cell, xs, resets, length)
    checks.parameters(cell, params)
    weights = cell.prepare(params)
    initial = jax.eval_shape(cell.initial_state, weights)
    if state is None:
        state = cell.initial_state(weights)
    else:
        checks.match("scan: state", state, initial, f"start from cell.initial_state(weights) of {cell}")
    time = jnp.arange(steps)
    valid = None if length is None else time < length.astype(time.dtype)
    if valid is not None:
        xs = jax.tree.map(lambda a: jnp.where(_column(valid, a), a, jnp.zeros_like(a)), xs)
    starts = resets if resets is None or valid is None else resets & valid
    if reverse and starts is not None and steps:
        starts = jnp.concatenate([starts[1:], jnp.zeros_like(starts[:1])])
    if steps:
        after = checks.one_step(cell, params, weights, state, xs)
        checks.match("scan: a step's new state", after, initial, "give xs, state and params one dtype")
    return weights, xs, state, {"starts": starts, "valid": valid}


def _layer_by_layer(stack: Any, weights: Any, xs: Any, state: Any, keep: Any, methods: Any, how: Any) -> Any:
    """A stack over the whole sequence, the lowest layer first; the same numbers as step by step."""
    xs, masks = (xs.x, xs.mask) if isinstance(xs, Masked) else (xs, (None,) * len(methods))
    finals, kept, plain = [], [], keep is outputs
    for (layer, own), first, mask, method in zip(stack.layers(weights), state, masks, methods, strict=True):
        xs = xs if mask is None else Masked(xs, mask)
        if isinstance(method, tuple):
            final, told = _layer_by_layer(layer, own, xs, first, outputs if plain else _both, method, how)
        else:
            final, told = method.run(layer, own, xs, first, keep=outputs if plain else _both, **how)
        finals.append(final)
        states, xs = (None, told) if plain else told
        kept.append(states)
    if plain:
        return tuple(finals), xs
    ys = jax.vmap(keep)(tuple(kept), xs)
    valid = how["valid"]
    return tuple(finals), ys if valid is None else jax.vmap(select)(valid, ys, jax.tree.map(jnp.zeros_like, ys))


def _both(state: Any, y: Array) -> tuple[Any, Array]:
    return state, y


def _column(flags: Array, like: Array) -> Array:
    """[T] flags with the trailing axes of `like`, so that they broadcast over it."""
    return flags.reshape(flags.shape + (1,) * (like.ndim - 1))
