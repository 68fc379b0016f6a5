"""What a run of training needs: of memory at least, of memory and time roughly."""

import jax

from experiments import memory
from experiments.train.build import Work
from experiments.train.options import Settings

FLOPS = 6e10  # a second, of two cores: what training was seen to reach


def check(settings: Settings, work: Work, runs: int, longer: str, devices: int = 1) -> None:
    """Raises BadInput where the memory cannot hold one update of `runs` at once."""
    width = settings.units * settings.layers * (2 if settings.bidirectional else 1)  # of what layers hand over
    if settings.method == "checkpointed":
        width = 0  # not all of it at the same time
    steps = max(stage.task.steps for stage in work.stages)
    moving = 4 * runs * settings.batch_size * steps * (work.task.inputs + width)
    state = jax.eval_shape(work.learner.init, jax.random.key(0))
    kept = sum(leaf.size * leaf.dtype.itemsize for leaf in jax.tree.leaves((state.params, state.optimizer)))
    standing = runs * (kept + 4 * work.parameters)  # and the gradient
    memory.check(work.cell, moving, standing, longer, devices)


def roughly(settings: Settings, work: Work) -> tuple[float, float]:
    """(bytes, seconds) of a run."""
    seeds = len(settings.seeds)
    steps = work.task.steps * settings.batch_size * seeds
    needed = 4 * (steps * 8 * settings.units * settings.layers + 8 * seeds * work.parameters)
    return needed, 10 + 6 * work.parameters * steps * work.steps / FLOPS
