"""Ways through time beside each other: `python -m benchmarks.scans --only=deferred,affine --out=scans.json`.

Each part says what it asks of a method, compares the numbers first, and then measures ratios in one run.
"""

import functools
import sys
from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from absl import app, flags

import rnnx
from benchmarks import measure
from rnnx.cells import CELLS
from rnnx.kernels import affine as affine_kernel
from rnnx.scans import Associative, Checkpointed, Deferred, Newton, Sequential, exponent, report

_ONLY = flags.DEFINE_string("only", "", "Parts to run, by comma; all of them if empty.")
_OUT = flags.DEFINE_string("out", "", "A JSON file for the numbers; none if empty.")
_SECONDS = flags.DEFINE_float("seconds", 2.0, "Time spent on each program.", lower_bound=0.01)


def data(cell: Any, steps: int, batch: int) -> tuple[Any, Any, Any]:
    """(params, xs [B, T, D], numbers that make a loss of ys [B, T, O])."""
    keys = jax.random.split(jax.random.key(0), 3)
    xs = jax.random.normal(keys[1], (batch, steps, cell.inputs), "float32")
    params = jax.tree.map(lambda a: a.astype("float32"), cell.init(keys[0]))
    return params, xs, jax.random.normal(keys[2], (batch, steps, cell.outputs), "float32")


def outputs(cell: Any, method: Any, params: Any, xs: Any) -> Any:
    """ys of one sequence, by a method of rnnx or a function of the same arguments."""
    return method(cell, params, xs) if callable(method) else rnnx.scan(cell, params, xs, method=method)[1]


def training(cell: Any, method: Any) -> Callable[..., Any]:
    """Loss and gradient of a batch."""

    def run(params: Any, xs: Any, rulers: Any) -> Any:
        def loss(params: Any) -> Any:
            ys = jax.vmap(functools.partial(outputs, cell, method, params))(xs)
            return jnp.sum(ys * ys * rulers)

        return jax.value_and_grad(loss)(params)

    return run


def inference(cell: Any, method: Any) -> Callable[..., Any]:
    def run(params: Any, xs: Any, rulers: Any) -> Any:
        del rulers
        return jax.vmap(functools.partial(outputs, cell, method, params))(xs)

    return run


def beside(kind: Any, cell: Any, methods: dict[str, Any], steps: int, batch: int) -> dict[str, Any]:
    """One row: the first method is what the others are compared with; above 1 is faster than it."""
    args = data(cell, steps, batch)
    programs = measure.compiled({name: kind(cell, method) for name, method in methods.items()}, *args)
    errors = measure.differences(programs, *args)
    times = measure.milliseconds(programs, *args, seconds=_SECONDS.value)
    first, *others = programs
    row: dict[str, Any] = {f"{first} ms": times[first]}
    for name in others:
        row[f"{name} x"] = times[first] / times[name]
        row[f"{name} memory"] = measure.mebibytes(programs[name]) / max(measure.mebibytes(programs[first]), 1e-3)
        row[f"{name} error"] = errors[name]
    return row


# ------------------------------------------------------------------------------------------------------ parts


def deferred() -> dict[str, Any]:
    """Training steps: Deferred beside Sequential, memory likewise. Asked: 1.3x at B >= 32, N 64 to 256; memory 0.8x."""
    rows = []
    for name in ("lstm", "gru"):
        for batch, units in [
            (1, 64),
            (8, 64),
            (32, 16),
            (32, 64),
            (32, 128),
            (32, 256),
            (64, 64),
            (64, 256),
            (128, 128),
        ]:
            methods = {"sequential": Sequential(), "deferred": Deferred()}
            row = {"cell": name, "B": batch, "N": units}
            rows.append(row | beside(training, CELLS[name](32, units), methods, 128, batch))
    asked = [row["deferred x"] for row in rows if row["B"] >= 32 and row["N"] >= 64]
    return {"rows": rows, "geometric mean, B >= 32 and N >= 64": measure.geometric_mean(asked)}


def zoo() -> dict[str, Any]:
    """Training steps of one cell of each kind. Asked: what None takes never below 0.95x of Sequential."""
    rows = []
    for name in ("elman", "gru_before", "lstm_layer_norm", "slstm", "cornn", "lem", "indrnn", "lru", "s5", "mingru"):
        methods = {"sequential": Sequential(), "none": None}
        rows.append({"cell": name} | beside(training, CELLS[name](32, 64), methods, 128, 32))
    return {"rows": rows}


def checkpointed() -> dict[str, Any]:
    """LSTM, T=1024 B=16 N=128. Asked: at most 0.2x the plain gradient's temporaries at no more than 1.35x its time."""
    methods = {"sequential": Sequential(), "two-level": Checkpointed(), "deferred": Deferred()}
    return {"rows": [beside(training, CELLS["lstm"](128, 128), methods, 1024, 16)]}


def long() -> dict[str, Any]:
    """T=100,000 N=64 B=4, one training step in at most 1 GB of temporaries."""
    cell, method = CELLS["lstm"](8, 64), Checkpointed(levels=3)
    args = data(cell, 100_000, 4)
    program = measure.compiled({"recursive": training(cell, method)}, *args)["recursive"]
    loss, gradient = program(*args)
    finite = all(bool(jnp.all(jnp.isfinite(a))) for a in jax.tree.leaves((loss, gradient)))
    return {"rows": [{"method": str(method), "MiB": measure.mebibytes(program), "finite": finite}]}


def textbook(cell: Any, params: Any, xs: Any) -> Any:
    """ys of an affine cell by `jax.lax.associative_scan` over all of time, as one would write it."""
    weights = cell.prepare(params)
    a, b = jax.vmap(functools.partial(cell.coefficients, weights))(xs)

    def then(first: Any, second: Any) -> Any:
        (a1, b1), (a2, b2) = first, second
        product = functools.partial(affine_kernel.product, cell.kind)
        return product(a2, a1), jax.tree.map(jnp.add, product(a2, b1), b2)

    hs = jax.lax.associative_scan(then, (a, b))[1]
    return jax.vmap(functools.partial(cell.readout, weights))(hs, xs)


def affine() -> dict[str, Any]:
    """Affine cells: what None takes beside the other forms. Asked: within 1.1x of the best form on every shape."""
    rows = []
    for name in ("mingru", "lru"):
        for steps, batch, units in [(256, 1, 16), (256, 8, 128), (4096, 1, 16), (4096, 1, 128), (4096, 8, 128)]:
            methods = {"none": None, "sequential": Sequential(), "deferred": Deferred(), "associative": Associative()}
            for kind in (inference, training):
                row = {"cell": name, "T": steps, "B": batch, "N": units, "what": kind.__name__}
                row |= beside(kind, CELLS[name](16, units), methods | {"textbook": textbook}, steps, batch)
                best = max(1.0, *(value for key, value in row.items() if key.endswith(" x")))
                rows.append(row | {"none to best": best})
    return {"rows": rows}


def nonlinear() -> dict[str, Any]:
    """A contracting GRU by Newton's method: fast where the machine has lanes to spare, slow on a CPU."""
    rows = []
    for steps, batch, units in [(1024, 1, 4), (1024, 1, 16), (16384, 1, 4), (16384, 8, 4), (16384, 1, 16)]:
        methods = {"sequential": Sequential(), "newton": Newton(), "diagonal": Newton(solve="diagonal")}
        row = {"cell": "gru", "T": steps, "B": batch, "N": units}
        rows.append(row | beside(training, CELLS["gru"](4, units), methods, steps, batch))
    return {"rows": rows}


def newton() -> dict[str, Any]:
    """Chaotic cases must fall back and be right; contracting ones must converge in at most 10 iterations."""
    rows = []
    for label, gains, units in [("contracting", np.linspace(0.2, 0.6, 20), 8), ("chaotic", np.linspace(2, 4, 100), 32)]:
        told = [_newton_case(gain, seed, units) for seed, gain in enumerate(gains)]
        rows.append(
            {
                "dynamics": label,
                "cases": len(told),
                "converged": sum(bool(t["converged"]) for t in told),
                "most iterations": max(int(t["iterations"]) for t in told),
                "worst step": max(t["error"] for t in told),
                "exponents": f"{min(t['exponent'] for t in told):.2f}..{max(t['exponent'] for t in told):.2f}",
            }
        )
    return {"rows": rows}


@functools.lru_cache
def _newton_programs(units: int) -> Any:
    cell = CELLS["elman"](2, units)

    def run(params: Any, xs: Any) -> Any:
        hs = rnnx.scan(cell, params, xs, method=Newton())[1]
        told = report(cell, params, xs)
        # Along chaos no two programs agree for long; what can be asked is that each step follows from the one before.
        before = jnp.concatenate([jnp.zeros_like(hs[:1]), hs[:-1]])
        again = jax.vmap(lambda h, x: cell.step(cell.prepare(params), h, x)[0])(before, xs)
        return jnp.max(jnp.abs(again - hs)), told, exponent(cell, params, xs)

    return cell, jax.jit(run)


def _newton_case(gain: float, seed: int, units: int) -> dict[str, Any]:
    cell, run = _newton_programs(units)
    keys = jax.random.split(jax.random.key(seed), 2)
    params = jax.tree.map(lambda a: a.astype("float32"), cell.init(keys[0]))
    w_h = gain / np.sqrt(units) * jax.random.normal(keys[1], params.w_h.shape, "float32")
    error, told, growth = run(params._replace(w_h=w_h), 0.1 * jax.random.normal(keys[0], (256, 2), "float32"))
    return told._asdict() | {"error": float(error), "exponent": float(growth)}


def compiling() -> dict[str, Any]:
    """Seconds to trace and compile a training step, by T: flat, or something is unrolled."""
    import time

    rows = []
    for steps in (10, 100, 1_000, 10_000, 100_000):
        row: dict[str, Any] = {"T": steps}
        for name, cell in (
            ("sequential", "gru"),
            ("deferred", "gru"),
            ("checkpointed", "gru"),
            ("associative", "mingru"),
        ):
            begin = time.perf_counter()
            measure.compiled({name: training(CELLS[cell](4, 8), name)}, *data(CELLS[cell](4, 8), steps, 2))
            row[f"{name} s"] = time.perf_counter() - begin
        rows.append(row)
    return {"rows": rows}


PARTS = {part.__name__: part for part in (deferred, zoo, checkpointed, long, affine, newton, nonlinear, compiling)}


def main(argv: list[str]) -> int:
    if len(argv) > 1:
        print(f"benchmarks.scans: got {argv[1]!r}; write flags only, see --help", file=sys.stderr)
        return 2
    names = [name for name in _ONLY.value.split(",") if name] or list(PARTS)
    unknown = [name for name in names if name not in PARTS]
    if unknown:
        print(f"benchmarks.scans: --only got {unknown[0]!r}; write some of {', '.join(PARTS)}", file=sys.stderr)
        return 2
    told: dict[str, Any] = {"machine": measure.machine()}
    print(told["machine"])
    for name in names:
        print(f"\n{name}: {PARTS[name].__doc__}", flush=True)
        told[name] = PARTS[name]()
        print(measure.table(told[name]["rows"]))
        for key, value in told[name].items():
            if key != "rows":
                print(f"{key}: {value:.3g}")
        sys.stdout.flush()
    if _OUT.value:
        measure.write(_OUT.value, told)
    return 0


if __name__ == "__main__":
    app.run(main)
