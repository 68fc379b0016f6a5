"""Time divided among four devices, in a process of its own: here there is one."""

import os
import pathlib
import subprocess
import sys

HERE = pathlib.Path(__file__).parent


def test_four_devices_equal_one():
    devices = "--xla_force_host_platform_device_count=4"
    env = os.environ | {"PYTHONPATH": str(HERE.parents[1]), "JAX_PLATFORMS": "cpu"}
    env["XLA_FLAGS"] = f"{os.environ.get('XLA_FLAGS', '')} {devices}".strip()
    done = subprocess.run([sys.executable, HERE / "on_four_devices.py"], capture_output=True, text=True, env=env)
    assert done.returncode == 0 and "all equal on 4 devices" in done.stdout, done.stdout + done.stderr
