"""A cell counts when its source, oracle, initial values, options, claim and row in the docs all stand."""

import ast
import dataclasses
import functools
import importlib.util
import inspect
import pathlib
import re

import options
import pytest
from cells import ORACLES

from rnnx.cells import CELLS, WRAPPERS

TESTS = pathlib.Path(__file__).parents[1]
PARAGRAPHS = ("Initial values: ", "Elsewhere: ", "Source: ", "Cost: ")


@functools.cache
def claims():
    """The names of all tests of claims."""
    trees = [ast.parse(path.read_text()) for path in (TESTS / "claims").glob("test_*.py")]
    return [node.name for tree in trees for node in tree.body if isinstance(node, ast.FunctionDef)]


def longest_name(test):
    """The cell that a test is named after: `test_lstm_peephole_...` is not one of `lstm`."""
    fitting = [name for name in CELLS if test.startswith(f"test_{name}_")]
    return max(fitting, key=len, default=None)


def test_there_are_forty():
    assert len(CELLS) >= 40


@pytest.mark.parametrize("name", CELLS)
def test_a_cell_counts(name):
    build = CELLS[name]
    told = [re.sub(r"\s+", " ", part) for part in inspect.getdoc(build).split("\n\n")]
    for word in PARAGRAPHS:
        assert any(part.startswith(word) for part in told), f"no paragraph {word!r}"
    source = next(part for part in told if part.startswith("Source: "))
    assert re.search(r"\b(19|20)\d\d\b.*\(", source), "the source has a year, and where it stands"
    assert name in ORACLES, "no oracle"
    missing = {field.name for field in dataclasses.fields(build)[2:]} - set(options.of(build, name))
    assert not missing, f"options without another value to try: {missing}"
    assert name in {longest_name(test) for test in claims()}, f"no test named test_{name}_* in tests/claims"


def test_the_page_of_cells_is_what_the_code_says():
    path = TESTS.parent / "docs" / "make_cells.py"
    spec = importlib.util.spec_from_file_location("make_cells", path)
    maker = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(maker)
    assert maker.PAGE.read_text() == maker.page(), "run: python docs/make_cells.py"
    for name in (*CELLS, *WRAPPERS):
        assert f"| `{name}` |" in maker.PAGE.read_text()
