"""Presets against what the libraries were seen to draw (make_preset_facts.py): moments and singular values."""

import functools
import itertools
import math

import jax
import numpy as np
import pytest
from make_preset_facts import DRAWS, MOMENTS, SEEDS, SPECTRUM, D, N, facts, summary

from rnnx.cells import CELLS
from rnnx.cells.presets import PRESETS, imitate

FACTS = facts()
PAIRS = [(library, name) for library in PRESETS for name in PRESETS[library]]
pairs = pytest.mark.parametrize("library, name", PAIRS, ids=map(" ".join, PAIRS))


@functools.cache
def seen(cell):
    """The same numbers of as many draws of ours."""
    draws = jax.jit(jax.vmap(cell.init))(jax.random.split(jax.random.key(5), SEEDS))
    return summary([jax.tree.map(lambda a, i=i: a[i], draws) for i in range(SEEDS)])


def differences(told, ours):
    """{(array, gate, statistic): how many standard errors the two means are apart}, rounding of 1e-5 forgiven."""
    assert {key: a.shape for key, (a, _) in told.items()} == {key: a.shape for key, (a, _) in ours.items()}
    found = {}
    for key, (mean, spread) in told.items():
        error = np.sqrt((spread**2 + ours[key][1] ** 2) / SEEDS) + 2e-6
        for place, number in np.ndenumerate(np.abs(mean - ours[key][0]) / error):
            found[key, place[0], (MOMENTS + SPECTRUM)[place[1]]] = number
    return found


@pairs
def test_preset(library, name):
    """Some seven hundred comparisons in all; five standard errors of a difference of means of 24 each."""
    found = differences(FACTS[library, name], seen(imitate(library, name, D, N)))
    far = {what: number for what, number in found.items() if number > 5}
    assert not far


def alternatives():
    """Each cell of a library, and of every other library whose preset of it is another."""
    for (library, name), (other, same) in itertools.permutations(PAIRS, 2):
        if name == same and imitate(library, name, D, N) != imitate(other, name, D, N):
            yield library, other, name


@pytest.mark.parametrize("library, other, name", list(alternatives()))
def test_the_preset_of_another_library_is_noticed(library, other, name):
    found = differences(FACTS[library, name], seen(imitate(other, name, D, N)))
    assert max(found.values()) > 20


def test_what_the_names_hide():
    """Three things are called orthogonal, and a Haiku LSTM is further from it than it says."""

    def spectrum(library, name):
        mean, _ = FACTS[library, name]["w_h"]
        return dict(zip(SPECTRUM, mean[:, len(MOMENTS) :].mean(0), strict=True))

    for library in ("linen", "nnx"):
        one = spectrum(library, "lstm")
        assert one["norm"] == pytest.approx(1, abs=1e-5) and one["least"] == pytest.approx(1, abs=1e-5)
    for library, name, gates in (
        ("keras", "lstm", 4),
        ("nnx_optimized", "lstm", 4),
        ("keras", "gru", 3),
        ("nnx", "gru", 3),
    ):
        one = spectrum(library, name)
        assert one["norm"] == pytest.approx(2 * math.sqrt(gates - 1) / gates, rel=0.03)
        assert one["radius"] == pytest.approx(gates**-0.5, rel=0.06) and one["least"] < 0.01
    assert 0.57 < spectrum("torch", "lstm")["radius"] < 0.64  # 1 / sqrt(3)
    # Cut at two deviations and not widened again, and with a fan of D + N.
    deviation = FACTS["haiku", "lstm"]["w_h"][0][:, MOMENTS.index("deviation")]
    np.testing.assert_allclose(deviation, 0.8796 / math.sqrt(D + N), rtol=0.005)


def test_every_draw_has_a_preset():
    assert set(DRAWS) == set(FACTS) == set(PAIRS)
    assert set(itertools.chain(*PRESETS.values())) <= set(CELLS)


@pairs
def test_presets_are_legal_at_every_width(library, name):
    for inputs, units in ((1, 1), (300, 2)):
        cell = imitate(library, name, inputs, units)
        assert type(cell) is CELLS[name] and (cell.inputs, cell.units) == (inputs, units)


REFUSED = {
    ("kears", "lstm"): "imitate: library got 'kears'; did you mean 'keras'? write one of torch, keras, linen",
    ("flax", "lstm"): "imitate: library got 'flax'; write one of torch, keras, linen, nnx",
    ("torch", "lstn"): "imitate: cell of torch got 'lstn'; did you mean 'lstm'? write one of elman, lstm",
    ("torch", "gru_before"): "imitate: cell of torch got 'gru_before'; write one of elman",
}


@pytest.mark.parametrize("asked", REFUSED, ids=map(" ".join, REFUSED))
def test_refused(asked):
    with pytest.raises(ValueError) as error:
        imitate(*asked, 3, 4)
    assert str(error.value).startswith(REFUSED[asked]) and "\n" not in str(error.value)
