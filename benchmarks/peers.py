"""rnnx beside other libraries: `python -m benchmarks.peers --cells=lstm --shapes=32x128x32x128 --json=peers.json`.

One run, same threads, same dtype (float32), same maths, same weights: results are compared before they are timed, and
the systems take turns (A B C A B C ...), so that noise falls on all alike. Ratios are a system's time over rnnx's.
"""

import os
import sys
import time
from typing import Any

from absl import app, flags

_CELLS = flags.DEFINE_string("cells", "lstm,gru,elman", "Some of lstm, gru, elman, by comma.")
_SHAPES = flags.DEFINE_string("shapes", "", "BxTxDxN, by comma; the 24 of benchmarks/shapes.py if empty.")
_PEERS = flags.DEFINE_string("peers", "torch,linen,nnx,haiku,equinox,keras", "Others to run, by comma.")
_THREADS = flags.DEFINE_integer("threads", 0, "Threads for all; every core if 0.", lower_bound=0)
_ROUNDS = flags.DEFINE_integer("rounds", 9, "Turns each system takes.", lower_bound=1)
_JSON = flags.DEFINE_string("json", "", "A file for the rows; none if empty.")

LARGEST_ERROR = 2e-4  # of the largest entry: float32, another order of summation


def parsed(text: str) -> list[tuple[int, int, int, int]]:
    from benchmarks.shapes import SHAPES

    if not text:
        return list(SHAPES)
    told = [tuple(int(n) for n in shape.split("x")) for shape in text.split(",")]
    if any(len(shape) != 4 or min(shape) < 1 for shape in told):
        raise ValueError(text)
    return told  # type: ignore[return-value]


def programs(cell: str, shape: tuple, names: list[str]) -> dict[str, Any]:
    """name -> (forward, train) of every system that has the cell, rnnx first, each with the same results."""
    import jax
    import numpy as np

    from benchmarks.rivals import BATCH_FIRST, RIVALS, by_rnnx
    from rnnx.cells import CELLS

    batch, steps, inputs, units = shape
    keys = jax.random.split(jax.random.key(0))
    params = CELLS[cell](inputs, units).init(keys[0])
    xs = jax.random.normal(keys[1], (steps, batch, inputs))
    told = {"rnnx": by_rnnx(cell, params, xs)}
    want = told["rnnx"][0](), *told["rnnx"][1]()
    for name in names:
        try:
            told[name] = RIVALS[name](cell, params, xs)
        except LookupError:
            continue
        except ModuleNotFoundError as error:
            print(f"benchmarks.peers: {name} is left out: {error}; pip install 'rnnx[bench]'", file=sys.stderr)
            continue
        ys, (loss, d_xs) = told[name][0](), told[name][1]()
        if name in BATCH_FIRST:
            ys, d_xs = np.swapaxes(ys, 0, 1), np.swapaxes(d_xs, 0, 1)
        for a, b in zip((ys, loss, d_xs), want, strict=True):
            error = np.max(np.abs(np.asarray(a) - np.asarray(b))) / np.max(np.abs(np.asarray(b)))
            if not error < LARGEST_ERROR:
                raise AssertionError(f"{name} computes another {cell} at {shape}: differs by {error:.1e}")
    return told


def medians(functions: dict[str, Any], rounds: int) -> dict[str, float]:
    """Milliseconds, in turns, each after a call of its own that is not counted, as steps of training follow steps."""
    import numpy as np

    times: dict[str, list[float]] = {name: [] for name in functions}
    for _ in range(rounds):
        for name, function in functions.items():
            function()
            begin = time.perf_counter()
            function()
            times[name].append(1e3 * (time.perf_counter() - begin))
    return {name: float(np.median(t)) for name, t in times.items()}


def product() -> Any:
    """A matrix product of 2048, whose rate is the limit that is told."""
    import jax
    import jax.numpy as jnp

    a = jnp.ones((2048, 2048))
    run = jax.jit(jnp.matmul).lower(a, a).compile()
    return lambda: jax.block_until_ready(run(a, a))


def measured(cell: str, shape: tuple, names: list[str], rounds: int) -> list[dict[str, Any]]:
    batch, steps, inputs, units = shape
    made = programs(cell, shape, names)
    limit = product()
    rows = []
    gates = {"lstm": 4, "gru": 3, "elman": 1}[cell]
    flops = 2 * steps * batch * (inputs + units) * gates * units
    for direction, index in (("forward", 0), ("train", 1)):
        times = medians({name: pair[index] for name, pair in made.items()} | {"product": limit}, rounds)
        fastest = (flops * (1, 3)[index]) / (2 * 2048**3 / times.pop("product"))
        for system, median in times.items():
            row = {"cell": cell, "shape": "x".join(map(str, shape)), "direction": direction, "system": system}
            row |= {"median_ms": median, "ratio": median / times["rnnx"], "of_limit": fastest / median}
            rows.append(row)
    return rows


def summary(rows: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """Geometric means and worst ratios of each system over the shapes; "best JAX peer" is the fastest at each shape."""
    from benchmarks.measure import geometric_mean

    told = []
    for cell in dict.fromkeys(row["cell"] for row in rows):
        for direction in ("forward", "train"):
            some = [row for row in rows if row["cell"] == cell and row["direction"] == direction]
            ratios: dict[str, list[float]] = {}
            for shape in dict.fromkeys(row["shape"] for row in some):
                here = {row["system"]: row["ratio"] for row in some if row["shape"] == shape}
                peers = [r for name, r in here.items() if name not in ("torch", "rnnx")]
                here |= {"best JAX peer": min(peers)} if peers else {}
                for name, ratio in here.items():
                    ratios.setdefault(name, []).append(ratio)
            for name, values in ratios.items():
                if name != "rnnx":
                    told.append({"cell": cell, "direction": direction, "system": name,
                                 "geometric mean": geometric_mean(values), "worst": min(values)})  # fmt: skip
    return told


def main(argv: list[str]) -> int:
    from benchmarks.rivals import PACKAGES  # after the threads are set

    names = [name for name in _PEERS.value.split(",") if name]
    cells = [name for name in _CELLS.value.split(",") if name]
    wrong = [n for n in names if n not in PACKAGES] + [c for c in cells if c not in ("lstm", "gru", "elman")]
    if wrong or len(argv) > 1:
        got = wrong[0] if wrong else argv[1]
        print(f"benchmarks.peers: got {got!r}; --peers are {', '.join(PACKAGES)}; --cells are lstm, gru, elman",
              file=sys.stderr)  # fmt: skip
        return 2
    try:
        shapes = parsed(_SHAPES.value)
    except ValueError:
        print(
            f"benchmarks.peers: --shapes got {_SHAPES.value!r}; write BxTxDxN, such as 32x128x32x128", file=sys.stderr
        )
        return 2
    from benchmarks import measure
    from benchmarks.rivals import versions

    told: dict[str, Any] = {"machine": measure.machine(), "versions": versions(names), "date": time.strftime("%F")}
    print(told["machine"], told["versions"], _torch_build(names), flush=True)
    rows: list[dict[str, Any]] = []
    for cell in cells:
        for shape in shapes:
            new = measured(cell, shape, names, _ROUNDS.value)
            rows += new
            for direction in ("forward", "train"):
                here = [row for row in new if row["direction"] == direction]
                text = ", ".join(f"{row['system']} {row['median_ms']:.2f} ({row['ratio']:.2f})" for row in here)
                print(f"{cell} {new[0]['shape']} {direction}: {text}; limit {here[0]['of_limit']:.0%}", flush=True)
            if _JSON.value:
                measure.write(_JSON.value, told | {"rows": rows, "summary": summary(rows)})
    print(measure.table(summary(rows)))
    return 0


def _torch_build(names: list[str]) -> str:
    if "torch" not in names:
        return ""
    try:
        import torch
    except ModuleNotFoundError:
        return ""
    if _THREADS.value:
        torch.set_num_threads(_THREADS.value)
    return f"torch {torch.__version__}, {torch.get_num_threads()} threads"


def _threads(argv: list[str]) -> None:
    """XLA takes as many threads as the process has cores when it starts."""
    for text in argv:
        name, _, value = text.lstrip("-").partition("=")
        if name == "threads" and value.isdigit() and int(value) and hasattr(os, "sched_setaffinity"):
            os.sched_setaffinity(0, sorted(os.sched_getaffinity(0))[: int(value)])


if __name__ == "__main__":
    _threads(sys.argv)
    app.run(main)
