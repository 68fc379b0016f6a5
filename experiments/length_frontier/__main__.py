"""Find the sequence length up to which a cell learns a task, beside the slope of its gradient at initialisation.

Example: python -m experiments.length_frontier --task=adding --cells=elman,lstm,gru --lengths=20,40,60,100,200

Every cell is trained at every length from K seeds at each of a few learning rates, all at once by vmap, until the seeds
at one rate have all solved the task or the updates are used up. Prints the share of seeds that solve it at the best
rate and T*, where that share crosses one half; writes results.jsonl, summary.csv, summary.json, run.json, config.flags,
length_frontier.png and .svg to --out. The same command again resumes. --flagfile=FILE reads flags from a file, one
a line. A run whose loss is not finite has not solved it. Exit status: 0 done, 2 bad input, 75 interrupted (resumable).
"""

import sys

from absl import flags

from experiments import starting
from experiments.length_frontier.settings import Settings, define


def main(argv: list[str], values: flags.FlagValues = flags.FLAGS) -> int:
    def work() -> int:
        settings = Settings.read(values)
        starting.before_jax(settings.smoke)
        from experiments.length_frontier import program  # imports JAX

        return program.run(settings, argv)

    return starting.start(argv, work, "interrupted: what was finished is kept, the same command resumes", values)


if __name__ == "__main__":
    define()
    sys.exit(main(sys.argv))
