"""A short run of training, what it must end in, and how it looks when it is cut short."""

import json
import pathlib
import shutil

from runs_by_hand import edit

RUN = ("--cell=elman", "--length=6", "--units=4", "--batch_size=2", "--steps=60", "--eval_every=20", "--flow_every=0",
       "--seeds=0,3", "--checkpoint_every=10", "--keep=4")  # fmt: skip


def end(path: pathlib.Path) -> tuple[str, bytes]:
    return json.loads((path / "run.json").read_text())["state_sha256"], (path / "metrics.jsonl").read_bytes()


def cut_short(whole: pathlib.Path, path: pathlib.Path) -> pathlib.Path:
    """A copy of a whole run as it lay there before its last checkpoint."""
    shutil.copytree(whole, path)
    shutil.rmtree(path / "checkpoints" / "60")
    (path / "checkpoints" / "manifests" / "60.json").unlink()
    edit(path, status="running")
    return path
