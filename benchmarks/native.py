"""What the native kernel promises besides speed against peers: `python -m benchmarks.native --only=seeds,pages`.

seeds: many weight sets in one call. cells: cells nobody wrote C++ for. pages: fresh memory pages of a training step.
"""

import functools
import resource
import sys
import time
from typing import Any

import jax
import jax.numpy as jnp
from absl import app, flags

import rnnx
from benchmarks import measure
from rnnx.cells import CELLS, Elman
from rnnx.scans import Deferred, Native, Sequential
from rnnx.types import cell as register

_ONLY = flags.DEFINE_string("only", "", "Parts to run, by comma; all of them if empty.")
_OUT = flags.DEFINE_string("out", "", "A JSON file for the numbers; none if empty.")


@register
class Own(Elman):
    """A cell of one's own: nothing of it is in C++."""

    def update(self, weights: Any, state: Any, u: Any, v: Any) -> Any:
        a = jnp.tanh(u[0] + v[0])
        return state + 0.3 * (a - state) * jax.nn.sigmoid(a * state)


def step(cell: Any, method: Any, params: Any, xs: Any) -> Any:
    """Loss and gradients of a batch, time leading."""

    def loss(params: Any, xs: Any) -> Any:
        ys = jax.vmap(lambda x: rnnx.scan(cell, params, x, method=method)[1], 1, 1)(xs)
        return jnp.mean(ys * ys)

    return jax.value_and_grad(loss, (0, 1))(params, xs)


def data(cell: Any, shape: tuple[int, int, int]) -> tuple[Any, Any]:
    batch, steps, inputs = shape
    return cell.init(jax.random.key(0)), jax.random.normal(jax.random.key(1), (steps, batch, inputs))


def seeds() -> dict[str, Any]:
    """32 weight sets by vmap beside 32 single runs. Asked: never more; at N=32 and B 1 to 4 at least 2x less."""
    rows = []
    for batch, units in [(1, 32), (2, 32), (4, 32), (16, 64), (32, 128)]:
        cell = CELLS["lstm"](16, units)
        _, xs = data(cell, (batch, 128, 16))
        params = jax.vmap(cell.init)(jax.random.split(jax.random.key(0), 32))
        run = functools.partial(step, cell, Native())
        together = jax.jit(jax.vmap(run, (0, None))).lower(params, xs).compile()
        each = [jax.tree.map(lambda a, i=i: a[i], params) for i in range(32)]
        single = jax.jit(run).lower(each[0], xs).compile()
        alone = lambda p, xs, s=single, each=each: [s(one, xs) for one in each]  # noqa: E731
        pair = together(params, xs), jax.tree.map(lambda *a: jnp.stack(a), *alone(params, xs))
        error = max(float(jnp.max(jnp.abs(a - b))) for a, b in zip(*map(jax.tree.leaves, pair), strict=True))
        times = measure.milliseconds({"together": together, "alone": alone}, params, xs)
        row = {"B": batch, "N": units, "32 by vmap ms": times["together"], "32 single ms": times["alone"]}
        rows.append(row | {"ratio": times["alone"] / times["together"], "error": error})
    return {"rows": rows}


def cells() -> dict[str, Any]:
    """Time per gate and unit, beside the LSTM's. Asked: at most 1.3x for a user's own cell."""
    rows = []
    for cell in (CELLS["lstm"](32, 128), CELLS["cornn"](32, 128), CELLS["slstm"](32, 128), CELLS["gru"](32, 128),
                 CELLS["indrnn"](32, 128), Own(32, 128)):  # fmt: skip
        args = data(cell, (32, 128, 32))
        methods = {"native": Native(), "deferred": Deferred()}
        programs = measure.compiled({k: functools.partial(step, cell, m) for k, m in methods.items()}, *args)
        errors, times = measure.differences(programs, *args), measure.milliseconds(programs, *args)
        gates = jax.eval_shape(cell.drive, args[0], args[1][0, 0]).size / 128
        row = {"cell": type(cell).__name__, "gates": int(gates), "ms": times["native"]}
        row |= {"ms a gate": times["native"] / gates, "deferred ms": times["deferred"], "error": errors["deferred"]}
        rows.append(row | {"to the LSTM": row["ms a gate"] / (rows[0]["ms a gate"] if rows else row["ms a gate"])})
    return {"rows": rows}


def pages() -> dict[str, Any]:
    """Page faults of an LSTM's training step at 64x256x32x64. Asked: 5x below the XLA loop's."""
    cell = CELLS["lstm"](32, 64)
    args = data(cell, (64, 256, 32))
    rows = []
    for name, method in {"plain scan": Sequential(), "native": Native(), "native, gates again": Native(False)}.items():
        program = measure.compiled({name: functools.partial(step, cell, method)}, *args)[name]
        for _ in range(3):
            jax.block_until_ready(program(*args))
        before = resource.getrusage(resource.RUSAGE_SELF)
        for _ in range(20):
            jax.block_until_ready(program(*args))
        after = resource.getrusage(resource.RUSAGE_SELF)
        rows.append({"system": name, "faults a step": (after.ru_minflt - before.ru_minflt) / 20,
                     "MiB of temporaries": measure.mebibytes(program)})  # fmt: skip
    return {"rows": rows}


PARTS = {part.__name__: part for part in (seeds, cells, pages)}


def main(argv: list[str]) -> int:
    names = [name for name in _ONLY.value.split(",") if name] or list(PARTS)
    unknown = [name for name in names if name not in PARTS] + argv[1:]
    if unknown:
        print(f"benchmarks.native: got {unknown[0]!r}; --only takes some of {', '.join(PARTS)}", file=sys.stderr)
        return 2
    told: dict[str, Any] = {"machine": measure.machine(), "date": time.strftime("%F")}
    for name in names:
        print(f"\n{name}: {PARTS[name].__doc__}", flush=True)
        told[name] = PARTS[name]()
        print(measure.table(told[name]["rows"]), flush=True)
    if _OUT.value:
        measure.write(_OUT.value, told)
    return 0


if __name__ == "__main__":
    app.run(main)
