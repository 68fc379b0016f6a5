"""Kill a run at random times until it ends, and compare its bytes with one that was left alone.

    python tests/reliability/kills.py --kills=200 [--signal=KILL|TERM|INT|USR2]

Half of the kills fall inside a save: the script waits for a temporary directory of Orbax, and strikes. With a signal
that a program hears, each must end with status 75. The last line is a summary, status 0 if all was as it should be.
"""

import argparse
import json
import os
import pathlib
import random
import shutil
import signal
import subprocess
import sys
import tempfile
import time

ROOT = pathlib.Path(__file__).resolve().parents[2]
sys.path.insert(0, str(ROOT))
RUN = ("--cell=gru", "--length=12", "--units=5", "--batch_size=3", "--steps=3000", "--eval_every=100", "--seeds=0,3",
       "--flow_every=50", "--checkpoint_every=25", "--dropout=0.1")  # fmt: skip


def start(out: pathlib.Path) -> subprocess.Popen:
    from experiments import quick

    command = [sys.executable, "-m", "experiments.train", *RUN, f"--out={out}"]
    env = {**os.environ, "JAX_PLATFORMS": "cpu", "XLA_FLAGS": quick.flags()}
    return subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True, cwd=ROOT, env=env)


def result(out: pathlib.Path) -> tuple[str, bytes]:
    """What must be the same: the digest of the state, and metrics.jsonl."""
    return json.loads((out / "run.json").read_text())["state_sha256"], (out / "metrics.jsonl").read_bytes()


def strike(process: subprocess.Popen, out: pathlib.Path, number: int, inside: bool, rng: random.Random) -> bool:
    """Send the signal once the run is on its way; whether it was still there."""
    saved = newest(out)
    while process.poll() is None and newest(out) <= saved:  # until it has got further than before
        time.sleep(0.01)
    if inside:
        while process.poll() is None and not list((out / "checkpoints").glob("*tmp*")):
            time.sleep(0.0005)
    else:
        time.sleep(rng.random() * 2)
    if process.poll() is not None:
        return False
    process.send_signal(number)
    return True


def newest(out: pathlib.Path) -> int:
    folder = out / "checkpoints"
    return max((int(p.name) for p in folder.iterdir() if p.name.isdigit()), default=-1) if folder.is_dir() else -1


def main() -> int:
    words = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    words.add_argument("--kills", type=int, default=20)
    words.add_argument("--signal", default="KILL", help="one, or several with commas to take in turn")
    words.add_argument("--seed", type=int, default=0)
    given = words.parse_args()
    numbers = [signal.Signals[f"SIG{name}"] for name in given.signal.split(",")]
    rng, kills, inside, runs, wrong, slowest = random.Random(given.seed), 0, 0, 0, [], 0.0
    folder = pathlib.Path(tempfile.mkdtemp(prefix="kills-"))
    assert start(folder / "alone").wait() == 0
    wanted = result(folder / "alone")
    while kills < given.kills:
        out = folder / f"run{runs}"
        while True:
            process = start(out)
            number = numbers[kills % len(numbers)]
            struck = kills < given.kills and strike(process, out, number, kills % 2 == 0, rng)
            began = time.monotonic()
            _, err = process.communicate(timeout=300)
            if not struck:
                if process.returncode:
                    wrong.append(f"status {process.returncode} of a run that was left alone: {err[-300:]}")
                break
            kills, inside = kills + 1, inside + (kills % 2 == 0)
            status = -number if number == signal.SIGKILL else 75
            slowest = max(slowest, time.monotonic() - began)
            if process.returncode not in (status, 0) or "Traceback" in err:
                wrong.append(f"status {process.returncode} after {number.name}: {err[-300:]}")
        runs += 1
        if result(out) != wanted:
            wrong.append(f"{out} ended in other bytes")
        else:
            shutil.rmtree(out)
    print(*wrong, sep="\n")
    told = f"{kills} kills ({given.signal}), {inside} inside a save, in {runs} runs: {len(wrong)} wrong; "
    print(told + f"the slowest end took {slowest:.1f} s")
    if not wrong:
        shutil.rmtree(folder)
    return bool(wrong)


if __name__ == "__main__":
    sys.exit(main())
