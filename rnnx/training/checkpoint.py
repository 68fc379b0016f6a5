"""A pytree on disk and back, through Orbax: written whole before `save` returns, compared before it is believed."""

import pathlib
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import orbax.checkpoint as ocp


def save(folder: str | pathlib.Path, step: int, tree: Any, told: Any = None) -> None:
    """Keep `tree` as the one checkpoint in `folder`, with `told`, plain JSON, beside it.

    Leaves are arrays of at least one number or typed keys, by their path in the tree. The one before goes when the new
    one is complete; one of the same step is left alone, and a FileExistsError raised.
    """
    arrays = {path: np.asarray(_plain(leaf)) for path, leaf in _leaves(tree).items()}
    kinds = {path: str(leaf.dtype) for path, leaf in _leaves(tree).items()}
    keys = {path: str(jax.random.key_impl(leaf)) for path, leaf in _leaves(tree).items() if _is_key(leaf)}
    with _manager(folder, create=True) as manager:
        if step in manager.all_steps():
            raise FileExistsError(f"checkpoint: {folder} holds step {step} already; give another directory")
        parts = {
            "arrays": ocp.args.StandardSave(arrays),
            "told": ocp.args.JsonSave({"kinds": kinds, "keys": keys, "told": told}),
        }
        if not manager.save(step, args=ocp.args.Composite(**parts), force=True):
            raise OSError(f"checkpoint: {folder} did not take step {step}; it holds {manager.latest_step()}")


def restore(folder: str | pathlib.Path, like: Any) -> tuple[int, Any, Any]:
    """(step, tree, told) of the checkpoint in `folder`.

    `like` is a tree of the same structure, of arrays or shapes (`jax.eval_shape` of what makes it); a checkpoint whose
    paths, shapes or dtypes are others raises a ValueError that names the first difference.
    """
    if not pathlib.Path(folder).is_dir():
        raise FileNotFoundError(f"checkpoint: {folder} does not exist; give the directory of a run that has saved")
    with _manager(folder, create=False) as manager:
        step = manager.latest_step()
        if step is None:
            raise FileNotFoundError(f"checkpoint: {folder} holds none that is complete")
        parts = {"arrays": ocp.args.StandardRestore(), "told": ocp.args.JsonRestore()}
        found = manager.restore(step, args=ocp.args.Composite(**parts))
    arrays, kinds, keys, wanted = found["arrays"], found["told"]["kinds"], found["told"]["keys"], _leaves(like)
    for path in {**wanted, **kinds}:
        if path not in kinds or path not in wanted:
            where = "expected" if path in wanted else "found"
            raise ValueError(f"checkpoint: {folder}: {path} is only in what was {where}; it is of another model")
        shape = _shape(wanted[path])
        if kinds[path] != str(wanted[path].dtype) or arrays[path].shape != shape:
            raise ValueError(
                f"checkpoint: {folder}: {path} is {kinds[path]} {arrays[path].shape}, expected "
                f"{wanted[path].dtype} {shape}; it is of another model"
            )
    leaves = [jax.random.wrap_key_data(jnp.asarray(arrays[path]), impl=keys[path]) if path in keys
              else jnp.asarray(arrays[path]) for path in wanted]  # fmt: skip
    return step, jax.tree.unflatten(jax.tree.structure(like), leaves), found["told"]["told"]


def _manager(folder: str | pathlib.Path, create: bool) -> ocp.CheckpointManager:
    path, more = pathlib.Path(folder).absolute(), {}
    if jax.process_count() > 1:  # this process saves, or restores, by itself: the others have no part in it
        me = jax.process_index()
        alone = {"primary_host": me, "active_processes": {me}, "barrier_sync_key_prefix": f"process{me}"}
        more["multiprocessing_options"] = ocp.options.MultiprocessingOptions(**alone)
        if create:  # which Orbax leaves to its caller then
            path.mkdir(parents=True, exist_ok=True)
    options = ocp.CheckpointManagerOptions(
        create=create and not more, max_to_keep=1, enable_async_checkpointing=False, **more
    )
    return ocp.CheckpointManager(path, options=options)


def _leaves(tree: Any) -> dict[str, Any]:
    return {jax.tree_util.keystr(path): leaf for path, leaf in jax.tree_util.tree_leaves_with_path(tree)}


def _is_key(leaf: Any) -> bool:
    return jnp.issubdtype(leaf.dtype, jax.dtypes.prng_key)


def _plain(leaf: Any) -> Any:
    return jax.random.key_data(leaf) if _is_key(leaf) else leaf


def _shape(leaf: Any) -> tuple[int, ...]:
    """As saved: a key is a few words."""
    return jax.eval_shape(_plain, leaf).shape
