"""One of two processes that train together is killed after a save: all ends soon, and goes on on other devices."""

import os
import shutil
import signal
import time

import numpy as np
import processes
import pytest
from together import end, losses, pair, start

from rnnx.training import checkpoint

RUN = ("--cell=gru", "--length=6", "--units=3", "--batch_size=8", "--steps=20", "--eval_every=5", "--flow_every=0",
       "--seeds=0,3", "--dropout=0.3", "--checkpoint_every=1", "--keep=30")  # fmt: skip
SOON = 60  # seconds in which all must have ended


@pytest.fixture(scope="module")
def alone(tmp_path_factory):
    """The run on one device that nothing happens to."""
    path = tmp_path_factory.mktemp("alone") / "run"
    status, _, err = end(start(1, *RUN, f"--out={path}"))
    assert status == 0, err
    return losses(path)


def killed(victim: int, path) -> int:
    """The step of the newest save of two processes of two devices, one of which was killed between saves."""
    both = pair(*RUN, "--devices=all", f"--out={path}")
    try:
        while not (path / "checkpoints" / "manifests" / "4.json").exists():
            assert both[0].poll() is None, end(both[0], 10)
            time.sleep(0.01)
        both[victim].send_signal(signal.SIGKILL)
        began = time.monotonic()
        status, _, err = end(both[1 - victim], SOON)
        assert status == 75 and "another process of this run is gone" in err, (status, err)
        assert end(both[victim], 10)[0] == -signal.SIGKILL
        assert time.monotonic() - began < SOON
    finally:
        for process in both:
            process.kill()
            end(process, 10)
    step = checkpoint.steps(path / "checkpoints")[-1]
    assert 4 <= step < 20
    return step


@pytest.mark.full
@pytest.mark.parametrize("victim", [0, 1])
def test_a_killed_pair_goes_on_on_one_device_and_on_four(victim, alone, tmp_path):
    """The losses of one device, to 1e-6; the control is the other seed."""
    step = killed(victim, tmp_path / "run")
    shutil.copytree(tmp_path / "run", tmp_path / "four")
    status, _, err = end(start(1, *RUN, f"--out={tmp_path / 'run'}"))
    assert status == 0, err
    env = {**os.environ, "XLA_FLAGS": "--xla_force_host_platform_device_count=4", "JAX_ENABLE_X64": "1"}
    _, err = processes.run("train", *RUN, "--devices=4", f"--out={tmp_path / 'four'}", env=env)
    for path, devices in ((tmp_path / "run", 1), (tmp_path / "four", 4)):
        got = losses(path)
        np.testing.assert_allclose(got, alone, rtol=1e-6)
        assert np.abs(got[::2] / alone[1::2] - 1).max() > 1e-3
        record = processes.strict((path / "run.json").read_text())
        assert [begun["machines"]["devices"] for begun in record["starts"]] == [4, devices], step
        assert record["status"] == "complete"
