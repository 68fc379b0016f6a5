"""The submission itself: check, submit, show."""

import importlib.util
import os
import shlex
import shutil
import subprocess
import sys

from experiments import exits
from experiments.exits import BadInput
from experiments.submit.job import SAVED, Job
from experiments.submit.options import Settings

NOTICE = 120  # seconds before the end of its time in which a job of Slurm saves


def run(settings: Settings) -> int:
    """The exit status of the program."""
    if not settings.dry_run:
        _look(settings)
    expected = _check(settings)
    sys.stdout.write(f"{'Shard 1' if settings.shards > 1 else 'The job'}: {expected}\n\n")
    status, out = exits.OK, shlex.quote(settings.out)
    if settings.dry_run:
        for number in range(1, settings.shards + 1):
            sys.stdout.write(f"would submit: {shlex.join(['python', '-m', *settings.command(number)])}\n")
    else:
        status = _submit(settings)
        sys.stdout.write(f"\nLogs: {out}/jobs\n")
    sys.stdout.write(f"Afterwards: python -m experiments.report {out}/[0-9]* --out={out}/report\n")
    return status


def _look(settings: Settings) -> None:
    """Raises where nothing can be submitted."""
    if importlib.util.find_spec("submitit") is None:
        raise BadInput("submitit is not installed; pip install 'rnnx[slurm]'")
    for name in ("srun", "sbatch") if settings.cluster == "slurm" else ():
        if shutil.which(name) is None:
            raise BadInput(f"flag --cluster=slurm: there is no {name} here; go where it is, or write --cluster=local")


def _check(settings: Settings) -> str:
    """What the program expects of its first shard; raises what it refuses."""
    command = [sys.executable, "-m", *settings.command(1), "--dry_run"]
    done = subprocess.run(command, capture_output=True, text=True, stdin=subprocess.DEVNULL)
    lines = (done.stderr if done.returncode else done.stdout).split("\n")
    last = [line for line in ("", *lines) if line.strip()][-1:] or ["nothing"]
    if done.returncode == exits.BAD_INPUT:
        raise BadInput(last[0].removeprefix("error: "))
    if done.returncode:
        raise BadInput(f"{settings.program} --dry_run ended with status {done.returncode}: {last[0]}; try it alone")
    return last[0]


def _submit(settings: Settings) -> int:
    """All shards as one array, told one a line."""
    from submitit import AutoExecutor  # pyright: ignore[reportMissingImports]

    most = {f"{cluster}_max_num_timeout": settings.requeues for cluster in ("slurm", "local")}
    try:
        executor = AutoExecutor(os.path.join(settings.out, "jobs"), cluster=settings.cluster, **most)
        executor.update_parameters(
            name=settings.program.rpartition(".")[2],
            timeout_min=settings.minutes,
            cpus_per_task=settings.cpus,
            gpus_per_node=settings.gpus or None,
            mem_gb=settings.memory,
            slurm_partition=settings.partition,
            slurm_signal_delay_s=NOTICE,
        )
        jobs = executor.submit_array([Job(settings.command(i + 1)) for i in range(settings.shards)])
    except OSError as error:
        raise BadInput(f"flag --out={settings.out}: {error.strerror}; write another directory") from None
    except RuntimeError as error:  # what sbatch says
        raise BadInput(
            f"nothing was submitted: {' '.join(str(error).split())}; change the flag that it means"
        ) from None
    status = exits.OK
    for number, job in enumerate(jobs, 1):
        sys.stdout.write(f"{job.job_id}  shard {number}/{settings.shards}  {settings.folder(number)}\n")
        sys.stdout.flush()
        error = job.exception() if settings.cluster == "debug" else None  # there, asking runs it
        if error is not None:
            sys.stderr.write(f"error: shard {number}/{settings.shards}: {error}\n")
            status = status or getattr(error, "status", 1)
            if status in SAVED:
                return exits.INTERRUPTED
    return status
