"""Runs of training as TensorBoard's scalars, through tensorboardX."""

import importlib.util
import math
import os
import pathlib
import re
from collections.abc import Sequence

from experiments.exits import BadInput
from experiments.report.merge import Grid
from experiments.report.options import shown

SCALARS = {"step": ("loss", "log10_gradient_norm"), "look": ("loss", "accuracy"), "flow": ("slope_log10_per_step",)}


def installed() -> bool:
    return importlib.util.find_spec("tensorboardX") is not None


def claim(path: str) -> pathlib.Path:
    """Where event files go; raises, without writing, where they cannot."""
    if not installed():
        raise BadInput("flag --tensorboard: tensorboardX is not installed; pip install 'rnnx[tb]'")
    folder = pathlib.Path(path).absolute()
    if os.path.lexists(folder) and (not folder.is_dir() or any(folder.iterdir())):
        raise BadInput(f"flag --tensorboard={shown(path)}: is there and not empty; write a new directory")
    for parent in folder.parents:
        if parent.exists():
            if not os.access(parent, os.W_OK | os.X_OK) or not parent.is_dir():
                raise BadInput(
                    f"flag --tensorboard={shown(path)}: {shown(str(parent))} cannot be written; write another"
                )
            break
    return folder


def write(folder: pathlib.Path, grids: Sequence[Grid]) -> None:
    """A run of TensorBoard for each grid of training and seed."""
    from tensorboardX import SummaryWriter  # pyright: ignore[reportMissingImports]

    folder.mkdir(parents=True, exist_ok=True)
    for grid in grids:
        for seed in dict.fromkeys(row["seed"] for row in grid.rows) if grid.program == "train" else ():
            name = re.sub(r"[^\w.=-]+", "_", grid.apart or grid.flags["cell"]).strip("._") or "run"
            with SummaryWriter(str(folder / f"{grid.number:02}_{name}" / f"seed_{seed}")) as writer:
                for row in grid.rows:
                    for scalar in SCALARS[row["kind"]] if row["seed"] == seed else ():
                        value = row[scalar]
                        if value is not None and math.isfinite(value):
                            where = {"step": "train", "look": row.get("split"), "flow": row.get("layer")}[row["kind"]]
                            writer.add_scalar(f"{where}/{scalar}", value, row["step"])
