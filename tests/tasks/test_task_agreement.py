"""Subject-verb agreement: sentences parsed as people read them."""

import collections
import functools
import math
import re

import jax
import numpy as np
import pytest

from rnnx.tasks import Agreement, batch
from rnnx.tasks.agreement import ADJECTIVES, ADVERBS, PLURAL, PREPOSITIONS, SINGULAR

MANY = 6000
QUICK = {"xla_backend_optimization_level": "0"}  # compiles in a fifth of the time
PLAIN, MANIFOLD, OLD, OFTEN, ON = map("|".join, (SINGULAR, PLURAL, ADJECTIVES, ADVERBS, PREPOSITIONS))
NOUN = f"the( ({OLD}))* ({PLAIN}|{MANIFOLD})"


@functools.cache
def drawn(task: Agreement) -> tuple[list[str], np.ndarray]:
    """(sentences, answers) of many examples."""
    draw = jax.jit(lambda key: batch(task, (), key, MANY), compiler_options=QUICK)
    examples = jax.tree.map(np.asarray, draw(jax.random.key(0)))
    assert np.all(np.sum(examples.xs, axis=-1) == 1) and np.isin(examples.xs, (0, 1)).all()
    np.testing.assert_array_equal(examples.weights, np.tile(np.arange(task.length) == task.length - 1, (MANY, 1)))
    assert np.all(examples.targets == examples.targets[:, :1]) and examples.length is None
    lines = [task.text(jax.tree.map(lambda a, i=i: a[i], examples)) for i in range(MANY)]
    return lines, examples.targets[:, -1]


def numbers(line: str) -> list[int]:
    """0 or 1, singular or plural, of each noun."""
    return [int(word in PLURAL) for word in line.split() if word in SINGULAR + PLURAL]


def uniform(counts, kinds: int) -> None:
    """Counts within five standard deviations of equal."""
    counts, mean = np.array(list(counts)), sum(counts) / kinds
    assert len(counts) == kinds and np.max(np.abs(counts - mean)) < 5 * math.sqrt(mean)


@pytest.mark.parametrize("variant", ["random", "opposite"])
@pytest.mark.parametrize(("length", "attractors"), [(3, 0), (12, 0), (6, 1), (14, 1), (12, 3), (20, 3)])
def test_every_sentence_is_grammatical(variant, length, attractors):
    """The noun, its attractors each in a phrase, adverbs; as many words as asked for."""
    lines, answers = drawn(Agreement(length, variant, attractors))
    grammar = re.compile(f"{NOUN}( ({ON}) {NOUN}){{{attractors}}}( ({OFTEN}))+")
    assert all(grammar.fullmatch(line) and len(line.split()) == length for line in lines)
    assert answers.tolist() == [numbers(line)[0] for line in lines]


def test_random_numbers_are_independent():
    """Each noun singular or plural as likely. The control: the last noun gives the answer in half of the sentences."""
    lines, answers = drawn(Agreement(12, attractors=3))
    uniform(collections.Counter(tuple(numbers(line)) for line in lines).values(), 2**4)
    last = np.array([numbers(line)[-1] for line in lines])
    assert abs(np.mean(last == answers) - 1 / 2) < 5 / (2 * math.sqrt(MANY))


def test_opposite_attractors_all_mislead():
    """None has the subject's number."""
    lines, answers = drawn(Agreement(12, "opposite", 3))
    assert all(numbers(line)[1:] == [1 - answer] * 3 for line, answer in zip(lines, answers, strict=True))
    uniform(np.bincount(answers), 2)


@pytest.mark.parametrize("variant", ["random", "opposite"])
def test_the_last_word_says_nothing(variant):
    """It is an adverb, and so chance is ln 2; the word before it may be the last noun, which tells in opposite."""
    task = Agreement(8, variant)
    lines, answers = drawn(task)
    for adverb in ADVERBS:
        asked = answers[[line.endswith(adverb) for line in lines]]
        assert len(asked) > 100 and abs(np.mean(asked) - 1 / 2) < 5 / (2 * math.sqrt(len(asked)))
    assert task.chance == math.log(2)
    before = [line.split()[-2] for line in lines]
    told = answers[[word in SINGULAR for word in before]]
    assert np.all(told == 1) if variant == "opposite" else abs(np.mean(told) - 1 / 2) < 5 / (2 * math.sqrt(len(told)))


def test_words_are_uniform_and_spare_ones_fall_anywhere():
    """Of two spare words, each before one of two nouns or at the end: nine ways, six to be seen."""
    lines, _ = drawn(Agreement(8))
    counts = collections.Counter(word for line in lines for word in line.split())
    for kind in (SINGULAR + PLURAL, PREPOSITIONS, ADJECTIVES, ADVERBS):
        uniform([counts[word] for word in kind], len(kind))
    assert set(counts) == set(Agreement(8).words) and len(Agreement(8).words) == Agreement(8).inputs == 34
    shapes = collections.Counter()
    for line in lines:
        first, second = (i for i, word in enumerate(line.split()) if word in SINGULAR + PLURAL)
        shapes[first - 1, second - first - 3] += 1
    for shape, ways in {(0, 0): 1, (1, 1): 2, (2, 0): 1, (0, 2): 1, (1, 0): 2, (0, 1): 2}.items():
        assert abs(shapes.pop(shape) - MANY * ways / 9) < 5 * math.sqrt(MANY * ways / 9)
    assert not shapes
