"""What a run does not do: open a socket, keep the environment, follow a link."""

import os
import subprocess
import sys

import processes

HOOK = """
import sys
def hear(event, words):
    if event in ("socket.connect", "socket.bind", "socket.getaddrinfo", "socket.sendto"):
        sys.stderr.write(f"HEARD {event} {words}\\n")
sys.addaudithook(hear)
"""


def heard(code: str) -> list[str]:
    done = subprocess.run([sys.executable, "-c", HOOK + code], capture_output=True, text=True, cwd=processes.ROOT)
    assert done.returncode == 0, done.stderr
    return [line for line in done.stderr.splitlines() if line.startswith("HEARD")]


def test_a_default_run_opens_no_socket(tmp_path):
    run = f"sys.argv = ['train', '--smoke', '--out={tmp_path / 'run'}']\n"
    run += "import runpy\ntry: runpy.run_module('experiments.train', run_name='__main__')\nexcept SystemExit as end: "
    assert heard(run + "assert not end.code, end.code") == []
    assert heard("import socket\nsocket.socket(socket.AF_INET, socket.SOCK_DGRAM).bind(('127.0.0.1', 0))"), (
        "the control"
    )


def test_no_secret_of_the_environment_is_kept(tmp_path):
    """Only what is on the list of `experiments.record`."""
    env = {**os.environ, "AWS_SECRET_ACCESS_KEY": "hunter2hunter2", "JAX_ENABLE_X64": "0"}
    processes.run("train", "--smoke", f"--out={tmp_path / 'run'}", env=env)
    files = [path for path in (tmp_path / "run").rglob("*") if path.is_file()]
    assert files and not any(b"hunter2" in path.read_bytes() for path in files)
    record = processes.strict((tmp_path / "run" / "run.json").read_text())
    assert record["environment"]["JAX_ENABLE_X64"] == "0", "the control: what is on the list is there"
