"""Every law over every cell and every method: a new line in CELLS or METHODS is held to all of them."""

import contextlib
import dataclasses
import importlib
import inspect
import pkgutil

import jax
import options
import pytest

import rnnx.cells
from rnnx.cells import (
    CELLS,
    GRU,
    LSTM,
    WRAPPERS,
    DropConnect,
    Dropout,
    Elman,
    Highway,
    InputNorm,
    LayerNorm,
    Precision,
    Readout,
    Residual,
    Stack,
    Zoneout,
    spell,
)
from rnnx.scans import METHODS
from rnnx.testing import LAWS, Subject

# Beyond the defaults of each cell: the wrappers, the affine cell, and the one that starts as the identity.
WORN = [
    Elman(3, 4, "identity"),
    Elman(3, 4, "relu", "identity"),
    Readout(LSTM(3, 4), 2),
    Stack((LSTM(3, 4), Readout(GRU(4, 3), 2))),
    Residual(LSTM(4, 4)),
    Highway(GRU(4, 4)),
    LayerNorm(LSTM(3, 4)),
    InputNorm(Elman(3, 4, "identity")),
    Zoneout(LSTM(3, 4), (0.3, 0.2)),
    Zoneout(Elman(3, 4, "identity"), (0.3,)),
    Dropout(GRU(3, 4), 0.2, 0.3),
    DropConnect(LSTM(3, 4)),
    Precision(LSTM(3, 4), "float64", "float64", "float64"),  # which says its dtypes: no run in float32
]
# The run of every day compiles without optimisation, the full product as users compile.
QUICK = (("xla_backend_optimization_level", 0),)
DEFAULTS = [build(3, 4) for build in CELLS.values()] + WORN


# By every day, what is not the reference runs the laws on these.
ROOMS = [Elman(3, 4), LSTM(3, 4), CELLS["lru"](3, 4), Stack((LSTM(3, 4), Readout(GRU(4, 3), 2)))]


def variants(name):
    """The cell at its smallest, at an odd width, and with each option moved from its default."""
    build = CELLS[name]
    yield from (build(1, 1), build(2, 33), Readout(build(1, 1), 1), Readout(build(3, 4), 2))
    for option, values in options.of(build, name).items():
        yield from (build(3, 4, **{option: value}) for value in values)


def cases():
    """(cell, method, whether in float64), the defaults for every run and the rest for the full one."""
    more = [cell for name in CELLS for cell in variants(name) if cell not in DEFAULTS]
    runs = [(cell, True, []) for cell in DEFAULTS]
    runs += [(cell, True, [pytest.mark.full]) for cell in more]
    runs += [(cell, False, [pytest.mark.full]) for cell in DEFAULTS if not isinstance(cell, Precision)]
    for name, method in METHODS.items():
        for cell, x64, marks in runs:
            if not method().refuses(cell):
                if name != "sequential" and cell not in ROOMS:  # of other methods, see test_methods.py
                    marks = [pytest.mark.full]
                label = f"{spell(cell)}-{cell.inputs}-{name}-{'float64' if x64 else 'float32'}"
                yield pytest.param((cell, method(), x64), id=label, marks=marks)


@pytest.fixture(scope="module", params=cases())
def subject(request):
    """One Subject for all laws, so that what it compiles serves them all."""
    cell, method, x64 = request.param
    return Subject(cell, method, compiler=QUICK if cell in DEFAULTS and x64 else ()), x64


@pytest.mark.parametrize("law", LAWS.values(), ids=LAWS)
def test_law(subject, law):
    subject, x64 = subject
    with contextlib.nullcontext() if x64 else jax.enable_x64(False):
        assert subject.dtype == ("float64" if x64 else "float32")
        law(subject)


def test_every_class_that_is_a_cell_is_in_the_catalogue():
    known = {*CELLS.values(), *WRAPPERS.values()}
    for found in pkgutil.walk_packages(rnnx.cells.__path__, "rnnx.cells."):
        for name, thing in vars(importlib.import_module(found.name)).items():
            ours = inspect.isclass(thing) and thing.__module__.startswith("rnnx.cells")
            if ours and hasattr(thing, "step") and hasattr(thing, "init"):
                assert thing in known, f"{found.name}.{name} is not in CELLS or WRAPPERS: add its line"


def test_every_name_of_the_catalogue_is_tried():
    tried = {type(cell) for cell in DEFAULTS}
    assert tried == {*CELLS.values(), *WRAPPERS.values()}
    for name, build in CELLS.items():
        fields = {field.name for field in dataclasses.fields(build)} - {"inputs", "units"}
        assert fields == set(options.of(build, name)), f"give each option of {name} its other values"


def test_a_method_refuses_with_a_reason():
    for method in METHODS.values():
        for cell in DEFAULTS:
            reason = method().refuses(cell)
            assert reason is None or (isinstance(reason, str) and reason)
