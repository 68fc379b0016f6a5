"""Train a recurrent network on a task: generated, or real data from a file.

Example: python -m experiments.train --task=adding --cell=lstm --length=100 --units=64

All seeds train at once, by vmap. Prints a table of losses on held-out data and writes metrics.jsonl (every update,
look and gradient flow), summary.json, run.json, config.flags, checkpoints/ and learning.png to --out. The same command
again resumes. Then: python -m experiments.evaluate, and for texts python -m experiments.sample. --flagfile=FILE reads
flags from a file, one a line. Exit status: 0 done, 2 bad input, 3 not finite, 75 interrupted (resumable).
"""

import sys

from absl import flags

from experiments import starting
from experiments.train.options import Settings, define

INTERRUPTED = "interrupted: what was trained is kept, the same command goes on"


def main(argv: list[str], values: flags.FlagValues = flags.FLAGS) -> int:
    def work() -> int:
        settings = Settings.read(values)
        starting.before_jax(settings.smoke, settings.deterministic, settings.debug_nans)

        def train() -> int:
            from experiments.train import program  # imports JAX

            return program.run(settings, argv)

        if settings.processes is None or settings.dry_run:
            return train()
        from experiments.train.watched import watched

        gone = f"another process of this run is gone; {INTERRUPTED}"
        return watched(lambda: starting.guarded(train, INTERRUPTED), settings.absent, gone)

    return starting.start(argv, work, INTERRUPTED, values)


if __name__ == "__main__":
    define()
    sys.exit(main(sys.argv))
