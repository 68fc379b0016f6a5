"""Report on any number of runs: tables, figures over each other, and where every number came from.

Example: python -m experiments.report runs/gradient_norms/* runs/train/* --out=report

Reads directories that gradient_norms, length_frontier and train wrote, finished or not. Shards, and runs that differ in
nothing but cells, lengths and seeds, become one grid. Prints a table of each grid; with --out=DIR also writes
report.html (one file, for any browser), report.md, report.csv, report.json and the figures as PNG. Of each result the
SHA-256 is compared with the one that the run recorded. --flagfile=FILE reads flags from a file, one a line. Exit
status: 0 done, 2 bad input (nothing is written).
"""

import sys

from absl import flags

from experiments import starting
from experiments.report.options import Settings, define


def main(argv: list[str], values: flags.FlagValues = flags.FLAGS) -> int:
    words: list[str] = []

    def work() -> int:
        settings = Settings.read(words, values)
        from experiments.report import program  # imports NumPy

        return program.run(settings)

    interrupted = "interrupted: the report is not complete, the same command makes it"
    return starting.start(argv, work, interrupted, values, words)


if __name__ == "__main__":
    define()
    sys.exit(main(sys.argv))
