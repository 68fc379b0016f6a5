"""Submit a grid in shards, or a run of training, to a cluster through submitit.

Example: python -m experiments.submit --shards=8 --out=runs/grid -- experiments.length_frontier --cells=all

What stands behind -- is the program and its flags but --out and --shard, checked before anything is submitted. Shard i
goes to OUT/i, logs and submitit's own files to OUT/jobs. A job whose time ends saves and is queued again; the same
command again resumes what is missing. Needs the extra slurm. --flagfile=FILE reads flags from a file, one a line. Exit
status: 0 submitted (--cluster=debug: done), 2 bad input, 75 interrupted; with debug those of the program, too.
"""

import sys

from absl import flags

from experiments import starting
from experiments.submit.options import Settings, define


def main(argv: list[str], values: flags.FlagValues = flags.FLAGS) -> int:
    end = argv.index("--") if "--" in argv else len(argv)
    words: list[str] = []

    def work() -> int:
        settings = Settings.read(words, argv[end + 1 :], values)
        from experiments.submit import program

        return program.run(settings)

    return starting.start(argv[:end], work, "interrupted: what was submitted goes on", values, words)


if __name__ == "__main__":
    define()
    sys.exit(main(sys.argv))
