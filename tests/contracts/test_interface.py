"""What a stranger types: names and order of arguments, spellings of a cell, and what its fields refuse."""

import dataclasses
import inspect
import json
import pickle
import sys
from functools import partial

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import rnnx
from rnnx.cells import CELLS, Readout, build, from_json, spell, to_json
from rnnx.cells import parts as cell_parts
from rnnx.scans import METHODS
from rnnx.types import powers

EVERY = [build(3, 4) for build in CELLS.values()]
EVERY += [Readout(cell, 2) for cell in EVERY]

METHODS_OF_A_CELL = {
    "init": ["key"],
    "prepare": ["params"],
    "initial_state": ["weights"],
    "step": ["weights", "state", "x"],
    "readout": ["weights", "state", "x"],
}
PARTS = {
    "factored": {
        "drive": ["weights", "x"],
        "recur": ["weights", "state"],
        "update": ["weights", "state", "u", "v"],
    },
    "pointwise": {"recurrent": ["weights"]},
    "affine": {"coefficients": ["weights", "x"]},
}

# ---------------------------------------------------------------------------------------------- arguments


def test_the_door():
    given = inspect.signature(rnnx.scan).parameters.values()
    assert [p.name for p in given if p.kind is p.POSITIONAL_OR_KEYWORD] == ["cell", "params", "xs", "state"]
    assert [p.name for p in given if p.kind is p.KEYWORD_ONLY] == ["resets", "length", "reverse", "keep", "method"]
    assert len(given) == 9


@pytest.mark.parametrize("cell", EVERY, ids=spell)
def test_names_and_order(cell):
    promised = METHODS_OF_A_CELL.copy()
    for power in powers(cell):
        promised |= PARTS[power]
    told = {name: list(inspect.signature(getattr(cell, name)).parameters) for name in promised}
    assert told == promised


@pytest.mark.parametrize("name", CELLS)
def test_a_cell_begins_with_its_widths(name):
    parameters = list(inspect.signature(CELLS[name]).parameters.values())
    assert [p.name for p in parameters[:2]] == ["inputs", "units"]
    assert all(p.default is not p.empty for p in parameters[2:])


@pytest.mark.parametrize("name", CELLS)
@pytest.mark.parametrize("inputs, units", [(1, 1), (1, 5), (5, 1)])
def test_every_width_is_legal(name, inputs, units):
    def one_step(key, x):
        cell = CELLS[name](inputs, units)
        weights = cell.prepare(cell.init(key))
        return cell.step(weights, cell.initial_state(weights), x)[1]

    y = jax.eval_shape(one_step, jax.random.key(0), np.zeros(inputs))
    assert y.shape == (CELLS[name](inputs, units).outputs,)


# The first cell of each file, by its name; the file's bare step is its own.
FIRST = {CELLS[name].__module__: name for name in reversed(CELLS)}


@pytest.mark.parametrize("name", FIRST.values())
def test_the_bare_step_of_a_file(name):
    bare = sys.modules[CELLS[name].__module__].step
    parameters = list(inspect.signature(bare).parameters.values())
    assert [p.name for p in parameters[:3]] in (["params", "state", "x"], ["weights", "state", "x"])
    assert all(p.kind is p.KEYWORD_ONLY for p in parameters[3:])
    defaults = {f: p.default for f, p in inspect.signature(CELLS[name]).parameters.items()}
    assert all(p.default == defaults[p.name] for p in parameters[3:])
    assert (parameters[0].name == "weights") == (CELLS[name].prepare is not cell_parts.prepare)


@pytest.mark.parametrize("name", FIRST.values())
def test_the_bare_step_under_lax_scan(name):
    cell = CELLS[name](3, 4)

    @jax.jit
    def both(key, xs):
        params = cell.init(key)
        weights = cell.prepare(params)
        bare = partial(sys.modules[CELLS[name].__module__].step, weights)
        return jax.lax.scan(bare, cell.initial_state(weights), xs), rnnx.scan(cell, params, xs)

    got, want = both(jax.random.key(0), np.random.default_rng(0).normal(size=(5, 3)))
    for a, b in zip(jax.tree.leaves(got), jax.tree.leaves(want), strict=True):
        np.testing.assert_allclose(a, b, rtol=1e-14, atol=1e-14)


def test_the_bare_step_takes_the_options():
    from rnnx.cells import elman

    params = elman.Params(jnp.ones((1, 1, 1)), jnp.ones((1, 1, 1)), jnp.zeros((1, 1)))
    step = partial(elman.step, params, nonlinearity="identity")
    assert step(jnp.ones(1), jnp.full(1, 2.0))[1].tolist() == [3.0]


@pytest.mark.parametrize("name", METHODS)
def test_a_method_is_a_plain_value(name):
    method = METHODS[name]()
    assert method == METHODS[name]() and hash(method) == hash(METHODS[name]())
    assert pickle.loads(pickle.dumps(method)) == method
    assert list(inspect.signature(method.refuses).parameters) == ["cell"]


# ---------------------------------------------------------------------------------------------- spellings


@pytest.mark.parametrize("cell", EVERY, ids=spell)
def test_round_trips(cell):
    again = [from_json(to_json(cell)), pickle.loads(pickle.dumps(cell)), eval(repr(cell), vars(rnnx.cells).copy())]
    for other in again:
        assert other == cell and hash(other) == hash(cell) and type(other) is type(cell)
    assert json.loads(to_json(cell))["name"] == spell(cell).split("(")[0]


SPELLINGS = {
    "elman": {},
    "elman(nonlinearity=relu,init=identity)": {"nonlinearity": "relu", "init": "identity"},
    "lstm(forget_bias=0)": {"forget_bias": 0},
    "lstm(forget_bias=-2.5,init=orthogonal)": {"forget_bias": -2.5, "init": "orthogonal"},
    "gru(input_init=orthogonal)": {"input_init": "orthogonal"},
}


@pytest.mark.parametrize("words, given", SPELLINGS.items(), ids=SPELLINGS)
def test_spelling(words, given):
    name = words.split("(")[0]
    cell = build(name, given, inputs=3, units=4)
    assert spell(cell) == words
    assert isinstance(cell, CELLS[name]) and (cell.inputs, cell.units) == (3, 4)
    assert from_json(to_json(cell)) == cell


def test_spelling_of_a_cell_in_a_cell():
    cell = Readout(build("lstm", {"forget_bias": 0}, 3, 4), 2)
    assert spell(cell) == "readout(cell=lstm(forget_bias=0),outputs=2)"


def test_misspelt():
    for name, given, nearest in [
        ("lstmm", {}, "did you mean 'lstm'"),
        ("lstm", {"forget_bais": 0}, "did you mean 'forget_bias'"),
        ("elman", {"nonlinearity": "tahn"}, "did you mean 'tanh'"),
        ("gru", {"init": "ortogonal"}, "did you mean 'orthogonal'"),
    ]:
        with pytest.raises(ValueError, match=nearest) as error:
            build(name, given, 3, 4)
        assert "\n" not in str(error.value) and "write one of" in str(error.value)
    with pytest.raises(ValueError, match="did you mean 'lstm'"):
        from_json('{"name": "lstn", "inputs": 3, "units": 4}')


# ------------------------------------------------------------------------------------------------- fields

REFUSED = [
    ("units", 0, ValueError, "got 0; write a whole number of at least 1"),
    ("units", -3, ValueError, "got -3; write a whole number of at least 1"),
    ("inputs", 0, ValueError, "got 0; write a whole number of at least 1"),
    ("units", 2.0, ValueError, "got 2.0 (float); write a value of type int"),
    ("units", True, ValueError, "got True (bool); write a value of type int"),
    ("units", "4", ValueError, "got '4' (str); write a value of type int"),
    ("units", None, ValueError, "got None (NoneType); write a value of type int"),
    ("units", np.arange(2), ValueError, "got an array of shape (2,); a configuration holds plain numbers"),
    ("units", jnp.ones(()), ValueError, "got an array of shape (); a configuration holds plain numbers"),
]
REFUSED_INIT = [  # of every field that names a way to draw
    (3, ValueError, "got 3 (int); write a value of type str"),
    (jnp.tanh, ValueError, "write a value of type str"),
    ("glorot", ValueError, "write one of"),
]
REFUSED_BY_LSTM = [
    ("forget_bias", float("nan"), ValueError, "got nan; write a finite number"),
    ("forget_bias", float("inf"), ValueError, "got inf; write a finite number"),
    ("forget_bias", jnp.ones(4), ValueError, "got an array of shape (4,); a configuration holds plain numbers"),
    ("forget_bias", "1", ValueError, "got '1' (str); write a value of type float"),
]


@pytest.mark.parametrize("name", CELLS)
def test_what_fields_refuse(name):
    inits = [f.name for f in dataclasses.fields(CELLS[name]) if f.name.endswith("_init")]
    refused = REFUSED + [(field, *rest) for field in inits for rest in REFUSED_INIT]
    for field, value, kind, says in refused + (REFUSED_BY_LSTM if name == "lstm" else []):
        with pytest.raises(kind) as error:
            CELLS[name](**{"inputs": 3, "units": 4, field: value})
        told = str(error.value)
        assert f"{CELLS[name].__name__}.{field}" in told and says in told and "\n" not in told


def test_what_a_readout_refuses():
    for outputs, kind in [(0, ValueError), (1.0, ValueError), (np.ones(1), ValueError)]:
        with pytest.raises(kind, match="Readout.outputs got"):
            Readout(EVERY[0], outputs)
    with pytest.raises(ValueError, match="Readout.cell got list, which cannot be hashed|Readout.cell got an array"):
        Readout(np.ones(3), 2)


def test_a_tracer_is_refused():
    with pytest.raises(ValueError, match="got an array of shape"):
        jax.jit(lambda bias: CELLS["lstm"](3, 4, bias).forget_bias)(1.0)


def test_fields_become_plain():
    cell = CELLS["lstm"](np.int64(3), np.int32(4), forget_bias=np.float32(2))
    assert [type(value) for value in (cell.inputs, cell.units, cell.forget_bias)] == [int, int, float]
    assert cell == CELLS["lstm"](3, 4, 2)


def test_a_cell_does_not_change():
    with pytest.raises(AttributeError):
        EVERY[0].units = 5


def test_a_cell_made_of_a_cell_keeps_its_checks():
    """What the parent refuses the child refuses."""
    from rnnx.cells import Elman
    from rnnx.types import cell

    @cell
    class Child(Elman):
        pass

    assert Child(2, 3).units == 3
    with pytest.raises(ValueError, match="tanh"):
        Child(2, 3, nonlinearity="than")
