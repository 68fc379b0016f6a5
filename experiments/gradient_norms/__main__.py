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

from experiments import starting
from experiments.gradient_norms.settings import Settings, define


def main(argv: list[str], values: flags.FlagValues = flags.FLAGS) -> int:
    def work() -> int:
        settings = Settings.read(values)
        starting.before_jax(settings.smoke)
        from experiments.gradient_norms import program  # imports JAX

        return program.run(settings, argv)

    return starting.start(argv, work, "interrupted: what was finished is kept, the same command resumes", values)


if __name__ == "__main__":
    define()
    sys.exit(main(sys.argv))
