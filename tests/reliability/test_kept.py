"""What a later start goes on from is what the run wrote, or is refused: rows of grids, and metrics of training."""

import pathlib
import shutil

import pytest
from programs import call
from runs_by_hand import edit

from experiments.exits import BadInput
from experiments.run_directory import SUMS, RunDirectory
from experiments.train.log import Log

GRIDS = {
    "gradient_norms": ("--lengths=5,7", "--cells=elman", "--units=3", "--seeds=2", "--batch_size=2"),
    "length_frontier": ("--smoke", "--cells=elman"),
}

TRAIN = ("--cell=elman", "--length=6", "--units=4", "--batch_size=2", "--steps=4", "--eval_every=2", "--flow_every=0")


def damaged(content: bytes) -> dict[str, bytes]:
    flipped = bytearray(content)
    flipped[len(content) // 2] ^= 1
    return {"flipped": bytes(flipped), "cut": content[:-1], "empty": b"", "longer": content + b"\n"}


DAMAGE = tuple(damaged(b"ab"))


@pytest.fixture
def directory(tmp_path) -> RunDirectory:
    return RunDirectory(str(tmp_path), "tests", {})


def test_what_was_kept_is_read(directory):
    assert directory.kept("rows") is None
    for content in (b"first", b"second", b"third"):
        directory.keep("rows", content)
        assert directory.kept("rows") == content


def test_a_crash_between_the_digest_and_the_file_is_no_damage(directory, monkeypatch):
    directory.keep("rows", b"old")
    write = RunDirectory.write

    def crash(self, name, content):
        if name == "rows":
            raise KeyboardInterrupt
        write(self, name, content)

    monkeypatch.setattr(RunDirectory, "write", crash)
    with pytest.raises(KeyboardInterrupt):
        directory.keep("rows", b"new")
    monkeypatch.undo()
    assert directory.kept("rows") == b"old"
    directory.keep("rows", b"newer")
    assert directory.kept("rows") == b"newer"


@pytest.mark.parametrize("kind", DAMAGE)
def test_anything_else_is_refused(kind, directory):
    directory.keep("rows", b"what was measured")
    (directory.path / "rows").write_bytes(damaged(b"what was measured")[kind])
    with pytest.raises(BadInput, match="rows is damaged.*delete it"):
        directory.kept("rows")


def test_without_digests_nothing_is_believed(directory):
    directory.keep("rows", b"what was measured")
    (directory.path / SUMS).unlink()
    with pytest.raises(BadInput, match="rows is damaged"):
        directory.kept("rows")


@pytest.fixture(scope="module")
def grids(tmp_path_factory) -> dict[str, pathlib.Path]:
    made = {}
    for name, flags in GRIDS.items():
        made[name] = tmp_path_factory.mktemp(name) / "run"
        assert call(name, *flags, f"--out={made[name]}") == 0
    return made


@pytest.mark.parametrize("status", ["interrupted", "complete"])
@pytest.mark.parametrize(
    ("program", "name"),
    [("gradient_norms", "results.jsonl"), ("gradient_norms", "flow.npz"), ("length_frontier", "results.jsonl")],
)
def test_a_grid_notices(program, name, status, grids, tmp_path, capsys):
    path = pathlib.Path(shutil.copytree(grids[program], tmp_path / "run"))
    edit(path, status=status)
    command = (program, *GRIDS[program], f"--out={path}")
    whole = (path / name).read_bytes()
    for content in damaged(whole).values():
        (path / name).write_bytes(content)
        capsys.readouterr()
        assert call(*command) == 2
        err = capsys.readouterr().err
        assert len(err.splitlines()) == 1 and f"{name} is damaged" in err and (path / name).read_bytes() == content
    (path / name).unlink()  # the way out
    assert call(*command) == 0 and (path / name).read_bytes() == whole


@pytest.fixture(scope="module")
def runs(grids, tmp_path_factory) -> dict[str, pathlib.Path]:
    """The grids, and a run of training."""
    path = tmp_path_factory.mktemp("train") / "run"
    assert call("train", *TRAIN, f"--out={path}") == 0
    return grids | {"train": path}


@pytest.mark.parametrize("program", [*GRIDS, "train"])
def test_a_record_is_what_was_written(program, runs, tmp_path, capsys):
    """One bit of run.json, anywhere: the program refuses, the report refuses, and what lies there stays."""
    path = pathlib.Path(shutil.copytree(runs[program], tmp_path / "run"))
    command = (program, *GRIDS.get(program, TRAIN), f"--out={path}")
    content = (path / "run.json").read_bytes()
    capsys.readouterr()
    for i in range(60):  # the seal and its name among them
        flipped = bytearray(content)
        flipped[i * len(content) // 60] ^= 1 << i % 8
        (path / "run.json").write_bytes(flipped)
        for asked in (command, ("report", path)):
            assert call(*asked) == 2, (asked, bytes(flipped[i * len(content) // 60 :][:20]))
            out, err = capsys.readouterr()
            assert out == "" and len(err.splitlines()) == 1
        assert (path / "run.json").read_bytes() == flipped
    (path / "run.json").write_bytes(content)
    assert call(*command) == 0 and call("report", path) == 0  # the control


@pytest.mark.parametrize("program", ["length_frontier", "train"])
def test_a_summary_is_what_was_written(program, runs, tmp_path, capsys):
    path = pathlib.Path(shutil.copytree(runs[program], tmp_path / "run"))
    command = (program, *GRIDS.get(program, TRAIN), f"--out={path}")
    for content in damaged((path / "summary.json").read_bytes()).values():
        (path / "summary.json").write_bytes(content)
        capsys.readouterr()
        assert call(*command) == 2
        err = capsys.readouterr().err
        assert len(err.splitlines()) == 1 and "summary.json is damaged" in err
    (path / "summary.json").unlink()  # the way out
    assert call(*command) == 0 and (path / "summary.json").exists()


@pytest.fixture
def log(tmp_path) -> Log:
    made = Log(tmp_path)
    made.begin()
    made.add([{"step": 0}, {"step": 1}])
    return made


def test_a_log_is_cut_to_where_it_was(log):
    position, before = log.position(), log.path.read_bytes()
    log.add([{"step": 2}])
    assert log.position() != position
    again = Log(log.path.parent)
    again.cut(position)
    assert log.path.read_bytes() == before and again.position() == position
    again.add([{"step": 2}])
    assert again.position() == log.position() and again.rows() == [{"step": step} for step in range(3)]


@pytest.mark.parametrize("kind", ["flipped", "cut", "empty", "missing"])
def test_a_damaged_log_is_refused_as_it_is(kind, log):
    position, whole = log.position(), log.path.read_bytes()
    if kind == "missing":
        log.path.unlink()
    else:
        log.path.write_bytes(damaged(whole)[kind])
    with pytest.raises(BadInput, match=r"metrics.jsonl is damaged, its first \d+ bytes"):
        Log(log.path.parent).cut(position)
    if kind != "missing":
        assert log.path.read_bytes() == damaged(whole)[kind]
