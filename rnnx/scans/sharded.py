"""Affine cells over sequences too long for one device: time is divided among devices."""

from collections.abc import Callable
from functools import partial
from typing import Any

import jax
import jax.numpy as jnp
from jax import Array

from rnnx.kernels import affine
from rnnx.scans.associative import Associative, coefficients
from rnnx.scans.deferred import kept
from rnnx.scans.door import _prepared, outputs

KINDS = ("diagonal", "pair")  # whose maps are as small as a state


def sharded(
    cell: Any,
    params: Any,
    xs: Any,
    state: Any = None,
    *,
    mesh: jax.sharding.Mesh,
    axis: str,
    resets: Array | None = None,
    length: Any = None,
    reverse: bool = False,
    keep: Callable[[Any, Array], Any] = outputs,
    method: Associative = Associative(),  # noqa: B008
) -> tuple[Any, Any]:
    """`rnnx.scan` of an affine cell with time divided among the devices of a mesh axis: (final state, ys).

        s = P_i s_{i-1} + v_i    the state that leaves device i, from the map (P_i, v_i) of all its steps

    Each device finds its map, all maps go to every device (`all_gather`: D maps, no states), each runs over the D of
    them to the state that enters its own steps, and runs its steps from there. Arguments mean what they mean in
    `rnnx.scan`; resets and length count over the whole sequence. T must be a multiple of the devices. ys stay divided
    as xs are, the final state is on every device; gradients of the parameters are summed over devices. Works under
    jit, grad and vmap.

    Source: the scan of blocks of Blelloch 1990 (CMU-CS-90-190), section 1.4, with devices as blocks. Cost: three
    passes over T / D steps, and D - 1 maps received. Takes cells whose A is diagonal, real or complex.
    """
    reason = method.refuses(cell) or (cell.kind not in KINDS and f"its maps are {cell.kind!r}, not diagonal")
    if reason:
        raise NotImplementedError(f"sharded cannot take {cell}: {reason.split(';')[0]}; take rnnx.scan on one device")
    steps, devices = jax.tree.leaves(xs)[0].shape[0], mesh.shape[axis]
    if steps == 0 or steps % devices:
        raise ValueError(f"sharded: xs has {steps} steps for {devices} devices; pad to a multiple and give length")
    length = None if length is None else jnp.asarray(length)
    weights, xs, state, marks = _prepared(cell, params, xs, state, resets, length, reverse)

    def local(weights: Any, xs: Any, state: Any, starts: Any, valid: Any) -> tuple[Any, Any]:
        a, b = coefficients(cell, weights, xs, valid)
        fresh = None if starts is None else cell.initial_state(weights)
        run = partial(
            affine.recurrence,
            cell.kind,
            a,
            valid=valid,
            starts=starts,
            reverse=reverse,
            way=method.chosen(jax.default_backend(), cell.kind).way(),
        )
        last = 0 if reverse else -1
        zero = affine.zeros(state)
        own = jax.tree.map(lambda h: h[last], run(b, zero, fresh=fresh))  # v, what these steps make of nothing
        columns = _columns(cell.kind, partial(run, affine.zeros(b), fresh=zero), state, last)
        cut = jnp.zeros((), bool) if starts is None else jnp.any(starts)
        entering, final = _through(cell.kind, state, (columns, own, cut), axis, reverse)
        states = run(b, entering, fresh=fresh)
        return final, kept(cell, weights, xs, states, valid, keep)

    time, everywhere = jax.P(axis), jax.P()
    specs = everywhere, time, everywhere, time, time
    divided = jax.shard_map(local, mesh=mesh, in_specs=specs, out_specs=(everywhere, time), check_vma=False)
    return divided(weights, xs, state, marks["starts"], marks["valid"])


def _columns(kind: str, run: Callable[[Any], Any], state: Any, last: int) -> Any:
    """P, from what the steps do to unit states."""

    def after(first: Any) -> Any:
        return jax.tree.map(lambda h: h[last], run(first))

    if kind == "diagonal":
        return after(jnp.ones_like(state))
    return after((jnp.ones_like(state[0]), jnp.zeros_like(state[1])))  # a pair


def _through(kind: str, state: Any, maps: Any, axis: str, reverse: bool) -> tuple[Any, Any]:
    """(the state that enters this device's steps, the one that leaves the last device visited)."""

    def visit(entering: Any, device: Any) -> tuple[Any, Any]:
        columns, own, cut = device
        passed = affine.times(kind, columns, entering)
        return affine.add(affine.where(cut, affine.zeros(passed), passed), own), entering

    everyone = jax.tree.map(lambda leaf: jax.lax.all_gather(leaf, axis), maps)
    final, entering = jax.lax.scan(visit, state, everyone, reverse=reverse)
    return jax.tree.map(lambda leaf: leaf[jax.lax.axis_index(axis)], entering), final
