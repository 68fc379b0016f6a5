"""What training costs: K seeds in one run beside K runs, and looks at the gradient's flow beside none.

    python -m benchmarks.training --seeds=16 --cells=lstm,gru,elman

Each seed learns the adding problem (T = 100) from its own data. "together" is one run of all seeds by vmap, "apart" the
same seeds one after the other with one compilation, "each compiled" the same with a compilation for each. The largest
difference between the two is told after the first 50 updates (later, rounding has grown to another path); rounds are
interleaved. A ratio above 1 is for "together".
"""

import json
import statistics
import sys
import time
from typing import Any

import jax
import numpy as np
from absl import flags

from experiments import flags as kinds
from experiments import starting
from experiments.cell_specs import parse
from rnnx.cells import build
from rnnx.networks import Classifier, Pure, stacked
from rnnx.tasks import Adding
from rnnx.training import Clip, Fresh, Learner, OfNetwork, Rule, layer_flow, steps_of

kinds.define(kinds.free("cells"), "cells", "lstm,gru,elman", "Cells, with commas.")
kinds.define(kinds.whole(2, 1000), "seeds", 16, "Seeds, 2 or more.")
kinds.define(kinds.whole(1, 10**4), "units", 32, "Hidden units.")
kinds.define(kinds.whole(1, 10**4), "batch_size", 16, "Examples in a batch.")
kinds.define(kinds.whole(50, 10**6), "steps", 500, "Updates of a run, in chunks of 50.")
kinds.define(kinds.whole(1, 100), "rounds", 3, "Rounds; the median is told.")
kinds.define(kinds.free("a file"), "json", None, "File to write rows to.")

CHUNK = 50  # updates in one call, and between two looks at the flow


def main(argv: list[str]) -> int:
    starting.parse(argv)
    values = flags.FLAGS
    rows = [measure(str(cell), values) for cell in parse(values.cells)]
    for row in rows:
        told = "  ".join(f"{name} {value:.4g}" for name, value in row.items() if isinstance(value, float))
        print(f"{row['cell']:8} {told}")
    if values.json:
        with open(values.json, "w") as file:
            json.dump(rows, file, indent=1)
    return 0


def measure(name: str, values: Any) -> dict[str, Any]:
    """One row: seconds and ratios."""
    spec = parse(name)[0]
    task = Adding(100)

    def make(inputs: int, units: int) -> Any:
        return build(spec.name, spec.options, inputs, units)

    network = Pure(lambda rngs: Classifier(stacked(make, 2, values.units, rngs=rngs), 1, rngs=rngs))
    learner = Learner(OfNetwork(network, task.loss), Rule("adam", 5e-3), Clip(norm=1.0))
    plan, seeds = Fresh(task, values.batch_size), tuple(range(values.seeds))
    init = jax.jit(jax.vmap(learner.init))

    def states(chosen: tuple[int, ...]) -> Any:
        return init(jax.vmap(jax.random.key)(np.array(chosen, np.uint32)))

    def compiled(chosen: tuple[int, ...]) -> tuple[Any, float]:
        """(the compiled chunk, seconds of compiling)"""
        run, state = steps_of(learner, plan), states(chosen)
        jax.block_until_ready(state)
        began = time.perf_counter()
        jax.block_until_ready(run(state, (), chosen, 0, CHUNK))
        return run, time.perf_counter() - began

    def whole(run: Any, chosen: tuple[int, ...], look: Any = None) -> float:
        """Seconds of a run."""
        state = states(chosen)
        jax.block_until_ready(state)
        began = time.perf_counter()
        for first in range(0, values.steps, CHUNK):
            state, _ = run(state, (), chosen, first, CHUNK)
            if look is not None:
                jax.block_until_ready(look(state.params))
        jax.block_until_ready(state)
        return time.perf_counter() - began

    several, compile_several = compiled(seeds)
    single, compile_single = compiled(seeds[:1])
    watched = jax.jit(lambda: Fresh(task, 8).fetch((), np.array([0, 1], np.uint32)))()
    look = jax.jit(jax.vmap(lambda p: [f.state.mean for f in layer_flow(learner.model, p, watched).values()]))
    jax.block_until_ready(look(states(seeds[:1]).params))
    first, _ = several(states(seeds), (), seeds, 0, CHUNK)
    worst = 0.0
    for i, seed in enumerate(seeds):
        one, _ = single(states((seed,)), (), (seed,), 0, CHUNK)
        pairs = zip(jax.tree.leaves(first.params), jax.tree.leaves(one.params), strict=True)
        worst = max(worst, *(float(np.max(np.abs(a[i] - b[0])) / np.max(np.abs(b))) for a, b in pairs))
    together, apart, watching, alone = [], [], [], []
    for _ in range(values.rounds):
        together.append(whole(several, seeds))
        apart.append(sum(whole(single, (seed,)) for seed in seeds))
        watching.append(whole(single, seeds[:1], look))
        alone.append(whole(single, seeds[:1]))
    vmapped, serial = statistics.median(together), statistics.median(apart)
    # The first chunk of a run that compiles: what it takes beyond a chunk that does not.
    chunk = serial / len(seeds) / (values.steps / CHUNK)
    return {
        "cell": name,
        "together_s": vmapped,
        "apart_s": serial,
        "compile_together_s": compile_several - vmapped / (values.steps / CHUNK),
        "compile_one_s": compile_single - chunk,
        "apart_over_together": serial / vmapped,
        "each_compiled_over_together": (serial + len(seeds) * (compile_single - chunk))
        / (vmapped + compile_several - vmapped / (values.steps / CHUNK)),
        "largest_difference": worst,
        "flow_extra": statistics.median(watching) / statistics.median(alone) - 1,
    }


if __name__ == "__main__":
    sys.exit(main(sys.argv))
