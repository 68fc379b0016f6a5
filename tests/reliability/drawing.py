"""Properties of whatever hypothesis draws: a few cases by default, two hundred by `pytest -m full`."""

import pytest
from hypothesis import given, seed, settings

SEED = 20261127  # of all the cases; another finds others


def holds(**drawn):
    """A property of drawn things, as a test of 25 cases and one of 200, which print the seed that made them."""

    def made(check):
        @pytest.mark.parametrize("cases", [25, pytest.param(200, marks=pytest.mark.full)])
        def test(cases):
            few = settings(max_examples=cases, deadline=None, database=None, print_blob=True)
            print(f"hypothesis: {cases} cases of seed {SEED}")
            few(seed(SEED)(given(**drawn)(check)))()

        test.__name__, test.__doc__ = check.__name__, check.__doc__
        return test

    return made


def fails(check, **drawn) -> bool:
    """Whether a property is seen not to hold: the control of another."""
    try:
        settings(max_examples=200, deadline=None, database=None)(seed(SEED)(given(**drawn)(check)))()
    except AssertionError:
        return True
    return False
