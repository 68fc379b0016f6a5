"""Lengths that are measured by one program, padded to the longest, say what each says with a program of its own."""

import numpy as np
import pytest

from experiments.gradient_norms import plan
from experiments.gradient_norms.measure import Unit, _look, measure
from rnnx.cells import LSTM, Elman, Readout
from rnnx.tasks import Adding


def units(*lengths: int, cell=LSTM, units: int = 5, batch_size: int = 3) -> list[Unit]:
    network = Readout(cell(2, units), 1)
    return [Unit(network, Adding(n), (0, 3), batch_size, False, 0, "sgd", 0.1, None) for n in lengths]


def seen(unit: Unit) -> tuple[list[dict], dict[str, np.ndarray]]:
    return measure(unit, (), lambda n: None, lambda: None)


@pytest.mark.parametrize("cell", [Elman, LSTM])
def test_what_is_measured_does_not_depend_on_it(cell):
    short, long = plan.sharing(units(6, 11, cell=cell))
    assert short.padded == long.padded == long.task
    for unit in (short, long):
        (rows, arrays), (alone, arrays_alone) = seen(unit), seen(unit._replace(padded=None))
        assert arrays.keys() == arrays_alone.keys() and all(a.shape == (2, unit.task.length) for a in arrays.values())
        for name, values in arrays.items():
            np.testing.assert_allclose(values, arrays_alone[name], rtol=0, atol=1e-12)
        for row, other in zip(rows, alone, strict=True):
            for name, value in row.items():
                assert value == (pytest.approx(other[name], rel=1e-6) if isinstance(value, float) else other[name])
    # The control: cut off at the wrong place, the numbers are others.
    assert seen(short)[0][0]["log10_norm_first"] != seen(long)[0][0]["log10_norm_first"]


def test_one_program_a_cell():
    before = _look._cache_size()
    for unit in plan.sharing(units(7, 8, 9, units=4)):
        seen(unit)
    assert _look._cache_size() == before + 1
    for unit in units(7, 8, units=4):  # the control
        seen(unit)
    assert _look._cache_size() == before + 3


@pytest.mark.parametrize(
    "lengths, hundreds, together",
    [
        ((50, 100, 200), 1, [200, 200, 200]),
        ((50, 5000), 1, [None, None]),
        ((4900, 50, 5000), 1, [5000, None, 5000]),
        ((50, 100, 200), 20, [None, None, None]),
        ((70,), 1, [None]),
    ],
)
def test_padding_is_cheaper_than_a_program(lengths, hundreds, together):
    """128 units, two seeds; an expensive unit is not padded."""
    shared = plan.sharing(units(*lengths, units=128, batch_size=100 * hundreds))
    assert [unit.task.length for unit in shared] == list(lengths)
    assert [unit.padded and unit.padded.length for unit in shared] == together
