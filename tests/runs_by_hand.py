"""Runs for reports, made by hand."""

import json

import numpy as np

from experiments.run_directory import digest
from experiments.seal import sealed
from experiments.tables import to_json

EVIL = """x<script src='http://e.vil'>alert("1")</script>&amp;|`](u)$\\frac"""
TABLES = {"report.html", "report.md", "report.csv", "report.json"}
NORM = {"schema": 1, "task": "adding", "variant": "urnn", "steps": 4, "chance_loss": 0.2, "loss": 0.3,
        "log10_norm_first": -1.5, "log10_norm_last": 0.25, "slope_log10_per_step": -0.5, "half_life_steps": 0.6,
        "share_below_float32": 0.0, "log10_parameter_norm": 0.1}  # fmt: skip
FADE = {"slope_log10_per_step": -0.1, "log10_norm_first": -1.0, "best_loss": 0.1, "steps": 9, "learning_rate": 0.1}
RECORD = {"schema": 1, "status": "complete", "git": {"commit": "c0ffee", "dirty": True}, "argv": ["--a=b c"],
          "packages": {"jax": "0.10.1"}, "python": "3.11.9", "started": "2026-01-02T03:04:05+00:00"}  # fmt: skip


def norms(path, cells=("elman",), lengths=(4,), seeds=(0, 1), keep=None, record=(), **flags: str):
    """A run of gradient_norms with numbers that say where they belong."""
    told = {"task": "adding", "variant": "urnn", "cells": ",".join(cells), "lengths": ",".join(map(str, lengths)),
            "units": "8", "seeds": ",".join(map(str, seeds)) + ",", **flags}  # fmt: skip
    names = {"task": told["task"], "variant": told["variant"]}
    rows = [
        NORM | {"cell": c, "length": t, "seed": s, "trained_steps": 0, "loss": t + s / 8, **names}
        for c in cells for t in lengths for s in seeds
    ]  # fmt: skip
    rows = rows if keep is None else [row for row in rows if keep(row)]
    arrays = {}
    for row in rows:
        curve = -np.arange(row["length"], dtype=np.float32)[None] - row["seed"]
        arrays.setdefault(f"{row['cell']}/{row['length']}/0/state_mean", []).append(curve)
    return made(path, "gradient_norms", told, rows, {k: np.concatenate(v) for k, v in arrays.items()}, record)


def lengths(path, cells=("elman",), lengths=(4, 8), seeds=(0, 1), record=(), **flags: str):
    rows = [
        FADE | {"cell": c, "length": t, "seed": s, "solved_step": 5 if t == 4 else None}
        for c in cells for t in lengths for s in seeds
    ]  # fmt: skip
    told = {"task": "adding", "variant": "urnn", "cells": ",".join(cells), "lengths": ",".join(map(str, lengths)),
            "units": "8", "steps": "9", "seeds": ",".join(map(str, seeds)) + ",", **flags}  # fmt: skip
    return made(path, "length_frontier", told, rows, None, record)


def training(path, seeds=(0, 1), updates=4, record=(), **flags: str):
    rows = []
    for step in range(updates + 1):
        for seed in seeds:
            scores = {"loss": 1 / (step + seed + 1), "step_loss": 0.5, "accuracy": 0.25}
            rows.append({"kind": "look", "step": step, "seed": seed, "split": "valid", **scores})
            rows.append({"kind": "flow", "step": step, "seed": seed, "layer": "body", "slope_log10_per_step": -0.1,
                         "lags": [0, 2, 4], "log10_norms": [0.0, -1.0 - step, None]})  # fmt: skip
            if step < updates:
                rows.append({"kind": "step", "step": step, "seed": seed, "loss": 0.7, "log10_gradient_norm": 0.1})
    told = {"task": "adding", "variant": "urnn", "length": "5", "cell": "lstm", "clip_norm": "1.0",
            "seeds": ",".join(map(str, seeds)) + ",", **flags}  # fmt: skip
    made(path, "train", told, rows, None, record)
    if dict(record).get("status", "complete") == "complete":
        test = {"loss": 0.125, "step_loss": 0.5, "accuracy": 0.75}
        told = [{"seed": seed, "steps": updates, "test": test, "first_solved_step": None} for seed in seeds]
        (path / "summary.json").write_text(to_json({"chance_loss": 0.2, "parameters": 9, "rows": told}))
    return path


def made(path, program, flags, rows, arrays, record):
    path.mkdir(parents=True)
    name = "metrics.jsonl" if program == "train" else "results.jsonl"
    (path / name).write_text("".join(map(to_json, rows)))
    names = [name]
    if arrays:
        np.savez(path / "flow.npz", **arrays)
        names.append("flow.npz")
    digests = {name: digest((path / name).read_bytes()) for name in names}
    told = {**RECORD, "program": program, "flags": flags, "files_sha256": digests, **dict(record)}
    if told["status"] != "complete":
        del told["files_sha256"]
    (path / "run.json").write_text(json.dumps(sealed(told)))
    return path


def edit(path, **changes):
    """Other values in a record, sealed anew; None takes one away."""
    told = {n: v for n, v in json.loads((path / "run.json").read_text()).items() if n not in changes}
    told |= {name: value for name, value in changes.items() if value is not None}
    (path / "run.json").write_text(json.dumps(sealed(told)))
