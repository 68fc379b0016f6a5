"""Train the same run in fresh processes, on one core and on all, with strings hashed otherwise: the same bytes.

    python tests/reliability/same_bytes.py [--processes=5] [--units=128]

And what seeds make together against each alone: equal but for rounding, to 1e-6 in float32 and 1e-10 in float64 over
the first updates. The last line is a summary, status 0 if all was as it should be.
"""

import argparse
import json
import os
import pathlib
import subprocess
import sys
import tempfile

ROOT = pathlib.Path(__file__).resolve().parents[2]
CELLS = ("elman", "lstm", "gru")
BOUNDS = {"0": 1e-6, "1": 1e-10}  # by JAX_ENABLE_X64, of a look after at most three updates


def train(out: pathlib.Path, flags: tuple[str, ...], core: int | None = None, **env: str) -> tuple[str, bytes]:
    """(digest of the state, metrics.jsonl) of a run in a process of its own, held to a core."""
    hold = f"import os; os.sched_setaffinity(0, [{core}])\n" if core is not None else ""
    code = f"{hold}import runpy; runpy.run_module('experiments.train', run_name='__main__', alter_sys=True)"
    command = [sys.executable, "-c", code, *flags, f"--out={out}"]
    env = {**os.environ, "JAX_PLATFORMS": "cpu", **env}
    done = subprocess.run(command, capture_output=True, text=True, cwd=ROOT, env=env)
    if done.returncode:
        sys.exit(f"{flags}: {done.stderr}")
    return json.loads((out / "run.json").read_text())["state_sha256"], (out / "metrics.jsonl").read_bytes()


def losses(metrics: bytes, seed: int) -> list[float]:
    """Of the looks, which are told to the last digit."""
    rows = map(json.loads, metrics.splitlines())
    return [row["loss"] for row in rows if row["kind"] == "look" and row["seed"] == seed]


def together(cell: str, size: tuple[str, ...], processes: int, folder: pathlib.Path) -> list[str]:
    """What was not the same in fresh processes; every other one is held to a core."""
    cores, made = sorted(os.sched_getaffinity(0)), []
    run = (*size, "--batch_size=32", "--steps=20", "--eval_every=10", "--flow_every=10")
    for i in range(processes):
        core = cores[i // 2 % len(cores)] if i % 2 else None
        made.append(train(folder / f"process{i}", (*run, "--seeds=0,3"), core, PYTHONHASHSEED="random" if i else "0"))
    wrong = [f"{cell}: process {i} made other bytes" for i, one in enumerate(made) if one != made[0]]
    if train(folder / "control", (*run, "--seeds=0,4"))[0] == made[0][0]:
        wrong.append(f"{cell}: the control, another seed, made the same")
    return wrong


def alone(size: tuple[str, ...], wide: str, folder: pathlib.Path) -> float:
    """How far seeds are from what they make together, relatively."""
    few, far = (*size, "--batch_size=8", "--steps=3", "--eval_every=1", "--flow_every=0"), 0.0
    _, both = train(folder / f"both{wide}", (*few, "--seeds=0,3"), JAX_ENABLE_X64=wide)
    for seed in (0, 3):
        _, one = train(folder / f"seed{seed}{wide}", (*few, f"--seeds={seed},"), JAX_ENABLE_X64=wide)
        pairs = zip(losses(both, seed), losses(one, seed), strict=True)
        far = max(far, *(abs(a / b - 1) for a, b in pairs))
    return far


def main() -> int:
    words = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    words.add_argument("--processes", type=int, default=5)
    words.add_argument("--cells", default=",".join(CELLS))
    words.add_argument("--units", type=int, default=128)
    words.add_argument("--few", action="store_true", help="not each seed alone")
    given = words.parse_args()
    wrong, furthest = [], dict.fromkeys(BOUNDS, 0.0)
    with tempfile.TemporaryDirectory() as name:
        for cell in given.cells.split(","):
            folder, size = pathlib.Path(name, cell), (f"--cell={cell}", "--length=20", f"--units={given.units}")
            folder.mkdir()
            wrong += together(cell, (*size, "--dropout=0.1"), given.processes, folder)
            for wide, bound in () if given.few else BOUNDS.items():
                far = alone((*size, "--dropout=0.1"), wide, folder)
                furthest[wide] = max(furthest[wide], far)
                if far > bound:
                    wrong.append(f"{cell}: seeds alone differ by {far:.1e} with JAX_ENABLE_X64={wide}")
    print(*wrong, sep="\n")
    told = f"{given.cells}: {given.processes} processes, every other one on one core: {len(wrong)} wrong"
    if not given.few:
        told += f"; seeds alone differ by {furthest['0']:.1e} in float32, {furthest['1']:.1e} in float64"
    print(told)
    return bool(wrong)


if __name__ == "__main__":
    sys.exit(main())
