"""How a program starts and ends: its command line, what is said before JAX, its exit status. Nothing here imports JAX.

`parse` is called before anything slow is imported.
"""

import difflib
import os
import sys
from collections.abc import Callable, Sequence
from typing import NoReturn

from absl import app, flags

from experiments import exits, quick

# What absl.app defines for programs that it runs; ours it does not, and would ignore these.
APP_FLAGS = ("only_check_args", "pdb", "pdb_post_mortem", "profile_file", "run_with_pdb", "run_with_profiling",
             "use_cprofile_for_profiling")  # fmt: skip


def parse(argv: Sequence[str], values: flags.FlagValues = flags.FLAGS, words: list[str] | None = None) -> None:
    """Read the command line into `values`; on a mistake one line, status 2; on --help the help, status 0.

    What is no flag goes to `words`, where a program takes any, and is refused elsewhere.
    """
    app.define_help_flags()
    values.set_gnu_getopt(words is not None)  # flags may stand behind words
    for name in APP_FLAGS:
        if name in values:
            delattr(values, name)
    try:
        rest = values(list(argv))
    except flags.UnrecognizedFlagError as error:
        near = difflib.get_close_matches(error.flagname, list(values), 1)
        fail(f"unknown flag --{error.flagname}; " + (f"did you mean --{near[0]}? " if near else "") + "see --help")
    except flags.CantOpenFlagFileError as error:
        fail(f"flag --flagfile: {str(error).split(']')[-1].strip()}; write the path of a file with one flag a line")
    except flags.IllegalFlagValueError as error:
        fail(" ".join(str(error).split()))
    except flags.Error as error:
        fail(f"{' '.join(str(error).split())}; write --flag=value, see --help")
    except SystemExit:
        sys.exit(exits.OK)
    if words is not None:
        words += rest[1:]
    elif len(rest) > 1:
        fail(f"unexpected word {rest[1]!r}; write flags with --, e.g. --lengths=10,100")


def before_jax(smoke: bool = False, deterministic: bool = False, debug_nans: bool = False) -> None:
    """What has to be said before JAX is imported.

    Under --smoke what is compiled runs for milliseconds, so no seconds are spent on it; --deterministic keeps a GPU to
    operations that give the same bits every time; --debug_nans runs again, operation by operation, what made a NaN.
    """
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "2")
    told = [quick.flags()] if smoke else []
    told += ["--xla_gpu_deterministic_ops=true --xla_gpu_autotune_level=0"] if deterministic else []
    if told:
        os.environ["XLA_FLAGS"] = " ".join([os.environ.get("XLA_FLAGS", ""), *told]).strip()
    if debug_nans:
        os.environ["JAX_DEBUG_NANS"] = "true"


def start(
    argv: Sequence[str],
    work: Callable[[], int],
    interrupted: str,
    values: flags.FlagValues = flags.FLAGS,
    words: list[str] | None = None,
) -> int:
    """Read the flags, do the work of a program, and tell what went wrong: the exit status."""
    parse(argv, values, words)
    return guarded(work, interrupted)


def guarded(work: Callable[[], int], interrupted: str) -> int:
    """The exit status of work that may end badly, which is told in one line."""
    try:
        return work()
    except exits.BadInput as error:
        fail(str(error))
    except exits.NonFinite as error:
        sys.stderr.write(f"error: {error}\n")
        return exits.NON_FINITE
    except (exits.Interrupted, KeyboardInterrupt):
        sys.stderr.write(f"{interrupted}\n")
        return exits.INTERRUPTED
    except exits.Lost as error:
        sys.stderr.write(f"error: {error}; {interrupted}\n")
        return exits.INTERRUPTED
    except Exception as error:
        if not _of_memory(error):
            raise
        fail("out of memory; write shorter lengths, fewer units or seeds or a smaller batch, see --dry_run")


def _of_memory(error: Exception) -> bool:
    """Whether it says that there was not enough, in Python's words or XLA's."""
    told = str(error).lower()
    xla = type(error).__name__ == "JaxRuntimeError" and ("out of memory" in told or "resource_exhausted" in told)
    return xla or isinstance(error, MemoryError)


def fail(message: str) -> NoReturn:
    """One line on standard error, without what a terminal would obey, and status 2."""
    told = "".join(c if c.isprintable() else repr(c)[1:-1] for c in message)
    sys.stderr.write(f"error: {told}\n")
    sys.exit(exits.BAD_INPUT)
