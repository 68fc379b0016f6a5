"""One run on several devices and in several processes: the same numbers, and an end in one line when one is gone."""

import os
import shutil
import signal
import subprocess
import sys
import time

import jax
import numpy as np
import processes
import pytest
from absl.flags import IllegalFlagValueError
from runs_by_hand import edit
from together import end, losses, pair, port, start

from experiments.exits import BadInput
from experiments.train.build import prepare
from experiments.train.machines import assemble
from experiments.train.options import WAIT, settings_of
from experiments.train.train import start as begin
from rnnx.training import checkpoint

SMALL = ("--cell=gru", "--length=6", "--units=3", "--batch_size=4", "--steps=6", "--eval_every=3", "--flow_every=0",
         "--seeds=0,3", "--dropout=0.3")  # fmt: skip
CARRIED = ("--task=text", "--cell=lstm", "--length=6", "--units=3", "--batch_size=4", "--steps=6", "--eval_every=3",
           "--flow_every=0", "--embedding=3")  # fmt: skip
LATE = 60 + 30  # seconds until nothing may be left, and what a busy machine takes to start


def until_it_trains(path, both):
    metrics, began = path / "metrics.jsonl", time.monotonic()
    while not (metrics.exists() and '"step": 60,' in metrics.read_text()):
        time.sleep(0.2)
        assert time.monotonic() < began + 240 and both[0].poll() is None, end(both[0], 10)


def test_two_processes_of_two_devices_train_as_one(tmp_path):
    """All losses of updates and looks; one process writes, and prints; the control is another seed."""
    both = pair(*SMALL, "--devices=all", f"--out={tmp_path / 'many'}")
    ends = [end(process) for process in both]
    assert [status for status, *_ in ends] == [0, 0], ends
    assert "adding (urnn, length 6), gru" in ends[0][1] and "Gloo" not in ends[0][1]
    assert ends[1][1] == "" and ends[1][2] == ""
    status, _, err = end(start(1, *SMALL, f"--out={tmp_path / 'one'}"))
    assert status == 0, err
    got, want = losses(tmp_path / "many"), losses(tmp_path / "one")
    assert len(got) == 2 * (6 + 3)
    np.testing.assert_allclose(got, want, rtol=1e-6)
    assert np.abs(got[::2] / want[1::2] - 1).max() > 1e-3
    record = processes.strict((tmp_path / "many" / "run.json").read_text())
    assert record["machines"] == {"devices": 4, "processes": 2} and record["status"] == "complete"
    flags = (tmp_path / "many" / "config.flags").read_text()
    assert flags == (tmp_path / "one" / "config.flags").read_text() and "processes" not in flags


@pytest.mark.full
def test_carried_states_lie_on_all_devices_and_are_saved_whole(tmp_path):
    text = tmp_path / "text.txt"
    text.write_text("the cat sat on the mat and the dog sat on the log; " * 40)
    given = (*CARRIED, f"--data={text}")
    ends = [end(process) for process in pair(*given, "--devices=2", f"--out={tmp_path / 'many'}")]
    assert [status for status, *_ in ends] == [0, 0], ends
    status, _, err = end(start(1, *given, f"--out={tmp_path / 'one'}"))
    assert status == 0, err
    np.testing.assert_allclose(losses(tmp_path / "many"), losses(tmp_path / "one"), rtol=1e-6)

    settings = settings_of(processes.strict((tmp_path / "one" / "run.json").read_text())["flags"])
    work = prepare(settings)
    like = jax.eval_shape(lambda: begin(work, settings.seeds))
    one, many = (checkpoint.restore(tmp_path / name / "checkpoints", like)[1].state for name in ("one", "many"))
    for a, b in zip(*(jax.tree.leaves((tree.states, tree.params)) for tree in (one, many)), strict=True):
        np.testing.assert_allclose(a, b, rtol=1e-8, atol=1e-10)


def cut(path, step: int):
    """The run as it lay there when it had saved so far."""
    for later in [p for p in (path / "checkpoints").iterdir() if p.name.isdigit() and int(p.name) > step]:
        shutil.rmtree(later)
        (path / "checkpoints" / "manifests" / f"{later.name}.json").unlink()
    edit(path, status="running")


def outcome(path) -> tuple[str, bytes]:
    return processes.strict((path / "run.json").read_text())["state_sha256"], (path / "metrics.jsonl").read_bytes()


OFTEN = ("--checkpoint_every=2", "--keep=9")


def test_on_two_devices_it_goes_on_where_it_was(tmp_path):
    """In the same bytes; and on one device from there, with the same numbers."""
    path = tmp_path / "run"
    given = (*SMALL, *OFTEN, f"--out={path}")
    status, _, err = end(start(2, *given, "--devices=2"))
    assert status == 0, err
    whole, numbers = outcome(path), losses(path)
    cut(path, 4)
    status, _, err = end(start(2, *given, "--devices=2"))
    assert status == 0 and outcome(path) == whole, err
    cut(path, 2)
    status, _, err = end(start(1, *given))
    assert status == 0, err
    np.testing.assert_allclose(losses(path), numbers, rtol=1e-6)
    starts = processes.strict((path / "run.json").read_text())["starts"]
    assert [begun["machines"]["devices"] for begun in starts] == [2, 2, 1]


@pytest.mark.full
def test_two_processes_go_on_where_the_first_was(tmp_path):
    """In the same bytes, from a run with carried states; where the first cannot, both end with a line."""
    text = tmp_path / "text.txt"
    text.write_text("the cat sat on the mat and the dog sat on the log; " * 40)
    path = tmp_path / "run"
    given = (*CARRIED, *OFTEN, f"--data={text}", "--devices=2", f"--out={path}")
    ends = [end(process) for process in pair(*given)]
    assert [status for status, *_ in ends] == [0, 0], ends
    whole = outcome(path)
    cut(path, 4)
    ends = [end(process) for process in pair(*given)]
    assert [status for status, *_ in ends] == [0, 0] and outcome(path) == whole, ends
    assert [status for status, *_ in map(end, pair(*given))] == [0, 0] and outcome(path) == whole  # nothing to do
    cut(path, 4)
    for manifest in (path / "checkpoints" / "manifests").iterdir():
        manifest.write_text("{}")
    ends = [end(process, 100) for process in pair(*given)]
    assert [status for status, *_ in ends] == [2, 2], ends
    assert "no usable checkpoint" in ends[0][2].splitlines()[-1]
    assert ends[1][2] == "error: flag --process=1: process 0 cannot go on, and tells why\n"


@pytest.mark.full
def test_two_processes_agree_that_an_update_is_not_finite(tmp_path):
    path = tmp_path / "run"
    given = (*SMALL, "--optimizer=sgd", "--learning_rate=1e300", "--dropout=0", f"--out={path}")
    ends = [end(process, 100) for process in pair(*given, devices=1)]
    assert [status for status, *_ in ends] == [3, 3] and all("not finite: cell gru" in err for *_, err in ends), ends
    assert list((path / "crash").glob("[0-9]*"))


@pytest.mark.full
@pytest.mark.parametrize("victim", [0, 1])
def test_when_one_process_is_killed_the_other_ends_with_a_line(victim, tmp_path):
    both = pair(*SMALL, "--steps=1000000", "--eval_every=50", f"--out={tmp_path / 'run'}", devices=1)
    try:
        until_it_trains(tmp_path / "run", both)
        both[victim].send_signal(signal.SIGKILL)
        status, _, err = end(both[1 - victim], 60)
    finally:
        for process in both:
            process.kill()
            end(process, 10)
    lines = [line for line in err.splitlines() if " it/s, " not in line]
    assert status == 75 and len(lines) == 1 and "another process of this run is gone" in lines[0], (status, err)


@pytest.mark.full
def test_one_interrupted_process_stops_both(tmp_path):
    both = pair(*SMALL, "--steps=1000000", "--eval_every=50", f"--out={tmp_path / 'run'}", devices=1)
    try:
        until_it_trains(tmp_path / "run", both)
        both[1].send_signal(signal.SIGTERM)
        ends = [end(process, 60) for process in both]
    finally:
        for process in both:
            process.kill()
            end(process, 10)
    assert [status for status, *_ in ends] == [75, 75] and all("interrupted" in err for *_, err in ends), ends
    assert processes.strict((tmp_path / "run" / "run.json").read_text())["status"] == "interrupted"


@pytest.mark.full
@pytest.mark.parametrize("process", [0, 1])
def test_a_process_that_stays_alone_ends_with_a_line(process, tmp_path):
    where = f"--coordinator=127.0.0.1:{port()}"
    begun = start(1, *SMALL, where, f"--process={process}", "--processes=2", f"--out={tmp_path / 'run'}")
    status, out, err = end(begun, WAIT + LATE)
    assert status == 2 and out == "" and len(err.splitlines()) == 1, (status, err)
    assert err.startswith(f"error: flag {where}: ") and f"within {WAIT} s; start all 2" in err
    assert not (tmp_path / "run").exists()


@pytest.mark.full
def test_processes_of_other_flags_are_told_apart(tmp_path):
    where = f"--coordinator=127.0.0.1:{port()}"
    both = [start(1, *SMALL, f"--units={3 + i}", where, f"--process={i}", "--processes=2", f"--out={tmp_path / 'run'}")
            for i in (0, 1)]  # fmt: skip
    for status, _, err in map(end, both):
        assert status == 2 and "process 1 has other flags or data than process 0" in err, err
    assert not (tmp_path / "run").exists()


# ----------------------------------------------------------------------------------------- inside this process


@pytest.mark.parametrize(
    ("flags", "message"),
    [
        ({"devices": "2"}, "flag --devices=2: there is 1; write at most 1, or set JAX_NUM_CPU_DEVICES=2"),
        ({"processes": "2"}, "flag --processes=2: --coordinator is not given; several processes need all of"),
        ({"process": "0"}, "flag --process=0: --coordinator is not given"),
        ({"coordinator": "localhost:1", "process": "2", "processes": "2"}, "flag --process=2: there are --processes=2"),
        ({"coordinator_bind": "0.0.0.0"}, "flag --coordinator_bind=0.0.0.0: there is one process; leave it out"),
        (
            {"coordinator": "192.0.2.1:29511", "process": "0", "processes": "2"},
            "flag --coordinator=192.0.2.1:29511: process 0 listens to its own machine alone; to hear others",
        ),
    ],
)
def test_what_does_not_fit_is_one_line(flags, message):
    with pytest.raises(BadInput) as error:
        assemble(settings_of({"smoke": "true", **flags}))
    assert str(error.value).startswith(message) and "\n" not in str(error.value)


def test_what_is_saved_goes_on_any_number_of_devices():
    """Placed on four devices, gathered, placed on two: the same arrays and keys, the carried states divided."""
    env = {**os.environ, "JAX_NUM_CPU_DEVICES": "4", "PYTHONPATH": str(processes.ROOT)}
    told = subprocess.run([sys.executable, "-c", PLACED], env=env, capture_output=True, text=True, timeout=240)
    assert told.returncode == 0 and told.stdout.split() == ["4", "2", "1"], told.stderr


PLACED = """
import jax, numpy as np
from experiments.train.machines import Machines
from rnnx.training import TrainState
states = np.arange(16.0).reshape(2, 8)
keys, none = jax.random.split(jax.random.key(1)), np.zeros(2, np.int32)
first = TrainState({"w": np.ones((2, 3))}, (), none, keys, None, states, none)
for count in (4, 2, 1):
    devices = jax.devices()[:count]
    mesh = jax.make_mesh((count,), ("data",), axis_types=(jax.sharding.AxisType.Auto,), devices=devices)
    placed = Machines(mesh).place(first)
    assert placed.states.sharding.shard_shape((2, 8)) == (2, 8 // count)
    assert placed.params["w"].sharding.shard_shape((2, 3)) == (2, 3)
    back = Machines(mesh).gather(placed)
    assert isinstance(back.states, np.ndarray)
    for a, b in zip(jax.tree.leaves(first._replace(key=None)), jax.tree.leaves(back._replace(key=None)), strict=True):
        np.testing.assert_array_equal(a, b)
    np.testing.assert_array_equal(jax.random.key_data(first.key), jax.random.key_data(back.key))
    first = back
    print(count)
"""


@pytest.mark.parametrize("address", ["29511", "127.0.0.1", ":29511", "a:0", "a:99999"])
def test_an_address_is_a_host_and_a_port(address):
    with pytest.raises(IllegalFlagValueError, match="write e.g. 127.0.0.1:29511"):
        settings_of({"coordinator": address, "process": "0", "processes": "2"})


def test_one_process_on_two_devices(tmp_path):
    """`all` of them; a batch that they cannot share is refused before anything is written."""
    status, _, err = end(start(2, *SMALL, "--devices=all", "--batch_size=3", f"--out={tmp_path / 'run'}"))
    assert (status, err) == (2, "error: flag --batch_size=3: not a multiple of 2 devices; write e.g. 2\n")
    assert not (tmp_path / "run").exists()
