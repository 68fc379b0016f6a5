"""Measure how the gradient of a recurrent network fades or grows with the distance it travels.

Example: python -m experiments.gradient_norms --task=adding --cells='lstm,elman(init=orthogonal)' --lengths=50,200

Every named cell is initialised from K seeds and the flow of its gradient is measured at every length, log10 of
the norm of dL/ds_t by lag; with --train_steps=N again after N steps of training. Prints a table and writes
results.jsonl, flow.npz, summary.csv, summary.json, run.json, config.flags, gradient_norms.png and .svg to --out.
The same command again resumes. --flagfile=FILE reads flags from a file, one a line. Exit status: 0 done, 2 bad
input, 3 a loss that is not finite, 75 interrupted (resumable).
"""

import sys

from absl import flags

from experiments import flags as kinds
from experiments import names, sharding, starting
from experiments.gradient_norms.settings import LENGTHS, Settings
from experiments.tables import FORMATS

VARIANTS = "; ".join(f"{task}: {', '.join(variants)}" for task, variants in names.VARIANTS.items())
FILES = "; ".join(f"{task}: {what}" for task, what in names.FILES.items())
DEFAULTS = "; ".join(f"{task} {','.join(map(str, lengths))}" for task, lengths in LENGTHS.items())

kinds.define(kinds.word(names.TASKS), "task", "adding", f"What is learned: {', '.join(names.TASKS)}.")
kinds.define(kinds.free("a variant"), "variant", None, f"Form of the task, by default its first. {VARIANTS}.")
kinds.define(kinds.place("a path"), "file", None, f"What a task of real data reads; text carries one. {FILES}.")
kinds.define(
    kinds.cells(names.CELLS),
    "cells",
    "elman,lstm,gru",
    "Cells, with options in brackets, e.g. 'elman(nonlinearity=relu,init=identity)', or all. "
    f"Of: {', '.join(names.CELLS)}.",
)
kinds.define(
    kinds.wholes(1, 10**7, "write e.g. 10,100"),
    "lengths",
    None,
    "Sequence lengths, in steps (for copy and memorisation the delay; for digits and images a divisor of the number of "
    f"pixels; of recordings and music the first so many). By default {DEFAULTS}.",
)
kinds.define(kinds.whole(1, 10**5), "units", 128, "Hidden units of every cell, 1 or more.")
kinds.define(
    kinds.seeds(10**4), "seeds", 8, "Seeds: a count, or a list with a comma (0,1,7; 7, is seed 7). 0 to 2^32-1."
)
kinds.define(kinds.whole(1, 10**6), "batch_size", 32, "Examples in a batch, 1 or more.")
kinds.define(kinds.word(("last", "all")), "loss", "last", "Loss on the last scored step, or on all scored steps.")
kinds.define(kinds.whole(0, 10**8), "train_steps", 0, "Steps of training before a second measurement; 0 for none.")
kinds.define(kinds.word(names.OPTIMIZERS), "optimizer", "adam", f"Of optax: {', '.join(names.OPTIMIZERS)}.")
kinds.define(kinds.positive(), "learning_rate", 1e-3, "Learning rate, constant, above 0.")
kinds.define(
    kinds.word(names.METHODS),
    "method",
    "auto",
    f"Way through time in training: {', '.join(names.METHODS)}. auto chooses.",
)
kinds.define(kinds.shard(), "shard", None, sharding.HELP)
kinds.define(
    kinds.place("a directory"), "out", None, "Directory of the run. By default runs/gradient_norms/<hash of flags>."
)
kinds.define(kinds.word(FORMATS), "format", "text", f"Format of the table on standard output: {', '.join(FORMATS)}.")
kinds.switch(
    "smoke", "Try everything in seconds: small sizes wherever no flag says otherwise, compiled without optimisation."
)
kinds.switch("dry_run", "Say what would run, its parameters, memory and time; write nothing.")


def main(argv: list[str]) -> int:
    def work() -> int:
        settings = Settings.read(flags.FLAGS)
        starting.before_jax(settings.smoke)
        from experiments.gradient_norms import program  # imports JAX

        return program.run(settings, argv)

    return starting.start(argv, work, "interrupted: what was finished is kept, the same command resumes")


if __name__ == "__main__":
    sys.exit(main(sys.argv))
