"""The training program as its users run it: files, records, seeds, refusals; and every task through it."""

import csv
import json
import re
import signal
import time
from functools import partial

import jax
import numpy as np
import processes
import pytest
import small_files
from processes import strict

from experiments import names
from experiments.exits import BadInput, NonFinite
from experiments.train import build, program
from experiments.train.held_out import HeldOut
from experiments.train.options import Settings, settings_of
from experiments.train.train import start as begin
from rnnx.training import checkpoint

start, run = partial(processes.start, "train"), partial(processes.run, "train")
FILES = {"metrics.jsonl", "summary.json", "run.json", "config.flags", "checkpoints", "learning.png"}
SMALL = ("--cell=gru", "--length=12", "--units=5", "--batch_size=3", "--steps=12", "--eval_every=4", "--flow_every=4",
         "--seeds=0,3")  # fmt: skip


WILD = {"cell": "elman(nonlinearity=relu)", "optimizer": "sgd", "learning_rate": 1e30, "clip_norm": 0, "steps": 12,
        "length": 12}  # fmt: skip


@pytest.fixture(scope="module")
def trained(tmp_path_factory):
    """One run, looked at by several tests: (directory, standard output)."""
    path = tmp_path_factory.mktemp("trained") / "run"
    out, _ = run(*SMALL, f"--out={path}")
    return path, out


@pytest.fixture(scope="module")
def files(tmp_path_factory) -> dict[str, str]:
    return small_files.of_all(tmp_path_factory.mktemp("files"))


def test_help_is_quick_and_imports_no_jax():
    told = processes.help_is_quick("train")
    assert told.lstrip().startswith("Train a recurrent network on a task")
    for flag in ("task", "variant", "data", "cell", "units", "layers", "bidirectional", "length", "steps", "batch_size",
                 "optimizer", "learning_rate", "clip_norm", "dropout", "seeds", "out", "smoke", "dry_run"):  # fmt: skip
        assert re.search(rf"--(\[no\])?{flag}\b", told), flag


def test_files_and_rows(trained):
    """Every update, look and flow of every seed is in metrics.jsonl, and the summary is about the best look."""
    path, out = trained
    assert {p.name for p in path.iterdir()} - {"source.diff", ".lock", ".sums.json"} == FILES
    rows = processes.rows(path / "metrics.jsonl")
    by = {kind: [(r["step"], r["seed"]) for r in rows if r["kind"] == kind] for kind in ("step", "look", "flow")}
    assert by["step"] == [(step, seed) for step in range(12) for seed in (0, 3)]
    assert by["look"] == by["flow"] == [(step, seed) for step in (0, 4, 8, 12) for seed in (0, 3)]
    step = next(r for r in rows if r["kind"] == "step")
    blocks = step["log10_block_norms"]
    assert len(blocks) == 6 and {"body.layers.0.params.w_h", "head.kernel"} < set(blocks)
    whole = np.log10(np.sqrt(sum(10 ** (2 * norm) for norm in blocks.values())))
    assert step["log10_gradient_norm"] == pytest.approx(whole, abs=1e-4)
    summary = strict((path / "summary.json").read_text())
    looks = {(r["step"], r["seed"]): r["loss"] for r in rows if r["kind"] == "look"}
    for row in summary["rows"]:
        mine = {step: loss for (step, seed), loss in looks.items() if seed == row["seed"]}
        assert row["best_step"] == min(mine, key=mine.get) and row["steps"] == 12
    assert "adding (urnn, length 12), gru" in out and str(path) in out
    record = strict((path / "run.json").read_text())
    assert record["status"] == "complete" and record["flags"]["seeds"] == "0,3" and record["state_sha256"]


def test_the_same_command_again_shows_the_same_and_trains_nothing(trained):
    path, out = trained
    before = (path / "metrics.jsonl").stat().st_mtime_ns
    again, _ = run(*SMALL, f"--out={path}")
    assert again == out and (path / "metrics.jsonl").stat().st_mtime_ns == before
    _, err = run(*SMALL, "--units=6", f"--out={path}", status=2)
    assert "--units=5 (now 6)" in err and len(err.splitlines()) == 1


def test_config_flags_make_the_same_bytes(trained, tmp_path):
    path, _ = trained
    run(f"--flagfile={path / 'config.flags'}", f"--out={tmp_path / 'again'}")
    for name in ("metrics.jsonl", "config.flags"):
        assert (tmp_path / "again" / name).read_bytes() == (path / name).read_bytes()
    digests = [strict((p / "run.json").read_text())["state_sha256"] for p in (path, tmp_path / "again")]
    assert digests[0] == digests[1]


def test_a_seed_does_not_depend_on_the_others(trained, tmp_path):
    """Seed 3 alone makes the losses that it made beside seed 0; the control: seed 0 makes others."""
    path, _ = trained
    run(*SMALL[:-1], "--seeds=3,", f"--out={tmp_path / 'one'}")

    def losses(folder, seed):
        return [
            r["loss"] for r in processes.rows(folder / "metrics.jsonl") if r["kind"] == "step" and r["seed"] == seed
        ]

    np.testing.assert_allclose(losses(path, 3), losses(tmp_path / "one", 3), rtol=2e-6)
    assert not np.allclose(losses(path, 0), losses(path, 3), rtol=0.01)


def test_a_loss_that_is_not_finite_stops_with_its_place(tmp_path):
    wild = ("--cell=elman(nonlinearity=relu)", "--optimizer=sgd", "--learning_rate=1e6", "--clip_norm=0")
    _, err = run(*SMALL, *wild, f"--out={tmp_path / 'wild'}", status=3)
    place = r"not finite: cell elman\(nonlinearity=relu\), length 12, seed \d, step \d+, leaf [\w.]+; the state"
    assert re.search(place, err) and len(err.splitlines()) == 1
    assert strict((tmp_path / "wild" / "run.json").read_text())["status"] == "non-finite"


def test_the_state_before_is_kept(tmp_path):
    """Of the update that could not be made: finite, and at the step that the message names."""
    with pytest.raises(NonFinite) as error:
        program.run(settings(**WILD, out=tmp_path / "run"), ["train"])
    step = int(re.search(r"step (\d+)", str(error.value))[1])
    like = jax.eval_shape(lambda: begin(build.prepare(settings(**WILD)), (0,)))
    kept, progress, told = checkpoint.restore(tmp_path / "run" / "crash", like)
    assert kept == step == told["step"] == progress.state.step[0] and told["seed"] == 0
    assert all(np.isfinite(leaf).all() for leaf in jax.tree.leaves(progress.state.params))


def test_an_interruption_ends_with_75(tmp_path):
    process = start(*SMALL, "--steps=1000000", f"--out={tmp_path / 'cut'}")
    metrics = tmp_path / "cut" / "metrics.jsonl"
    while not (metrics.exists() and '"step", "step": 4,' in metrics.read_text()):
        time.sleep(0.1)
        assert process.poll() is None, process.communicate()
    process.send_signal(signal.SIGTERM)
    _, err = process.communicate(timeout=60)
    assert process.returncode == 75 and "interrupted" in err
    assert strict((tmp_path / "cut" / "run.json").read_text())["status"] == "interrupted"


def test_dry_run_writes_nothing(tmp_path):
    out, _ = run(*SMALL, "--dry_run", f"--out={tmp_path / 'none'}")
    assert "2 runs of 12 steps" in out and "units = 5" in out and not (tmp_path / "none").exists()


# ----------------------------------------------------------------------------------------- inside this process


def settings(**flags) -> Settings:
    small = {"units": 4, "batch_size": 2, "steps": 2, "eval_every": 2, "flow_every": 2}
    return settings_of({name: str(value) for name, value in {**small, **flags}.items()})


@pytest.mark.parametrize("task", names.TASKS)
def test_every_task_trains(task, files, tmp_path):
    """Whatever a task asks, a network answers it and its loss is that of about chance at first."""
    source = {"data": files[task]} if task in files else {}
    lengths = {"images": 8, "series": 8, "digits": 8}
    length = {"length": lengths[task]} if task in lengths else {}
    assert program.run(settings(task=task, out=tmp_path / "run", **source, **length), ["train"]) == 0
    summary = json.loads((tmp_path / "run" / "summary.json").read_text())
    assert 0.2 < summary["mean"]["loss"] / summary["chance_loss"] < 50 and 0 <= summary["mean"]["accuracy"] <= 1
    kinds = {row["kind"] for row in processes.rows(tmp_path / "run" / "metrics.jsonl")}
    assert kinds == {"step", "look", "flow"}


def test_deep_two_way_networks_train_and_tell_the_flow_of_every_layer(tmp_path):
    flags = {"task": "copy", "length": 3, "layers": 2, "bidirectional": "true", "residual": "true", "norm": "true",
             "dropout": 0.2, "out": tmp_path / "run"}  # fmt: skip
    assert program.run(settings(**flags), ["train"]) == 0
    layers = {row["layer"] for row in processes.rows(tmp_path / "run" / "metrics.jsonl") if row["kind"] == "flow"}
    assert layers == {f"body.layers.{i}.{way}" for i in (0, 1) for way in ("forward", "backward")}


def test_a_curriculum_goes_through_its_lengths(tmp_path):
    """Equal shares of the updates; the network is the same throughout."""
    work = build.prepare(settings(length=12, curriculum="6,8", steps=7))
    assert [(stage.task.length, stage.end) for stage in work.stages] == [(6, 2), (8, 4), (12, 7)]
    assert program.run(settings(length=12, curriculum="6,8", steps=7, out=tmp_path / "run"), ["train"]) == 0
    steps = [row["step"] for row in processes.rows(tmp_path / "run" / "metrics.jsonl") if row["kind"] == "step"]
    assert steps == list(range(7))


def test_looks_and_flows_come_when_asked(tmp_path):
    flags = {"length": 8, "steps": 9, "eval_every": 3, "flow_every": 2, "out": tmp_path / "run"}
    assert program.run(settings(**flags), ["train"]) == 0
    rows = processes.rows(tmp_path / "run" / "metrics.jsonl")
    steps = {kind: sorted({row["step"] for row in rows if row["kind"] == kind}) for kind in ("look", "flow")}
    assert steps == {"look": [0, 3, 6, 9], "flow": [0, 2, 4, 6, 8]}


def test_patience_ends_a_run_early(tmp_path):
    """At a learning rate that changes nothing, no look is better than the first."""
    flags = {"learning_rate": 1e-30, "steps": 40, "eval_every": 2, "patience": 3, "out": tmp_path / "run"}
    assert program.run(settings(**flags), ["train"]) == 0
    row = json.loads((tmp_path / "run" / "summary.json").read_text())["rows"][0]
    assert row["steps"] == 6 and row["best_step"] == 0


def test_a_checkpoint_holds_what_the_summary_tells(tmp_path):
    chosen = settings(task="adding", length=8, steps=6, out=tmp_path / "run")
    assert program.run(chosen, ["train"]) == 0
    work = build.prepare(chosen)
    like = jax.eval_shape(lambda: begin(work, chosen.seeds))
    step, progress, told = checkpoint.restore(tmp_path / "run" / "checkpoints", like)
    summary = json.loads((tmp_path / "run" / "summary.json").read_text())["rows"][0]
    assert told["best"]["step"] == [summary["best_step"]] and step == 6
    for params, name in ((progress.best, "test_at_best"), (progress.state.params, "test")):
        scores = HeldOut(work.task, work.model, "test").look(params).means()
        assert scores["loss"][0] == pytest.approx(summary[name]["loss"], rel=1e-9)


@pytest.mark.parametrize(
    ("flags", "message"),
    [
        ({"length": 1}, "flag --length=1: adding: length is 1; variant urnn needs at least 2"),
        ({"task": "adding(marks=3)"}, "flag --task=adding(marks=3): unknown option 'marks'; it has no options"),
        ({"task": "sentiment(far=3)"}, "flag --task=sentiment(far=3): unknown option 'far'; its options are distance"),
        ({"task": "text", "bidirectional": "true"}, "flag --bidirectional: --task=text predicts what comes next"),
        ({"task": "copy", "pool": "mean"}, "flag --pool=mean: --task=copy asks at every step; leave it out"),
        ({"embedding": 8}, "flag --embedding=8: --task=adding has none; leave it out"),
        ({"cell": "lstm(bias=3)"}, "flag --cell=lstm(bias=3): "),
        ({"optimizer": "adam(b3=0.1)"}, "flag --optimizer=adam(b3=0.1): "),
        ({"method": "associative"}, "flag --method=associative: it cannot take --cell=lstm: LSTM is not affine"),
        ({"warmup": 5}, "flag --warmup=5: Rule.steps is 2 with warmup=5"),
        ({"schedule": "exponential"}, "flag --end=0.0: Rule.end is 0.0; an exponential never reaches 0"),
        ({"task": "digits", "length": 10}, "flag --length=10: digits: length is 10; an image has 64 pixels"),
        ({"task": "digits", "length": 8, "batch_size": 2000}, "flag --batch_size=2000: batches of 2000 examples from"),
        ({"buckets": 2}, "flag --buckets=2: --task=adding draws sequences of one length"),
        ({"task": "digits", "length": 8, "curriculum": "4"}, "flag --curriculum=4: at length 4 the task has 16 inputs"),
        ({"task": "images"}, "flag --data"),
        ({"task": "music", "data": "/nowhere/at.mat"}, "flag --data=/nowhere/at.mat: No such file or directory"),
        ({"data": "/tmp/x.txt"}, "flag --data=/tmp/x.txt: --task=adding reads no file; leave it out"),
        ({"variant": "urn"}, "flag --variant=urn: for --task=adding, unknown 'urn'; did you mean urnn?"),
    ],
)
def test_what_does_not_fit_is_told_before_anything_is_written(flags, message, tmp_path):
    with pytest.raises(BadInput) as error:
        program.run(settings(out=tmp_path / "run", **flags), ["train"])
    assert str(error.value).startswith(message) and "\n" not in str(error.value)
    assert not (tmp_path / "run").exists()


def test_epochs_and_steps_are_either_or():
    with pytest.raises(BadInput, match="flag --epochs=2: --steps is given too"):
        settings(epochs=2)


def test_updates_that_are_not_finite_may_be_skipped(tmp_path):
    """So many; one more stops. What is skipped leaves the parameters as they were, and is marked."""
    wild = WILD | {"on_nonfinite": "skip"}
    assert program.run(settings(**wild, max_skips=12, out=tmp_path / "run"), ["train"]) == 0
    rows = [row for row in processes.rows(tmp_path / "run" / "metrics.jsonl") if row["kind"] == "step"]
    left_out = [row["step"] for row in rows if row.get("left_out")]
    assert left_out and left_out == list(range(left_out[0], 12)), "once the parameters are wild, every update is"
    with pytest.raises(NonFinite, match=r"\(3 updates were left out before\)"):
        program.run(settings(**wild, max_skips=3, out=tmp_path / "other"), ["train"])


@pytest.mark.parametrize("form", ["md", "csv", "json"])
def test_tables_for_machines(form, trained):
    """The same numbers as the summary's, with nothing else on standard output."""
    path, _ = trained
    out, _ = run(*SMALL, f"--format={form}", f"--out={path}")
    summary = strict((path / "summary.json").read_text())["rows"]
    if form == "json":
        assert [row["loss"] for row in strict(out)] == [row["test_at_best"]["loss"] for row in summary]
    elif form == "csv":
        assert [row["seed"] for row in csv.DictReader(out.splitlines())] == ["0", "3"]
    else:
        assert "| seed | loss |" in out and f"{summary[0]['test_at_best']['loss']:.5g}" in out
