"""What a run consists of: one unit for each cell and length, checked before anything is computed or written."""

import math
from typing import Any

import jax

from experiments import memory
from experiments.exits import BadInput
from experiments.gradient_norms.measure import Unit
from experiments.gradient_norms.settings import Settings
from experiments.names import FILES
from experiments.run_directory import RunDirectory
from experiments.sharding import Shard, deal
from rnnx.cells import Readout, build
from rnnx.scans import METHODS
from rnnx.tasks import TASKS
from rnnx.tasks.readers import BadFile

FLOPS = 8e9  # a second, of one process on two cores: what this program was seen to reach
COMPILE = 4.0  # seconds a program of a cell's, and what is compiled for a length
PADDING = 1e10  # multiplications that are done sooner than a program is compiled


def units(settings: Settings) -> list[Unit]:
    """The grid, cells outside, lengths inside; raises BadInput naming the flag."""
    tasks = [_task(settings, length) for length in settings.lengths]
    method = None if settings.method == "auto" else METHODS[settings.method]()
    made = []
    for spec in settings.cells:
        for task in tasks:
            try:
                cell = build(spec.name, spec.options, task.inputs, settings.units)
            except (TypeError, ValueError) as error:
                told = str(error).replace(".recurrent_init", ".init")  # the word of the flag
                raise BadInput(f"flag --cells={spec}: {told}") from None
            made.append(
                Unit(
                    network=Readout(cell, task.outputs),
                    task=task,
                    seeds=settings.seeds,
                    batch_size=settings.batch_size,
                    last=settings.loss == "last",
                    train_steps=settings.train_steps,
                    optimizer=settings.optimizer,
                    learning_rate=settings.learning_rate,
                    method=method,
                )
            )
    names = [unit.cell for unit in made[:: len(tasks)]]
    for name in names:
        if names.count(name) > 1:
            raise BadInput(f"flag --cells: {name} stands twice, once with its defaults written out; write it once")
    return [unit for name in names for unit in sharing([unit for unit in made if unit.cell == name])]


def sharing(units: list[Unit]) -> list[Unit]:
    """One cell's units, told which lengths are measured by one program: those that padding to the longest of them
    costs less than a program of their own. What is measured stays the same, but for rounding."""
    examples = len(units[0].seeds) * units[0].batch_size
    step = examples * (_parameters(units[0]) + 50 * _width(units[0]))  # 50: what a flow does with each unit's state
    groups: list[list[Unit]] = []
    for unit in sorted(units, key=lambda unit: -unit.task.steps):
        longest = groups[-1][0] if groups else unit
        if groups and unit.network == longest.network and (longest.task.steps - unit.task.steps) * step < PADDING:
            groups[-1].append(unit)
        else:
            groups.append([unit])
    padded = {unit.task.length: group[0].task for group in groups if len(group) > 1 for unit in group}
    return [unit._replace(padded=padded.get(unit.task.length)) for unit in units]


def _task(settings: Settings, length: int) -> Any:
    source = {"file": settings.data} if settings.task in FILES else {}
    try:
        return TASKS[settings.task](length, settings.variant, **source)
    except OSError as error:
        where = "" if error.filename in (None, settings.data) else f"{error.filename}: "
        told = f"{where}{error.strerror}; write the path of {FILES[settings.task]}"
        raise BadInput(f"flag --data={settings.data}: {told}") from None
    except ModuleNotFoundError as error:
        raise BadInput(f"flag --task={settings.task}: {error}") from None
    except BadFile as error:
        raise BadInput(f"flag --data={settings.data}: {error}") from None
    except ValueError as error:
        raise BadInput(f"flag --lengths={length}: {error}") from None


def dealt(units: list[Unit], shard: Shard | None) -> list[Unit]:
    """The units of one shard, of all of them without one."""
    if shard is None:
        return units
    return [units[place] for place in deal([_seconds(unit, _parameters(unit)) for unit in units], shard)]


def _parameters(unit: Unit) -> int:
    shapes = jax.eval_shape(unit.network.init, jax.random.key(0))
    return sum(math.prod(leaf.shape) for leaf in jax.tree.leaves(shapes))


def _seconds(unit: Unit, parameters: int) -> float:
    """What a unit is expected to take, roughly."""
    measured = 12 * (unit.padded or unit.task).steps  # twice, six passes each
    trained = 3 * unit.train_steps * unit.task.steps
    compiled = COMPILE if unit.padded in (None, unit.task) else COMPILE / 4
    return compiled + 2 * parameters * len(unit.seeds) * unit.batch_size * (measured + trained) / FLOPS


def fits(units: list[Unit]) -> None:
    """Raises BadInput where a unit would not, even if nothing but its states, inputs and gradients were kept."""
    for unit in units:
        moving = len(unit.seeds) * unit.batch_size * unit.task.steps * (_width(unit) + unit.task.inputs)
        standing = 2 * len(unit.seeds) * _parameters(unit)
        memory.check(unit.cell, 4 * moving, 4 * standing, f"--lengths={unit.task.length}")


def _width(unit: Unit) -> int:
    state = jax.eval_shape(
        lambda: unit.network.initial_state(unit.network.prepare(unit.network.init(jax.random.key(0))))
    )
    return sum(math.prod(leaf.shape) for leaf in jax.tree.leaves(state))


def describe(units: list[Unit], directory: RunDirectory) -> str:
    """What --dry_run says."""
    lines = [f"{name} = {value}" for name, value in directory.flags.items()]
    lines += [f"out = {directory.path}", ""]
    most, seconds = 0.0, 0.0
    for unit in units:
        count, width = _parameters(unit), _width(unit)
        examples = len(unit.seeds) * unit.batch_size
        needed = 4 * (examples * unit.task.steps * (3 * width + 2 * unit.task.inputs) + 8 * len(unit.seeds) * count)
        seconds += _seconds(unit, count)
        most = max(most, needed)
        lines.append(f"{unit.cell}  T={unit.task.length}  {count} parameters  {needed / 2**20:.0f} MiB")
    runs = sum(len(unit.seeds) for unit in units)
    lines += ["", f"{runs} runs in {len(units)} units, about {most / 2**20:.0f} MiB and {seconds:.0f} s (rough)"]
    return "\n".join(lines) + "\n"
