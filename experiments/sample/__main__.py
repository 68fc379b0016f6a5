"""Let a trained language model write text.

Example: python -m experiments.sample --run=runs/train/0123456789ab --symbols=300 --temperature=0.8

The run is one of python -m experiments.train --task=text. Prints the text, after the prompt where one is given, and
nothing else; an empty line stands between passages of several seeds. --out=FILE keeps the passages as JSON.
--flagfile=FILE reads flags from a file, one a line. Exit status: 0 done, 2 bad input, 75 interrupted.
"""

import sys

from absl import flags

from experiments import starting
from experiments.sample.options import Settings, define


def main(argv: list[str], values: flags.FlagValues = flags.FLAGS) -> int:
    def work() -> int:
        settings = Settings.read(values)
        starting.before_jax()
        from experiments.sample import program  # imports JAX

        return program.run(settings)

    return starting.start(argv, work, "interrupted: nothing was written", values)


if __name__ == "__main__":
    define()
    sys.exit(main(sys.argv))
