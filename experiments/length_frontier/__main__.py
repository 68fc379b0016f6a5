"""Find the sequence length up to which a cell learns a task, beside the slope of its gradient at initialisation.

Example: python -m experiments.length_frontier --task=adding --cells=elman,lstm,gru --lengths=20,40,60,100,200

Every cell is trained at every length from K seeds at each of a few learning rates, all at once by vmap, until the seeds
at one rate have all solved the task or the updates are used up. Prints the share of seeds that solve it at the best
rate and T*, where that share crosses one half; writes results.jsonl, summary.csv, summary.json, run.json, config.flags,
length_frontier.png and .svg to --out. The same command again resumes. --flagfile=FILE reads flags from a file, one
a line. Exit status: 0 done, 2 bad input, 3 nothing that is finite, 75 interrupted (resumable).
"""

import sys

from experiments import flags as kinds
from experiments import names
from experiments.length_frontier.settings import LENGTHS, Settings
from experiments.tables import FORMATS

VARIANTS = "; ".join(f"{task}: {', '.join(names.VARIANTS[task])}" for task in LENGTHS)

kinds.define(
    kinds.spec(tuple(LENGTHS), "adding"),
    "task",
    "adding",
    f"What is learned, with options in brackets where the task has any. Of: {', '.join(LENGTHS)}.",
)
kinds.define(kinds.free("a variant"), "variant", None, f"Form of the task, by default its first. {VARIANTS}.")
kinds.define(
    kinds.cells(names.CELLS),
    "cells",
    "elman,lstm,gru",
    f"Cells, with options in brackets. Of: {', '.join(names.CELLS)}.",
)
kinds.define(
    kinds.wholes(1, 10**7, "write e.g. 20,50,100"),
    "lengths",
    None,
    "Sequence lengths, in steps, two or more; by default "
    + "; ".join(f"{task} {','.join(map(str, lengths))}" for task, lengths in LENGTHS.items())
    + ".",
)
kinds.define(kinds.whole(1, 10**5), "units", 64, "Hidden units, 1 or more.")
kinds.define(
    kinds.seeds(1000), "seeds", 3, "Seeds: a count, or a list with a comma (0,1,7; 7, is seed 7). 0 to 2^32-1."
)
kinds.define(kinds.rates(), "learning_rates", [5e-4, 2e-3, 5e-3], "Learning rates to choose from, above 0.")
kinds.define(kinds.word(names.SCHEDULES), "schedule", "constant", f"How they go on: {', '.join(names.SCHEDULES)}.")
kinds.define(
    kinds.spec(names.OPTIMIZERS, "adam(b2=0.99)"),
    "optimizer",
    "adam",
    f"Of optax, with its options in brackets: {', '.join(names.OPTIMIZERS)}.",
)
kinds.define(kinds.at_least_0(), "clip_norm", 1.0, "Bound of the gradient's norm; 0: none.")
kinds.define(kinds.whole(1, 10**6), "batch_size", 32, "Examples in a batch, 1 or more.")
kinds.define(kinds.whole(1, 10**9), "steps", 4000, "Updates that a run may take.")
kinds.define(kinds.whole(1, 10**9), "eval_every", 100, "Updates between looks at 1,000 held-out examples.")
kinds.define(
    kinds.free("a directory"), "out", None, "Directory of the run. By default runs/length_frontier/<hash of flags>."
)
kinds.define(kinds.word(FORMATS), "format", "text", f"Format of the table on standard output: {', '.join(FORMATS)}.")
kinds.switch(
    "smoke", "Try everything in seconds: small sizes wherever no flag says otherwise, compiled without optimisation."
)
kinds.switch("dry_run", "Say what would run, its parameters, memory and time; write nothing.")


def main(argv: list[str]) -> int:
    def work() -> int:
        settings = Settings.read()
        kinds.compile_quickly(settings.smoke)
        from experiments.length_frontier import program  # imports JAX

        return program.run(settings, argv)

    return kinds.start(argv, work, "interrupted: what was finished is kept, the same command resumes")


if __name__ == "__main__":
    sys.exit(main(sys.argv))
