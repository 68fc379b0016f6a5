"""Next-character prediction on the text every Python has, and on files."""

import math
from collections import Counter

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import rnnx.tasks
from rnnx.tasks import Text, solved

QUICK = {"xla_backend_optimization_level": "0"}  # compiles in a fifth of the time
batch = jax.jit(rnnx.tasks.batch, static_argnums=(0, 3), compiler_options=QUICK)

WORDS = "Der Übergang: 100 € für «Ærø» und 中文, naïve 🙂.\n" * 20


@pytest.fixture
def file(tmp_path):
    path = tmp_path / "words.txt"
    path.write_bytes(WORDS.encode())
    return str(path)


def alphabet(variant: str) -> list:
    return sorted(set(WORDS.encode() if variant == "bytes" else WORDS))


def test_the_default_text_loads():
    """Without a file or a network: a text of natural size, split in 90, 5 and 5 %."""
    task = Text(50)
    train, valid, test = map(task.load, task.splits)
    size = len(train) + len(valid) + len(test)
    assert size > 300_000 and abs(len(train) / size - 0.9) < 1e-5 and abs(len(test) - len(valid)) <= 1
    assert train.dtype == np.int32 and 60 < task.inputs < 200 and task.outputs == task.inputs
    assert 0 <= train.min() and max(train.max(), valid.max(), test.max()) < task.inputs
    from pydoc_data.topics import topics

    raw = "\n".join(topics[name] for name in sorted(topics))
    assert len(raw) == size and len(set(raw)) == task.inputs


@pytest.mark.parametrize("variant", ["characters", "bytes"])
def test_an_example_is_a_slice_and_its_target_the_next_symbol(file, variant):
    """Decoded, the inputs are the text itself, with characters of one to four bytes."""
    task = Text(12, variant, file)
    symbols = alphabet(variant)
    whole = WORDS.encode() if variant == "bytes" else WORDS
    assert task.inputs == len(symbols)
    kind = bytes if variant == "bytes" else "".join
    borders = [0, len(whole) * 90 // 100, len(whole) * 95 // 100, len(whole)]
    for i, split in enumerate(("train", "valid", "test")):
        data = task.load(split)
        part = whole[borders[i] : borders[i + 1]]
        assert kind([symbols[i] for i in data]) == part
        examples = batch(task, data, jax.random.key(0), 20)
        assert np.all(np.sum(examples.xs, axis=2) == 1) and examples.length is None
        np.testing.assert_allclose(examples.weights, 1 / 12, rtol=1e-6)
        for xs, targets in zip(np.asarray(examples.xs), np.asarray(examples.targets), strict=True):
            seen = kind([symbols[i] for i in np.argmax(xs, axis=1)])
            asked = kind([symbols[i] for i in targets])
            assert seen + asked[-1:] in part and seen[1:] == asked[:-1]


def test_characters_and_bytes_differ(file):
    """The control: a multi-byte text has fewer characters than bytes, of more kinds than one."""
    characters, raw = Text(12, "characters", file), Text(12, "bytes", file)
    assert sum(map(len, map(characters.load, characters.splits))) == len(WORDS)
    assert sum(map(len, map(raw.load, raw.splits))) == len(WORDS.encode()) > len(WORDS)


def test_every_start_can_be_drawn(tmp_path):
    """The first window and the last one too."""
    path = tmp_path / "letters.txt"
    path.write_text("abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789" * 2)
    task = Text(3, file=str(path))
    data = task.load("test")
    assert len(data) == 7
    first = np.argmax(batch(task, data, jax.random.key(0), 300).xs[:, 0], axis=-1)
    assert set(first.tolist()) == set(data[:4].tolist())


@pytest.mark.parametrize("variant", ["characters", "bytes"])
def test_chance_and_criterion_are_entropies(file, variant):
    """Of a symbol, and of a symbol given the one before; by counting in plain Python."""
    task = Text(12, variant, file)
    whole = WORDS.encode() if variant == "bytes" else WORDS
    singles, pairs = Counter(whole), Counter(zip(whole, whole[1:], strict=False))
    before = Counter(whole[:-1])
    entropy = -sum(n / len(whole) * math.log(n / len(whole)) for n in singles.values())
    conditional = -sum(n / (len(whole) - 1) * math.log(n / before[a]) for (a, _), n in pairs.items())
    assert abs(task.chance - entropy) < 1e-9
    assert abs(task.criterion.bound - conditional) < 1e-9 < entropy - conditional
    assert not solved(task, conditional + 1e-6, 1.0) and solved(task, conditional - 1e-6, 0.0)


def test_the_best_memoryless_predictor_reaches_chance():
    """Scores that are the symbols' own frequencies, on windows drawn from the default text."""
    task = Text(100)
    data = np.concatenate([task.load(split) for split in task.splits])
    frequencies = jnp.log(np.bincount(data, minlength=task.inputs) / len(data))
    examples = batch(task, data, jax.random.key(0), 1000)
    losses = jax.vmap(jax.vmap(task.loss, (None, 0)), (None, 0))(frequencies, examples.targets)
    means = np.mean(losses, axis=1)
    assert abs(means.mean() - task.chance) < 3 * means.std() / math.sqrt(1000)


def test_a_file_that_is_not_utf8_is_told_at_its_byte(tmp_path):
    """With the program that converts it."""
    path = tmp_path / "latin.txt"
    path.write_bytes(b"abc" + "é".encode("latin-1") + b" " * 99)
    with pytest.raises(ValueError) as error:
        Text(2, file=str(path))
    assert str(error.value) == f"file {path} is not UTF-8 at byte 3; convert it first, e.g. with iconv -t UTF-8"


@pytest.mark.parametrize(("size", "message"), [(0, "is empty;"), (1, "give a longer text"), (60, "at most 2,")])
def test_a_text_too_short_is_told_with_the_longest_length(tmp_path, size, message):
    """An empty file too."""
    path = tmp_path / "short.txt"
    path.write_text("ab" * (size // 2) + "c" * (size % 2))
    with pytest.raises(ValueError) as error:
        Text(20, file=str(path))
    told = str(error.value)
    assert told.startswith("text: " if size == 60 else "file ") and message in told and "\n" not in told
    if size == 60:
        assert Text(2, file=str(path)).length == 2


def test_a_missing_file_is_named():
    """The system's own words name it."""
    with pytest.raises(FileNotFoundError, match="no-such-file.txt"):
        Text(2, file="no-such-file.txt")
