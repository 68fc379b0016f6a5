"""What earlier versions wrote is read, bit for bit."""

import pathlib
import shutil

import golden_checkpoint as golden
import jax
import numpy as np
import pytest

from rnnx.training import checkpoint

GOLDEN = pathlib.Path(__file__).with_name("golden")
FOLDERS = sorted(path.name for path in GOLDEN.iterdir())


def plain(tree) -> list[np.ndarray]:
    return [np.asarray(jax.random.key_data(a) if checkpoint._is_key(a) else a) for a in jax.tree.leaves(tree)]


def test_every_schema_has_its_checkpoint():
    assert FOLDERS == [f"schema-{number}" for number in range(1, checkpoint.SCHEMA + 1)]


@pytest.mark.parametrize("folder", FOLDERS)
def test_it_is_read(folder, tmp_path):
    shutil.copytree(GOLDEN / folder, tmp_path / folder)
    with jax.enable_x64(False):
        expected = golden.state()
        step, found, told = checkpoint.restore(tmp_path / folder, jax.eval_shape(golden.state))
        assert (step, told) == (golden.STEP, golden.TOLD)
        assert jax.tree.structure(found) == jax.tree.structure(expected)
        for a, b in zip(plain(found), plain(expected), strict=True):
            assert a.dtype == b.dtype and a.tobytes() == b.tobytes()


@pytest.mark.parametrize("folder", FOLDERS)
def test_orbax_v1_reads_it(folder):
    from orbax.checkpoint import v1

    found = v1.load_checkpointables(GOLDEN / folder / str(golden.STEP))
    with jax.enable_x64(False):
        expected = {
            jax.tree_util.keystr(path): leaf for path, leaf in jax.tree_util.tree_leaves_with_path(golden.state())
        }
        assert set(found["arrays"]) == set(expected)
        for path, leaf in found["arrays"].items():
            np.testing.assert_array_equal(leaf, *plain(expected[path]))


def test_a_state_of_another_kind_is_refused(tmp_path):
    """The control, under float64."""
    shutil.copytree(GOLDEN / "schema-1", tmp_path / "1")
    with pytest.raises(checkpoint.OtherTree, match="float32"):
        checkpoint.restore(tmp_path / "1", jax.eval_shape(golden.state))
