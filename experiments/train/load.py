"""A trained run, read back from its directory: nothing in it is believed before it is checked."""

import contextlib
import gc
import json
import logging
import pathlib
import sys
import time
from collections.abc import Iterator
from dataclasses import replace
from typing import Any, NamedTuple

import jax
from absl import flags

from experiments import names
from experiments.exits import BadInput
from experiments.record import data_digest
from experiments.run_directory import RECORD
from experiments.seal import intact
from experiments.train.build import Work, prepare
from experiments.train.options import PROGRAM, Settings, settings_of
from experiments.train.train import CHECKPOINTS, start
from rnnx.training import checkpoint

REMEDY = "write the directory of a run of python -m experiments.train"
ECHOES = 0.3  # seconds


class Run(NamedTuple):
    """A run and what it learned."""

    path: pathlib.Path
    record: dict[str, Any]  # run.json
    settings: Settings
    work: Work
    which: str  # the checkpoint: "best" or "last"
    steps: tuple[int, ...]  # at which each seed was kept
    params: Any  # of all seeds, leaves [K, ...]


def load(folder: str, which: str | None = None, data: str | None = None, method: str | None = None) -> Run:
    """The run in `folder`; raises BadInput, in one line, where there is none that can be trusted.

    `which` is a checkpoint, by default the best one where the run has one. `data` is where the data lie now, `method`
    another way through time.
    """
    path = pathlib.Path(folder).absolute()
    record = _record(path, folder, which)
    try:
        settings = settings_of(record["flags"])
    except (flags.Error, BadInput, ValueError, KeyError, TypeError, AttributeError) as error:
        told = _one_line(error)
        raise BadInput(f"flag --run={folder}: {RECORD} holds flags that cannot be read: {told}; {REMEDY}") from None
    settings = replace(settings, data=moved(settings, data), method=method or settings.method)
    work = prepare(settings)
    if data_digest(work.task) != record.get("data_sha256"):
        flag = f"--data={settings.data}" if settings.data else f"--run={folder}"
        raise BadInput(
            f"flag {flag}: these are not the data that the run was trained on, their SHA-256 differs; write where "
            "those are, as --data"
        )
    _same_width(record, folder)
    steps, params, chosen = _restored(path / CHECKPOINTS, which, work, settings, folder)
    return Run(path, record, settings, work, chosen, steps, params)


def moved(settings: Settings, data: str | None) -> str:
    """Where the data are: at `data` if that is given, else where they were."""
    if data and settings.task.name not in names.FILES:
        readers = ", ".join(names.FILES)
        raise BadInput(
            f"flag --data={data}: the run is of --task={settings.task}, which reads no file ({readers}); leave it out"
        )
    return str(pathlib.Path(data).absolute()) if data else settings.data


def _record(path: pathlib.Path, folder: str, which: str | None) -> dict[str, Any]:
    if not path.is_dir():
        what = "is a file" if path.exists() else "there is no such directory"
        raise BadInput(f"flag --run={folder}: {what}; {REMEDY}")
    try:
        record = json.loads((path / RECORD).read_bytes())
        program, status = record["program"], record["status"]
        if not intact(record):
            raise ValueError
    except FileNotFoundError:
        raise BadInput(f"flag --run={folder}: holds no {RECORD}; {REMEDY}") from None
    except (OSError, ValueError, KeyError, TypeError):
        raise BadInput(f"flag --run={folder}: its {RECORD} is damaged; {REMEDY}") from None
    if program != PROGRAM:
        raise BadInput(f"flag --run={folder}: holds a run of {program}; {REMEDY}")
    if status != "complete" and which != "last":
        raise BadInput(
            f"flag --run={folder}: the run is not finished, its status is {status}; give its command again, or write "
            "--which=last for what it had learned"
        )
    return record


def _same_width(record: dict[str, Any], folder: str) -> None:
    now, then = bool(jax.config.values["jax_enable_x64"]), record.get("x64")
    if then is not None and then != now:
        raise BadInput(
            f"flag --run={folder}: trained in float{64 if then else 32}; set JAX_ENABLE_X64={int(then)} to look at it"
        )


def _restored(
    folder: pathlib.Path, which: str | None, work: Work, settings: Settings, run: str
) -> tuple[tuple[int, ...], Any, str]:
    """(step of each seed, params [K, ...], "best" or "last")"""
    if which == "best" and not work.selects:
        raise BadInput(f"flag --which=best: the run in {run} chose none, its task has no validation data; write last")
    which = which or ("best" if work.selects else "last")
    like = jax.eval_shape(lambda: start(work, settings.seeds))
    rejected: list[str] = []
    with _silence():
        try:
            step, (state, best), told = checkpoint.restore(folder, like, rejected=rejected.append)
            sys.stderr.write("".join(f"warning: {line}\n" for line in rejected))
            if which == "best":
                return tuple(map(int, told["best"]["step"])), best, which
            return (step,) * len(settings.seeds), state.params, which
        except Exception as error:  # of a damaged file Orbax raises whatever its parts do
            wrong = _one_line(rejected[0] if rejected else error)
        gc.collect()  # and its threads, whose reads end a moment later, each tell of it again
        time.sleep(ECHOES)
    raise BadInput(f"flag --run={run}: {CHECKPOINTS} cannot be read: {wrong}; train it again")


@contextlib.contextmanager
def _silence() -> Iterator[None]:
    """No messages, and none of exceptions that nobody can catch."""
    logging.disable(logging.CRITICAL)
    hook, sys.unraisablehook = sys.unraisablehook, lambda unraisable: None
    try:
        yield
    finally:
        sys.unraisablehook = hook
        logging.disable(logging.NOTSET)


def _one_line(error: Exception | str) -> str:
    told = " ".join(str(error).split()) or type(error).__name__
    return told if len(told) <= 300 else told[:300] + " ..."
