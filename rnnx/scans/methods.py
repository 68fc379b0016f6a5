"""The ways through time by name, and which one is taken where none is named."""

from typing import Any

import jax

from rnnx.scans.associative import Associative
from rnnx.scans.checkpointed import Checkpointed
from rnnx.scans.deferred import Deferred
from rnnx.scans.native import Native
from rnnx.scans.newton import Newton
from rnnx.scans.sequential import Sequential
from rnnx.types import one_of, powers, state_of

METHODS = {
    "sequential": Sequential,
    "deferred": Deferred,
    "checkpointed": Checkpointed,
    "associative": Associative,
    "newton": Newton,
    "native": Native,
}


def choose(cell: Any, method: Any, steps: int) -> Any:
    """The method that runs: the one named, or the one to take for this cell; a tuple for the layers of a stack."""
    if hasattr(cell, "layers"):
        layers = cell.cells
        each = method if isinstance(method, (tuple, list)) else (method,) * len(layers)
        if len(each) != len(layers):
            raise ValueError(f"scan: {len(each)} methods for {len(layers)} layers; give one, or one for each")
        return tuple(choose(layer, one, steps) for layer, one in zip(layers, each, strict=True))
    if method is None:
        return best(cell, steps, jax.default_backend())[0]
    if isinstance(method, str):
        one_of("scan: method", method, METHODS)
        method = METHODS[method]()
    if isinstance(method, type) or not hasattr(method, "refuses"):
        raise TypeError(f"scan: method is {method!r}; give a name or a value of METHODS, such as Sequential()")
    reason = method.refuses(cell)
    if reason:
        raise NotImplementedError(f"{method} cannot take {cell}: {reason}")
    return method


def best(cell: Any, steps: int, platform: str) -> tuple[Any, str]:
    """(what to take where nothing is named, the reason in words). The rules are measured by `benchmarks.scans`."""
    if platform != "cpu" and "affine" in powers(cell):
        return Associative(), f"affine, on {platform}: parallel over time"
    if steps < 2:
        return Sequential(), "nothing to gain in so few steps"
    if platform == "cpu" and Native().refuses(cell) is None:
        return Native(), "the compiled kernel takes it"
    if platform == "cpu" and not _plain(cell):
        return (
            Sequential(),
            "more than gates and one update: XLA's own derivative of the loop is faster on most such cells",
        )
    return Deferred(), "weight gradients of a batch are one product for many steps"


def _plain(cell: Any) -> bool:
    """Whether a step is gates and an elementwise update, on a state of rows alike."""
    simple = "pointwise" in powers(cell) or ("affine" in powers(cell) and cell.kind in ("diagonal", "pair"))
    return simple and len({leaf.shape for leaf in jax.tree.leaves(state_of(cell))}) == 1


def explain(
    cell: Any, steps: int, batch: int = 1, seeds: int = 1, dtype: Any = "float32", platform: str | None = None
) -> str:
    """What `method=None` does for `cell` over `steps` steps, and why, in a few lines.

    batch, seeds: what `jax.vmap` adds around the scan, for the memory told. platform: "cpu", "gpu" or "tpu"; None is
    where JAX runs.
    """
    platform = platform or jax.default_backend()
    lines = []
    if hasattr(cell, "layers"):
        for i, layer in enumerate(cell.cells):
            lines += [f"layer {i}: {line}" for line in explain(layer, steps, batch, seeds, dtype, platform).split("\n")]
        return "\n".join(lines)
    method, reason = best(cell, steps, platform)
    numbers = sum(a.size for a in jax.tree.leaves(state_of(cell)))
    size = steps * batch * seeds * numbers * jax.numpy.dtype(dtype).itemsize
    lines.append(f"{method}: {reason}")
    count = f"{steps} steps x {batch * seeds} sequences x {numbers} numbers"
    lines.append(f"states kept for a gradient: {size / 2**20:.1f} MiB ({count})")
    for name, other in METHODS.items():
        if other().refuses(cell):
            lines.append(f"{name} cannot take it: {other().refuses(cell)}")
    return "\n".join(lines)
