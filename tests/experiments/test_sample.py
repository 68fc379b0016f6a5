"""Text by a trained network is what a plain loop over its scores writes, and drawn as those say."""

import json
import os
import pathlib
import re
import shutil
import subprocess
import sys

import jax
import jax.numpy as jnp
import numpy as np
import processes
import pytest
from programs import call, refused, train, tree
from runs_by_hand import edit

from experiments.train.load import load

ROOT = pathlib.Path(__file__).resolve().parents[2]
TEXT = "".join(f"{a} ét {b}: {c}\n" for a in "xyz" for b in ("one", "two") for c in range(10)) * 8


def train_on_text(folder: pathlib.Path, variant: str) -> pathlib.Path:
    (folder / "text.txt").write_bytes(TEXT.encode())
    # Large steps, so that six of them make networks that like some symbols better.
    return train(folder / "run", task="text", variant=variant, length="8", data=str(folder / "text.txt"),
                 learning_rate="0.3")  # fmt: skip


@pytest.fixture(scope="module")
def characters(tmp_path_factory):
    return train_on_text(tmp_path_factory.mktemp("characters"), "characters")


@pytest.fixture(scope="module")
def of_bytes(tmp_path_factory):
    return train_on_text(tmp_path_factory.mktemp("bytes"), "bytes")


@pytest.fixture(scope="module")
def adding(tmp_path_factory):
    return train(tmp_path_factory.mktemp("adding") / "run", task="adding", length="4")


def sample(*given: str) -> int:
    return call("sample", *given)


def written(capsys, run: pathlib.Path, *given: str) -> str:
    assert sample(f"--run={run}", *given) == 0
    out, err = capsys.readouterr()
    assert err == ""
    return out


def passages(capsys, run: pathlib.Path, tmp_path: pathlib.Path, *given: str) -> dict[int, str]:
    """{seed: text}, exact, of the file that a call writes."""
    written(capsys, run, *given, f"--out={tmp_path / 'out.json'}")
    found = json.loads((tmp_path / "out.json").read_text())
    assert found["program"] == "sample" and found["run"] == str(run)
    return {row["seed"]: row["text"] for row in found["passages"]}


def network(run: pathlib.Path, place: int = 0):
    """(alphabet, scores(symbols [T]) of each next symbol [T, V]) of one network of a run."""
    loaded = load(str(run))
    params = jax.tree.map(lambda leaf: leaf[place], loaded.params)
    return loaded.work.task.alphabet, jax.jit(lambda symbols: loaded.work.model.network.apply(params, symbols)[1])


def test_a_passage(characters, capsys, tmp_path):
    out = written(capsys, characters, "--symbols=200")
    assert set(out) <= set(TEXT)
    assert out == written(capsys, characters, "--symbols=200", "--seeds=0,"), "the same seed is the same text"
    assert out != written(capsys, characters, "--symbols=200", "--seeds=1,")
    many = passages(capsys, characters, tmp_path, "--symbols=200", "--seeds=7,0,3")
    assert list(many) == [7, 0, 3] and {len(passage) for passage in many.values()} == {200}
    assert out in (many[0], many[0] + "\n"), "a passage does not depend on the others"
    assert len(set(many.values())) == 3
    both = written(capsys, characters, "--symbols=20", "--seeds=7,0")
    assert both == "\n".join(text if text[19] == "\n" else text + "\n" for text in (many[7][:20], many[0][:20]))


def test_the_networks_of_a_run(characters, capsys):
    first, second = (written(capsys, characters, f"--seed_of_run={seed}") for seed in (3, 5))
    assert first == written(capsys, characters) != second
    assert written(capsys, characters, "--which=last")


def greedy(run: pathlib.Path, prompt: str, steps: int, place: int = 0) -> str:
    """One symbol after the other, the whole text read anew for each."""
    alphabet, scores = network(run, place)
    symbols = [alphabet.index(symbol) for symbol in prompt]
    padded = np.zeros(len(prompt) + steps, np.int32)
    for _ in range(steps):
        padded[: len(symbols)] = symbols
        symbols.append(int(np.argmax(scores(padded)[len(symbols) - 1])))
    return "".join(alphabet[i] for i in symbols)


@pytest.mark.parametrize("place, seed", [(0, 3), (1, 5)])
def test_temperature_0_is_the_likeliest_symbol(characters, capsys, place, seed):
    flags = ("--prompt=x ét ", "--symbols=40", f"--seed_of_run={seed}")
    out = written(capsys, characters, *flags, "--temperature=0")
    assert out.removesuffix("\n") == greedy(characters, "x ét ", 40, place).removesuffix("\n")
    assert out == written(capsys, characters, *flags, "--temperature=0", "--seeds=9,")
    assert out == written(capsys, characters, *flags, "--top_k=1")
    assert out != written(capsys, characters, *flags, "--temperature=3"), "the control: it matters"


def test_top_k_draws_from_the_largest(characters, capsys, tmp_path):
    alphabet, scores = network(characters)

    def ranks(*given: str) -> np.ndarray:
        """Of each symbol written, among the scores of its step."""
        text = passages(capsys, characters, tmp_path, "--prompt=y", "--symbols=100", "--temperature=9", *given)[0]
        symbols = jnp.array([alphabet.index(symbol) for symbol in text])
        found = scores(symbols[:-1])
        return np.sum(found > jnp.take_along_axis(found, symbols[1:, None], 1), axis=1)

    few, all_of_them = ranks("--top_k=3"), ranks()
    assert set(few.tolist()) == {0, 1, 2}
    assert all_of_them.max() > 3, "the control: without it others come"


@pytest.mark.parametrize("temperature", [1.0, 0.5])
def test_symbols_are_as_frequent_as_their_scores_say(characters, capsys, tmp_path, temperature):
    alphabet, scores = network(characters)
    told = scores(jnp.array([alphabet.index("z")]))[-1]
    found = passages(capsys, characters, tmp_path, "--prompt=z", "--symbols=1", "--seeds=4000",
                     f"--temperature={temperature}")  # fmt: skip
    count = np.bincount([alphabet.index(text[1]) for text in found.values()], minlength=len(alphabet))

    def worst(temperature: float) -> float:
        """The largest deviation, in its standard deviations."""
        p = np.asarray(jax.nn.softmax(told / temperature))
        return float(np.max(np.abs(count - 4000 * p) / np.sqrt(4000 * p * (1 - p) + 1)))

    assert worst(temperature) < 5
    assert worst(1.5 - temperature) > 10, "the control: not of another temperature"


def test_prompts(characters, capsys):
    out = written(capsys, characters, "--prompt=x ét ", "--symbols=9")
    assert out.startswith("x ét ") and len(out.removesuffix("\n")) in (13, 14)
    newline = written(capsys, characters, "--prompt=\n", "--symbols=30")
    assert newline == "\n" + written(capsys, characters, "--symbols=30"), "a newline is where it begins"
    spaces = written(capsys, characters, "--prompt=  ", "--symbols=5")
    assert spaces.startswith("  "), "spaces are symbols"


def test_bytes(of_bytes, capsys, tmp_path):
    out = passages(capsys, of_bytes, tmp_path, "--prompt=é", "--symbols=300", "--temperature=3")[0]
    assert out.startswith("é") and set(out) <= {*TEXT, "\ufffd"}
    assert "\ufffd" in out, "halves of a character stand alone somewhere"
    refused(sample(f"--run={of_bytes}", "--prompt=ü"), *capsys.readouterr(), ("--prompt", "byte 188", "xyz"))


def test_one_hot_symbols_are_symbols(characters):
    """What training reads, and what sampling reads."""
    alphabet, scores = network(characters)
    symbols = jnp.arange(len(alphabet))
    np.testing.assert_array_equal(scores(symbols), scores(jax.nn.one_hot(symbols, len(alphabet))))


def test_a_dry_run(characters, tmp_path, capsys, monkeypatch):
    monkeypatch.chdir(tmp_path)
    out = written(capsys, characters, "--dry_run", "--out=out.json", "--prompt=x\n", "--seeds=4")
    assert "prompt = 'x\\n'" in out and "seeds = 0,1,2,3" in out and "4 passages of 500 symbols" in out
    assert not list(tmp_path.iterdir())


# --------------------------------------------------------------------------------------------- bad input

BAD = [
    ("", "--run", "not given", "directory"),
    ("--run=MISSING", "--run=MISSING", "no such directory", "experiments.train"),
    ("--run=EMPTY", "--run=EMPTY", "holds no run.json", "experiments.train"),
    ("--run=RUNNING", "--run=RUNNING", "not finished", "--which=last"),
    ("--run=ADDING", "--run=ADDING", "--task=adding", "--task=text", "experiments.evaluate --run=ADDING"),
    ("--run=RUN --which=first", "--which", "'first'", "best, last"),
    ("--run=RUN --seed_of_run=4", "--seed_of_run=4", "3, 5"),
    ("--run=RUN --seed_of_run=first", "--seed_of_run", "'first'", "write"),
    ("--run=RUN --prompt=", "--prompt", "nothing given", "symbol"),
    ("--run=RUN --prompt=xQ", "--prompt", "'Q'", "'\\n 0123456789:enotwxyzé'"),
    ("--run=RUN --symbols=0", "--symbols", "0 is outside", "write"),
    ("--run=RUN --symbols=many", "--symbols", "'many'", "write"),
    ("--run=RUN --temperature=-1", "--temperature", "'-1'", "0 or more"),
    ("--run=RUN --temperature=nan", "--temperature", "'nan'", "0 or more"),
    ("--run=RUN --top_k=999", "--top_k=999", "22 symbols", "at most 22"),
    ("--run=RUN --top_k=-1", "--top_k", "-1 is outside", "write"),
    ("--run=RUN --seeds=0", "--seeds", "0 is outside", "0,1,7"),
    ("--run=RUN --seeds=1,1", "--seeds", "1 stands twice", "once"),
    ("--run=RUN --data=OTHER", "OTHER", "SHA-256", "--data"),
    ("--run=RUN --data=MISSING", "MISSING", "No such file", "path"),
    ("--run=RUN --data=BINARY", "BINARY", "not UTF-8", "iconv"),
    ("--run=RUN --out=OTHER", "--out=OTHER", "something else", "another file"),
    ("--run=RUN --out=EMPTY", "--out=EMPTY", "is a directory", "name of a file"),
    ("--run=RUN --temprature=1", "--temprature", "unknown", "--temperature"),
    ("--run=RUN once", "'once'", "unexpected"),
]  # fmt: skip


@pytest.fixture(scope="module")
def here(characters, adding, tmp_path_factory):
    """A directory of what the table names."""
    path = tmp_path_factory.mktemp("here")
    shutil.copytree(characters, path / "RUN")
    shutil.copytree(adding, path / "ADDING")
    (path / "EMPTY").mkdir()
    (path / "RUNNING").mkdir()
    shutil.copy(characters / "run.json", path / "RUNNING")
    edit(path / "RUNNING", status="running")
    (path / "OTHER").write_text(TEXT + "and so on")
    (path / "BINARY").write_bytes(b"a\xff\xfe")
    return path


@pytest.mark.parametrize("row", BAD, ids=[row[0] for row in BAD])
def test_one_line_and_nothing_written(row, here, capsys, monkeypatch):
    monkeypatch.chdir(here)
    given, *words = row
    before = tree(here)
    refused(sample(*given.split()), *capsys.readouterr(), tuple(words))
    assert tree(here) == before, "something was written"


def test_good_input_is_not_refused(here, capsys, monkeypatch):
    """The control: the same directory, and flags that make sense."""
    monkeypatch.chdir(here)
    assert written(capsys, pathlib.Path("RUN"), "--symbols=3", "--top_k=21", "--prompt=x")


# --------------------------------------------------------------------------------------------- processes


def start(*words: str, **more: str) -> subprocess.CompletedProcess:
    env = {**os.environ, "JAX_ENABLE_X64": "1", **more}
    return subprocess.run([sys.executable, *words], capture_output=True, cwd=ROOT, env=env)


def test_help_is_quick_and_imports_no_jax():
    told = processes.help_is_quick("sample")
    assert told.startswith("Let a trained language model write text")
    for flag in ("run", "which", "seed_of_run", "prompt", "symbols", "temperature", "top_k", "seeds", "data", "out",
                 "dry_run"):  # fmt: skip
        assert re.search(rf"--(\[no\])?{flag}\b", told), flag


def test_as_a_process(characters, capsys):
    """The same text, and where a terminal cannot show a symbol a question mark."""
    words = ("-m", "experiments.sample", f"--run={characters}", "--prompt=x ét", "--temperature=0", "--symbols=9")
    done = start(*words, PYTHONIOENCODING="ascii")
    assert done.returncode == 0 and done.stderr == b""
    told = written(capsys, characters, *words[3:])
    assert done.stdout == told.replace("é", "?").encode()
