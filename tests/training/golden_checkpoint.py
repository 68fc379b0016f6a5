"""The state that a golden checkpoint holds; `python tests/training/golden_checkpoint.py FOLDER` writes one.

Folders of `golden/` are named by schema and never written again: what a version wrote, later ones read.
"""

import sys
from typing import Any

import jax
import numpy as np

from rnnx.cells import Readout, build
from rnnx.tasks import Adding
from rnnx.training import Clip, Learner, OfCell, Rule, checkpoint

STEP, TOLD = 7, {"metrics_bytes": 123, "first_solved": [None, 5]}


def state() -> Any:
    """Two seeds of an LSTM with Adam: its floats, counters and keys are numbers one writes down, not what is drawn."""
    task = Adding(5)
    learner = Learner(OfCell(Readout(build("lstm", {}, task.inputs, 3), 1), task.loss), Rule("adam", 0.01), Clip(1.0))
    keys = jax.eval_shape(lambda: jax.vmap(jax.random.key)(np.arange(2, dtype=np.uint32)))
    leaves, tree = jax.tree.flatten(jax.eval_shape(jax.vmap(learner.init), keys))
    return jax.tree.unflatten(tree, [_filled(leaf, 10 * i) for i, leaf in enumerate(leaves)])


def _filled(leaf: Any, first: int) -> jax.Array:
    if jax.dtypes.issubdtype(leaf.dtype, jax.dtypes.prng_key):
        return jax.vmap(jax.random.key)(np.arange(first, first + leaf.size, dtype=np.uint32)).reshape(leaf.shape)
    return jax.numpy.asarray((np.arange(leaf.size) + first).reshape(leaf.shape).astype(leaf.dtype))


if __name__ == "__main__":
    checkpoint.save(sys.argv[1], STEP, state(), TOLD)
