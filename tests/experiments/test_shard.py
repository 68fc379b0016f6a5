"""A grid in shards: what is dealt out, and that the shards together are the whole."""

import itertools
import json
import random
import re

import processes
import pytest
from programs import call, refused, tree

from experiments import sharding
from experiments.exits import BadInput
from experiments.report.merge import merge
from experiments.report.read import read
from experiments.sharding import Shard, deal
from experiments.tables import to_json

NORMS = ("--smoke", "--cells=elman,gru(init=identity)", "--lengths=6,4", "--train_steps=0")
FRONTIER = ("--smoke", "--cells=elman,gru", "--lengths=8,6")


def run_norms(*given: str) -> int:
    return call("gradient_norms", *given)


def run_frontier(*given: str) -> int:
    return call("length_frontier", *given)


# --------------------------------------------------------------------------------------------- dealing out


def faults(work: list[float], hands: list[list[int]]) -> list[str]:
    """What is wrong with a grid dealt out to these hands."""
    found = []
    if sorted(itertools.chain(*hands)) != list(range(len(work))):
        found.append("not every unit once")
    if any(hand != sorted(hand) for hand in hands):
        found.append("not in the order of the grid")
    loads = [sum(work[i] for i in hand) for hand in hands]
    if max(loads) - min(loads) > max(work):
        found.append("not even")
    if not all(hands):
        found.append("an empty hand")
    return found


def test_every_unit_is_dealt_once_and_evenly():
    rng = random.Random(0)
    for _ in range(200):
        work = [rng.choice([1.0, 2.0, rng.random() * 50 + 0.1]) for _ in range(rng.randint(1, 40))]
        for count in {1, 2, len(work), rng.randint(1, len(work))} - set(range(len(work) + 1, 41)):
            hands = [deal(work, Shard(i, count)) for i in range(1, count + 1)]
            assert faults(work, hands) == []
    assert deal([3.0, 1.0], None) == [0, 1]


@pytest.mark.parametrize(
    ("hands", "fault"),
    [
        ([[0, 1], [1, 2, 3]], "not every unit once"),
        ([[0, 1], [3]], "not every unit once"),
        ([[1, 0], [2, 3]], "not in the order of the grid"),
        ([[0, 1, 2], [3]], "not even"),
        ([[0, 1, 2, 3], []], "an empty hand"),
    ],
)
def test_the_rule_sees_every_fault(hands, fault):
    """The control: hands that are dealt wrongly."""
    assert fault in faults([9.0, 9.0, 9.0, 1.0], hands)
    assert faults([9.0, 9.0, 9.0, 1.0], [[0, 2], [1, 3]]) == []


def test_more_shards_than_units_are_refused():
    with pytest.raises(BadInput, match="--shard=3/3: the grid has 2 units; write 2 shards at most"):
        deal([1.0, 1.0], Shard(3, 3))


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("1", "not i/n"),
        ("0/3", "0 is outside 1 to 3"),
        ("4/3", "4 is outside 1 to 3"),
        ("1/0", "0 is outside"),
        ("-1/3", "not i/n"),
        ("1/3/5", "not i/n"),
        ("a/b", "not i/n"),
        ("", "not i/n"),
        ("1/1000000", "outside"),
        ("1.0/2", "not i/n"),
        ("٣/٤", "not i/n"),
        ("1" * 5000 + "/2", "not i/n"),
    ],
)
def test_what_is_no_shard_is_refused(text, words):
    with pytest.raises(ValueError, match=re.escape(words)) as told:
        sharding.parse(text)
    assert "write e.g. 2/8" in str(told.value)
    assert str(sharding.parse("2/8")) == "2/8", "the control"


# ------------------------------------------------------------------------------- the shards are the whole


@pytest.fixture(scope="module")
def grids(tmp_path_factory):
    """{program: (whole run, its two shards)}"""
    root, found = tmp_path_factory.mktemp("grids"), {}
    for name, run, flags in (("norms", run_norms, NORMS), ("frontier", run_frontier, FRONTIER)):
        paths = [root / f"{name}{i}" for i in (0, 1, 2)]
        assert run(*flags, f"--out={paths[0]}") == 0
        for i in (1, 2):
            assert run(*flags, f"--shard={i}/2", f"--out={paths[i]}") == 0
        found[name] = paths
    return found


@pytest.mark.parametrize("name", ["norms", "frontier"])
def test_shards_together_are_the_whole_byte_for_byte(name, grids):
    whole, *parts = grids[name]
    wanted = (whole / "results.jsonl").read_bytes()

    def joined(paths):
        (grid,) = merge([read(str(path)) for path in paths])
        return "".join(map(to_json, grid.rows)).encode(), grid

    rows, grid = joined(parts)
    assert rows == wanted and grid.missing == ()
    assert joined(parts[::-1])[0] == wanted, "in any order"
    assert joined([whole, *parts])[0] == wanted, "units that agree may stand twice"
    rows, grid = joined(parts[:1])
    assert rows != wanted and len(grid.missing) == 2, "the control: half of it is not the whole"
    if name == "norms":
        of_parts, of_whole = joined(parts)[1].arrays, joined([whole])[1].arrays
        assert {k: v.tobytes() for k, v in of_parts.items()} == {k: v.tobytes() for k, v in of_whole.items()}


@pytest.mark.parametrize("name", ["norms", "frontier"])
def test_a_shard_is_a_run_of_its_own(name, grids):
    """The same files; its units alone; its flags say which shard it is, those of the whole do not speak of shards."""
    whole, *parts = grids[name]
    names = [{p.name for p in path.iterdir()} - {"source.diff", ".lock"} for path in (whole, *parts)]
    assert names[0] == names[1] == names[2]
    flags = [json.loads((path / "run.json").read_text())["flags"] for path in (whole, *parts)]
    assert [one.pop("shard", None) for one in flags] == [None, "1/2", "2/2"] and flags[0] == flags[1] == flags[2]
    assert "--shard=2/2\n" in (parts[1] / "config.flags").read_text()
    units = [{(row["cell"], row["length"]) for row in processes.rows(path / "results.jsonl")} for path in parts]
    assert len(units[0]) == len(units[1]) == 2 and not units[0] & units[1]


def test_a_lost_shard_is_made_again(grids, capsys):
    """The same command, to the same bytes; nothing of another shard."""
    path, run, flags = grids["norms"][2], run_norms, NORMS
    before = {k: v for k, v in tree(path) if k != "run.json"}
    (path / "results.jsonl").unlink()
    assert run(*flags, "--shard=2/2", f"--out={path}") == 0
    assert {k: v for k, v in tree(path) if k != "run.json"} == before
    assert "shard 2/2 of the grid" in capsys.readouterr().out
    assert run(*flags, "--shard=1/2", f"--out={path}") == 2
    assert "--shard=2/2 (now 1/2)" in capsys.readouterr().err


@pytest.mark.parametrize(("run", "flags"), [(run_norms, NORMS), (run_frontier, FRONTIER)])
def test_dry_runs_and_refusals(run, flags, tmp_path, capsys):
    assert run(*flags, "--shard=1/4", "--dry_run", f"--out={tmp_path / 'run'}") == 0
    out, _ = capsys.readouterr()
    assert "shard = 1/4" in out and "1 units" in out
    for given, words in (("5/5", ("--shard=5/5", "4 units")), ("2/1", ("--shard=2/1", "outside 1 to 1"))):
        status = run(*flags, f"--shard={given}", f"--out={tmp_path / 'run'}")
        refused(status, *capsys.readouterr(), words)
    assert tree(tmp_path) == []
