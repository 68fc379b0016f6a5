"""A pytree on disk and back, through Orbax: written whole before `save` returns, verified before it is believed.

Orbax stores arrays without checksums, so each step has a manifest beside it, the SHA-256 of each of its files; a step
without one is a save that did not end. Whoever saves must be alone: hold a lock on the directory.
"""

import contextlib
import hashlib
import json
import os
import pathlib
import shutil
import time
from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import orbax.checkpoint as ocp

SCHEMA = 1
MANIFESTS, QUARANTINE = "manifests", "quarantine"  # folders beside those of the steps


class NoCheckpoint(ValueError):
    """There is none that can be trusted."""


class OtherTree(ValueError):
    """A checkpoint of something else: another path, shape, dtype, kind of key, or a newer form."""


def save(folder: str | pathlib.Path, step: int, tree: Any, told: Any = None, keep: int = 1) -> None:
    """Keep `tree` in `folder` under a step, with `told`, plain JSON, beside it; of older steps `keep` - 1 stay.

    Leaves are arrays of at least one number or typed keys, by their path in the tree. The ones before go when the new
    one is complete; one of the same step is left alone, and a FileExistsError raised.
    """
    folder = pathlib.Path(folder).absolute()
    arrays = {path: np.asarray(_plain(leaf)) for path, leaf in _leaves(tree).items()}
    kinds = {path: str(leaf.dtype) for path, leaf in _leaves(tree).items()}
    keys = {path: _implementation(leaf) for path, leaf in _leaves(tree).items() if _is_key(leaf)}
    if step in steps(folder):
        raise FileExistsError(f"checkpoint: {folder} holds step {step} already; give another directory")
    parts = {
        "arrays": ocp.args.StandardSave(arrays),
        "told": ocp.args.JsonSave({"schema": SCHEMA, "kinds": kinds, "keys": keys, "told": told}),
    }
    with _manager(folder, keep) as manager:
        if not manager.save(step, args=ocp.args.Composite(**parts), force=True):
            raise OSError(f"checkpoint: {folder} did not take step {step}; it holds {manager.latest_step()}")
    (folder / MANIFESTS).mkdir(exist_ok=True)
    _write(folder / MANIFESTS / f"{step}.json", json.dumps({"schema": SCHEMA, "files": _digests(folder / str(step))}))
    for old in (folder / MANIFESTS).glob("*.json"):
        if not (folder / old.stem).is_dir():
            old.unlink()


def restore(
    folder: str | pathlib.Path,
    like: Any,
    *,
    rejected: Callable[[str], None] = lambda line: None,
    quarantine: bool = False,
) -> tuple[int, Any, Any]:
    """(step, tree, told) of the newest checkpoint in `folder` that is whole.

    `like` is a tree of the same structure, of arrays or shapes (`jax.eval_shape` of what makes it). What is damaged is
    passed over for the step before it; `rejected` hears a line about each, and with `quarantine` (under the lock of
    whoever saves) it is moved aside, once there is a good one. None left: NoCheckpoint. A whole one whose paths,
    shapes, dtypes or kinds of key are others, or that a newer version wrote: OtherTree, naming the first difference.
    """
    folder, bad = pathlib.Path(folder).absolute(), []
    for step in sorted(steps(folder), reverse=True):
        wrong = damage(folder, step)
        if wrong is None:
            try:
                tree, told = _read(folder, step, like)
            except OtherTree:
                raise
            except Exception as error:  # what Orbax raises is of many kinds
                wrong = " ".join(f"{type(error).__name__}: {error}".split())[:200]
            else:
                for damaged in bad if quarantine else ():
                    _set_aside(folder, damaged)
                return step, tree, told
        bad.append(step)
        rejected(f"checkpoint {step} in {folder} is rejected: {wrong}")
    raise NoCheckpoint(f"checkpoint: no usable checkpoint in {folder}")


def steps(folder: str | pathlib.Path) -> list[int]:
    """The steps that have a directory, whole or not."""
    folder = pathlib.Path(folder)
    return sorted(int(p.name) for p in folder.iterdir() if p.name.isdigit() and p.is_dir()) if folder.is_dir() else []


def damage(folder: str | pathlib.Path, step: int) -> str | None:
    """What is wrong with the files of a step, None if nothing is."""
    folder = pathlib.Path(folder)
    try:
        manifest = json.loads((folder / MANIFESTS / f"{step}.json").read_bytes())
        wanted = manifest["files"]
        assert isinstance(wanted, dict)
    except FileNotFoundError:
        return "it has no manifest, so its save did not end"
    except Exception:
        return "its manifest is damaged"
    found = _digests(folder / str(step))
    for name in {**wanted, **found}:
        if name not in found:
            return f"{name} is missing"
        if name not in wanted:
            return f"{name} does not belong to it"
        if wanted[name] != found[name]:
            return f"{name} is not what was written, its SHA-256 differs"
    return None


def _read(folder: pathlib.Path, step: int, like: Any) -> tuple[Any, Any]:
    with _manager(folder, None) as manager:
        parts = {"arrays": ocp.args.StandardRestore(), "told": ocp.args.JsonRestore()}
        found = manager.restore(step, args=ocp.args.Composite(**parts))
    arrays, told, wanted = found["arrays"], found["told"], _leaves(like)
    if told["schema"] > SCHEMA:
        raise OtherTree(
            f"checkpoint: {folder}: step {step} has schema {told['schema']}, known is {SCHEMA}; take a newer version"
        )
    kinds, keys = told["kinds"], told["keys"]
    for path in {**wanted, **kinds}:
        if path not in kinds or path not in wanted:
            where = "expected" if path in wanted else "found"
            raise OtherTree(f"checkpoint: {folder}: {path} is only in what was {where}; it is of another model")
        want = wanted[path]
        shape = _shape(want)
        if kinds[path] != str(want.dtype) or arrays[path].shape != shape:
            raise OtherTree(
                f"checkpoint: {folder}: {path} is {kinds[path]} {arrays[path].shape}, expected {want.dtype} {shape}; "
                "it is of another model"
            )
    leaves = [jax.random.wrap_key_data(jnp.asarray(arrays[path]), impl=keys[path]) if path in keys
              else jnp.asarray(arrays[path]) for path in wanted]  # fmt: skip
    return jax.tree.unflatten(jax.tree.structure(like), leaves), told["told"]


def _set_aside(folder: pathlib.Path, step: int) -> None:
    (folder / QUARANTINE).mkdir(exist_ok=True)
    shutil.move(folder / str(step), folder / QUARANTINE / f"{step}-{time.time_ns()}")
    with contextlib.suppress(FileNotFoundError):
        (folder / MANIFESTS / f"{step}.json").unlink()


def _manager(folder: pathlib.Path, keep: int | None) -> ocp.CheckpointManager:
    """`keep` None: to read, and leave everything as it is."""
    writes, more = keep is not None, {}
    if jax.process_count() > 1:  # this process saves, or restores, by itself: the others have no part in it
        me = jax.process_index()
        alone = {"primary_host": me, "active_processes": {me}, "barrier_sync_key_prefix": f"process{me}"}
        more["multiprocessing_options"] = ocp.options.MultiprocessingOptions(**alone)
        if writes:  # which Orbax leaves to its caller then
            folder.mkdir(parents=True, exist_ok=True)
    options = ocp.CheckpointManagerOptions(
        create=writes and not more,
        max_to_keep=keep,
        enable_async_checkpointing=False,
        cleanup_tmp_directories=writes,
        **more,
    )
    return ocp.CheckpointManager(folder, options=options)


def _digests(folder: pathlib.Path) -> dict[str, str]:
    """SHA-256 of every file below a folder, by its path in it."""
    files = sorted(path for path in folder.rglob("*") if path.is_file())
    return {str(path.relative_to(folder)): hashlib.sha256(path.read_bytes()).hexdigest() for path in files}


def _write(path: pathlib.Path, text: str) -> None:
    """In one step, and on the disk when it returns."""
    temporary = path.with_name(f".{path.name}.tmp")
    with open(temporary, "w") as file:
        file.write(text)
        file.flush()
        os.fsync(file.fileno())
    os.replace(temporary, path)
    directory = os.open(path.parent, os.O_RDONLY)
    try:
        os.fsync(directory)
    finally:
        os.close(directory)


def _leaves(tree: Any) -> dict[str, Any]:
    return {jax.tree_util.keystr(path): leaf for path, leaf in jax.tree_util.tree_leaves_with_path(tree)}


def _is_key(leaf: Any) -> bool:
    return jnp.issubdtype(leaf.dtype, jax.dtypes.prng_key)


def _implementation(key: Any) -> str:
    return str(jax.random.key_impl(key))


def _plain(leaf: Any) -> Any:
    return jax.random.key_data(leaf) if _is_key(leaf) else leaf


def _shape(leaf: Any) -> tuple[int, ...]:
    """As saved: a key is a few words."""
    return jax.eval_shape(_plain, leaf).shape
