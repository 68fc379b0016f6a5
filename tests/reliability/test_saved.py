"""Checkpoints under everything that may happen to them: any split of a run, any bit, any file; and a thousand saves."""

import json
import os
import pathlib
import shutil

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from rnnx.cells import CELLS, Readout
from rnnx.tasks import Adding
from rnnx.training import Clip, Fresh, Learner, OfCell, Rule, checkpoint, steps_of

TASK = Adding(5)
LEARNERS = [(cell, optimizer) for cell in ("elman", "lstm", "gru") for optimizer in ("adam", "sgd")]


def learner(cell: str, optimizer: str) -> Learner:
    options = (("momentum", 0.9),) if optimizer == "sgd" else ()
    rule = Rule(optimizer, 0.01, schedule="cosine", steps=40, noise=1e-6, options=options)
    return Learner(OfCell(Readout(CELLS[cell](2, 4), 1), TASK.loss), rule, Clip(norm=0.5))


def bits(tree) -> list[bytes]:
    plain = (jax.random.key_data(leaf) if checkpoint._is_key(leaf) else leaf for leaf in jax.tree.leaves(tree))
    return [np.asarray(leaf).tobytes() for leaf in plain]


def splits(cell: str, optimizer: str, steps: int, folder: pathlib.Path) -> None:
    """Whatever step a run is cut at, through the disk and on to the end: the same bits."""
    learn = learner(cell, optimizer)
    run, seeds = steps_of(learn, Fresh(TASK, 3)), (0, 5)
    keys = jax.vmap(jax.random.key)(np.array(seeds, np.uint32))
    start = jax.jit(jax.vmap(learn.init))
    state, losses, states = start(keys), [], []
    for step in range(steps):
        states.append(jax.tree.map(jnp.copy, state))
        state, metrics = run(state, (), seeds, step, 1)
        losses.append(np.asarray(metrics.loss))
    end = bits(state)
    for cut in range(1, steps):
        checkpoint.save(folder / str(cut), cut, states[cut])
        step, again, _ = checkpoint.restore(folder / str(cut), jax.eval_shape(start, keys))
        assert step == cut and bits(again) == bits(states[cut])
        for step in range(cut, steps):
            again, metrics = run(again, (), seeds, step, 1)
            np.testing.assert_array_equal(metrics.loss, losses[step])
        assert bits(again) == end, cut
    other, _ = run(start(keys), (), seeds, 1, 1)
    assert bits(other) != bits(states[1]), "the control: another batch, other bits"


@pytest.mark.parametrize("cell, optimizer", LEARNERS)
def test_every_split_is_exact(cell, optimizer, tmp_path):
    splits(cell, optimizer, 4, tmp_path)


@pytest.mark.full
@pytest.mark.parametrize("cell, optimizer", LEARNERS)
def test_every_split_of_thirty_is_exact(cell, optimizer, tmp_path):
    splits(cell, optimizer, 30, tmp_path)


# ------------------------------------------------------------------------------------------------ damage

TREE = {"w": jnp.arange(200.0).reshape(10, 20), "n": jnp.arange(3), "key": jax.random.key(7)}


@pytest.fixture(scope="module")
def saved(tmp_path_factory) -> pathlib.Path:
    """Two steps, the second with other numbers."""
    folder = tmp_path_factory.mktemp("saved") / "checkpoints"
    for step in (1, 2):
        checkpoint.save(folder, step, TREE | {"w": TREE["w"] + step}, {"step": step}, keep=2)
    return folder


@pytest.fixture
def copy(saved, tmp_path) -> pathlib.Path:
    return pathlib.Path(shutil.copytree(saved, tmp_path / "checkpoints"))


def read(folder: pathlib.Path) -> tuple[int, float, list[str]]:
    """(step, the first number, what was rejected)"""
    lines: list[str] = []
    step, tree, told = checkpoint.restore(folder, TREE, rejected=lines.append, quarantine=True)
    assert told == {"step": step} and all("\n" not in line for line in lines)
    return step, float(tree["w"][0, 0]), lines


def files(folder: pathlib.Path) -> list[pathlib.Path]:
    """All that belongs to the newest step."""
    return [*(p for p in sorted((folder / "2").rglob("*")) if p.is_file()), folder / "manifests" / "2.json"]


def test_a_whole_one_is_read(copy):
    assert read(copy) == (2, 2.0, [])


def test_any_flipped_bit_is_noticed(copy):
    """Two hundred of them, spread over all files; those of every file are followed to the older step."""
    rng, told = np.random.default_rng(0), files(copy)
    for i in range(200):
        path = told[i % len(told)]
        whole = path.read_bytes()
        if not whole:
            continue
        place = int(rng.integers(len(whole) * 8))
        broken = bytearray(whole)
        broken[place // 8] ^= 1 << place % 8
        path.write_bytes(broken)
        wrong = checkpoint.damage(copy, 2)
        harmless = path.name == "2.json" and _same(broken, whole)
        assert wrong or harmless, (path, place)
        path.write_bytes(whole)
    assert checkpoint.damage(copy, 2) is None, "the control: put back, it is whole"


def _same(a: bytes, b: bytes) -> bool:
    """Whether a manifest says the same with a bit flipped: in a space, or in what nobody reads."""
    try:
        return json.loads(a)["files"] == json.loads(b)["files"]
    except (ValueError, KeyError, TypeError):
        return False


@pytest.mark.parametrize("how", ["deleted", "truncated", "emptied", "flipped"])
def test_any_damaged_file_leads_to_the_step_before(how, saved, tmp_path):
    for i, name in enumerate(path.relative_to(saved) for path in files(saved)):
        folder = pathlib.Path(shutil.copytree(saved, tmp_path / str(i)))
        path, whole = folder / name, (saved / name).read_bytes()
        if not whole and how != "deleted":
            continue
        path.unlink()
        flipped = bytes([whole[0] ^ 4]) + whole[1:] if whole else b""
        content = {"truncated": whole[: len(whole) // 2], "emptied": b"", "flipped": flipped}
        if how != "deleted":
            path.write_bytes(content[how])
        step, number, lines = read(folder)
        assert (step, number, len(lines)) == (1, 1.0, 1), (name, lines)
        assert checkpoint.steps(folder) == [1] and len(list((folder / "quarantine").iterdir())) == 1


def test_junk_and_an_empty_newer_step(copy):
    (copy / "3").mkdir()
    (copy / "notes").mkdir()
    (copy / "7.txt").write_text("seven")
    (copy / "9.orbax-checkpoint-tmp").mkdir()
    step, number, lines = read(copy)
    assert (step, number) == (2, 2.0) and len(lines) == 1 and "checkpoint 3" in lines[0]
    checkpoint.save(copy, 4, TREE, {"step": 4}, keep=2)  # and saving goes on
    assert checkpoint.steps(copy) == [2, 4] and read(copy)[0] == 4


def test_all_bad_is_told(copy):
    for step in (1, 2):
        (copy / "manifests" / f"{step}.json").unlink()
    lines: list[str] = []
    with pytest.raises(checkpoint.NoCheckpoint, match="no usable checkpoint in"):
        checkpoint.restore(copy, TREE, rejected=lines.append)
    assert len(lines) == 2 and checkpoint.steps(copy) == [1, 2], "without `quarantine` all stays where it is"


def test_a_newer_form_is_refused(copy, monkeypatch):
    monkeypatch.setattr(checkpoint, "SCHEMA", 0)
    with pytest.raises(checkpoint.OtherTree, match="has schema 1, known is 0; take a newer version"):
        checkpoint.restore(copy, TREE)


def test_orbax_v1_reads_what_we_write(saved):
    """So that moving to it will be one file."""
    from orbax.checkpoint import v1

    found = v1.load_checkpointables(saved / "2")
    np.testing.assert_array_equal(found["arrays"]["['w']"], TREE["w"] + 2)
    assert found["told"]["told"] == {"step": 2}


def soak(folder: pathlib.Path, saves: int) -> None:
    """Memory, open files and directories stay what they are."""

    def memory() -> int:
        return int(pathlib.Path("/proc/self/statm").read_text().split()[1])

    tree = {"w": jnp.ones(10_000)}
    for step in range(saves // 5):
        checkpoint.save(folder, step, tree, keep=3)
    before, files = memory(), len(os.listdir("/proc/self/fd"))
    for step in range(saves // 5, saves):
        checkpoint.save(folder, step, tree, keep=3)
    assert memory() <= 1.05 * before and len(os.listdir("/proc/self/fd")) == files
    assert checkpoint.steps(folder) == [saves - 3, saves - 2, saves - 1]
    assert len(list((folder / "manifests").iterdir())) == 3


def test_saves_leave_nothing_behind(tmp_path):
    soak(tmp_path, 50)


@pytest.mark.full
def test_a_thousand_saves_leave_nothing_behind(tmp_path):
    soak(tmp_path, 1000)
