"""A batch divided among four devices makes the updates of one, in a process of its own: here there is one."""

import os
import pathlib
import subprocess
import sys

HERE = pathlib.Path(__file__).parent


def test_several_devices_make_the_updates_of_one():
    env = os.environ | {"PYTHONPATH": str(HERE.parents[1]), "JAX_PLATFORMS": "cpu", "JAX_NUM_CPU_DEVICES": "4"}
    done = subprocess.run(
        [sys.executable, HERE / "data_parallel_on_four.py"], capture_output=True, text=True, env=env, timeout=300
    )
    assert done.returncode == 0 and "all equal on 4 devices" in done.stdout, done.stdout + done.stderr
