"""The parts of a cell around another: what it does not change is the inner cell's own.

A wrapper has a field `cell`, and parameters and weights with a field `cell`. Its class takes these functions as they
are, `drive = inner.drive`, and writes only what it changes.
"""

from typing import Any, NamedTuple

from jax import Array

from rnnx.types import Masked, powers


class Params(NamedTuple):
    cell: Any  # of a wrapper that has no parameters of its own


def inputs(cell: Any) -> int:
    return cell.cell.inputs


def outputs(cell: Any) -> int:
    return cell.cell.outputs


def claims(cell: Any) -> tuple[str, ...]:
    """The powers of the inner cell."""
    return powers(cell.cell)


def claims_but_affine(cell: Any) -> tuple[str, ...]:
    return tuple(power for power in powers(cell.cell) if power != "affine")


def init(cell: Any, key: Array) -> Params:
    return Params(cell.cell.init(key))


def prepare(cell: Any, params: Any) -> Any:
    return params._replace(cell=cell.cell.prepare(params.cell))


def initial_state(cell: Any, weights: Any) -> Any:
    return cell.cell.initial_state(weights.cell)


def drive(cell: Any, weights: Any, x: Any) -> Any:
    return cell.cell.drive(weights.cell, x)


def recur(cell: Any, weights: Any, state: Any) -> Any:
    return cell.cell.recur(weights.cell, state)


def update(cell: Any, weights: Any, state: Any, u: Any, v: Any) -> Any:
    return cell.cell.update(weights.cell, state, u, v)


def readout(cell: Any, weights: Any, state: Any, x: Any) -> Array:
    return cell.cell.readout(weights.cell, state, x)


def step(cell: Any, weights: Any, state: Any, x: Any) -> tuple[Any, Array]:
    """The inner step, which need not be told in parts, and the wrapper's own readout."""
    state, _ = cell.cell.step(weights.cell, state, x)
    return state, cell.readout(weights, state, x)


def recurrent(cell: Any, weights: Any) -> Any:
    return cell.cell.recurrent(weights.cell)


def kind(cell: Any) -> str:
    return cell.cell.kind


def coefficients(cell: Any, weights: Any, x: Any) -> tuple[Any, Any]:
    return cell.cell.coefficients(weights.cell, x)


# -------------------------------------------------------------------------------------------------- randomness


def masks(cell: Any, key: Array, steps: int) -> Any:
    """The inner cell's masks for a sequence, leaves [T, ...]; None where it takes none."""
    return cell.cell.masks(key, steps) if hasattr(cell.cell, "masks") else None


def drop(cell: Any, key: Array, params: Any) -> Any:
    """Parameters with the inner cell's masks on its own."""
    return params._replace(cell=cell.cell.drop(key, params.cell)) if hasattr(cell.cell, "drop") else params


def entering(x: Any, mask: Any) -> Any:
    """What the inner cell gets to see: x, with its masks if there are any."""
    return x if mask is None else Masked(x, mask)
