"""Evaluate a trained run: its losses on a split of its data, at its own length or at others, or on other data.

Example: python -m experiments.evaluate --run=runs/train/0123456789ab --length=100,200,400

Prints a table: a row for each length and seed, and their mean. --out=FILE keeps the rows as JSON. A loss that is not
finite is part of the answer. --flagfile=FILE reads flags from a file, one a line. Exit status: 0 done, 2 bad input,
75 interrupted.
"""

import sys

from absl import flags

from experiments import starting
from experiments.evaluate.options import Settings, define


def main(argv: list[str], values: flags.FlagValues = flags.FLAGS) -> int:
    def work() -> int:
        settings = Settings.read(values)
        starting.before_jax()
        from experiments.evaluate import program  # imports JAX

        return program.run(settings)

    return starting.start(argv, work, "interrupted: nothing was written", values)


if __name__ == "__main__":
    define()
    sys.exit(main(sys.argv))
