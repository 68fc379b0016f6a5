"""Sentiment with negation: sentences read as people read them."""

import collections
import functools
import math

import jax
import numpy as np
import pytest

from rnnx.tasks import Sentiment, batch
from rnnx.tasks.sentiment import BAD, FILLERS, GOOD, NEGATIONS

MANY = 6000
VARIANTS = ("negation", "double", "decoy")
QUICK = {"xla_backend_optimization_level": "0"}  # compiles in a fifth of the time


@functools.cache
def drawn(task: Sentiment) -> tuple[list[list[str]], np.ndarray]:
    """(sentences as lists of words, classes) of many examples."""
    draw = jax.jit(lambda key: batch(task, (), key, MANY), compiler_options=QUICK)
    examples = jax.tree.map(np.asarray, draw(jax.random.key(0)))
    assert np.all(np.sum(examples.xs, axis=-1) == 1) and np.isin(examples.xs, (0, 1)).all()
    np.testing.assert_array_equal(examples.weights, np.tile(np.arange(task.length) == task.length - 1, (MANY, 1)))
    assert np.all(examples.targets == examples.targets[:, :1]) and examples.length is None
    lines = [task.text(jax.tree.map(lambda a, i=i: a[i], examples)).split(" ") for i in range(MANY)]
    return lines, examples.targets[:, -1]


def meaning(words: list[str]) -> int:
    """1 for good: the verdict, turned by each negation that comes before it."""
    verdict = next(i for i, word in enumerate(words) if word in GOOD + BAD)
    return (int(words[verdict] in GOOD) + sum(word in NEGATIONS for word in words[:verdict])) % 2


def uniform(counts, kinds: int) -> None:
    """Counts within five standard deviations of equal."""
    counts, mean = np.array(list(counts)), sum(counts) / kinds
    assert len(counts) == kinds and np.max(np.abs(counts - mean)) < 5 * math.sqrt(mean)


@pytest.mark.parametrize("variant", VARIANTS)
@pytest.mark.parametrize("distance", [0, 2])
def test_the_class_is_what_the_sentence_means(variant, distance):
    """One verdict a sentence, classes alike. The control: to count a negation after the verdict is wrong in decoy."""
    lines, classes = drawn(Sentiment(12, variant, distance))
    assert all(len(line) == 12 and sum(word in GOOD + BAD for word in line) == 1 for line in lines)
    assert classes.tolist() == [meaning(line) for line in lines]
    uniform(np.bincount(classes), 2)
    counted = [(sum(w in GOOD for w in line) + sum(w in NEGATIONS for w in line)) % 2 for line in lines]
    wrong = np.mean(counted != classes)
    assert abs(wrong - 1 / 2) < 5 / (2 * math.sqrt(MANY)) if variant == "decoy" else wrong == 0


@pytest.mark.parametrize("variant", VARIANTS)
def test_no_word_alone_tells_the_class(variant):
    """Not the verdict, and not the last word: chance is ln 2."""
    lines, classes = drawn(Sentiment(12, variant, 2))
    for good in (False, True):
        asked = classes[[any(word in GOOD for word in line) == good for line in lines]]
        assert abs(np.mean(asked) - 1 / 2) < 5 / (2 * math.sqrt(len(asked)))
    for word in FILLERS + NEGATIONS + GOOD + BAD:
        asked = classes[[line[-1] == word for line in lines]]
        assert not len(asked) or abs(np.mean(asked) - 1 / 2) < 5 / (2 * math.sqrt(len(asked)))
    assert Sentiment(12).chance == math.log(2)


@pytest.mark.parametrize(("variant", "places"), [("negation", {-3}), ("double", {-6, -3}), ("decoy", {-3, 3})])
def test_a_negation_stands_at_its_distance(variant, places):
    """Two words between; each of the places is negated in half of the sentences, independently."""
    lines, _ = drawn(Sentiment(12, variant, 2))
    seen = collections.Counter()
    for line in lines:
        verdict = next(i for i, word in enumerate(line) if word in GOOD + BAD)
        seen[tuple(i - verdict for i, word in enumerate(line) if word in NEGATIONS)] += 1
    assert {place for found in seen for place in found} == places
    uniform(seen.values(), 2 ** len(places))


@pytest.mark.parametrize("variant", VARIANTS)
def test_the_words_and_the_place_are_uniform(variant):
    """Wherever it all fits the sentence; within each kind of words, each as likely."""
    task = Sentiment(12, variant, 2)
    lines, _ = drawn(task)
    verdicts = [next(i for i, word in enumerate(line) if word in GOOD + BAD) for line in lines]
    assert task.span == {"negation": 4}.get(variant, 7)
    uniform(np.bincount(np.array(verdicts) - min(verdicts)), 12 + 1 - task.span)
    assert min(verdicts) == {"negation": 3, "double": 6, "decoy": 3}[variant]
    assert max(verdicts) == (8 if variant == "decoy" else 11)
    counts = collections.Counter(word for line in lines for word in line)
    for kind in (FILLERS, NEGATIONS, GOOD, BAD):
        uniform([counts[word] for word in kind], len(kind))
    assert set(counts) == set(task.words) and len(task.words) == task.inputs == 24


def test_the_shortest_sentence():
    """All of it matters."""
    lines, classes = drawn(Sentiment(1 + 1, "negation", 0))
    assert {line[0] in NEGATIONS for line in lines} == {True, False} and all(line[1] in GOOD + BAD for line in lines)
    assert classes.tolist() == [meaning(line) for line in lines]
