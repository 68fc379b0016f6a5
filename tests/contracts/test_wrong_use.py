"""What a user may get wrong with any cell is one line that says got, expected and remedy."""

import re

import jax
import numpy as np
import options
import pytest

import rnnx
from rnnx.cells import CELLS

D, N, T = 3, 4, 5


def wrong_units(build):
    build(D, 0)


def wrong_inputs(build):
    build(-1, N)


def half_units(build):
    build(D, 2.5)


def wrong_width(build):
    run(build, xs=np.ones((T, D + 1)))


def a_batch(build):
    run(build, xs=np.ones((2, T, D)))


def one_step(build):
    run(build, xs=np.ones(D))


def symbols(build):
    run(build, xs=np.ones((T, D), np.int32))


def another_dtype(build):
    run(build, xs=np.ones((T, D), np.float32))


def params_of_another_width(build):
    run(build, params=shapes(build(D, N + 1).init))


def params_of_another_cell(build):
    other = CELLS["gru" if build is CELLS["lstm"] else "lstm"]
    run(build, params=shapes(other(D, N).init))


def params_of_many_seeds(build):
    one = shapes(build(D, N).init)
    run(build, params=jax.tree.map(lambda a: jax.ShapeDtypeStruct((2, *a.shape), a.dtype), one))


def state_of_another_width(build):
    cell = build(D, N)
    state = shapes(lambda key: cell.initial_state(cell.prepare(cell.init(key))))
    run(build, state=jax.tree.map(lambda a: jax.ShapeDtypeStruct((*a.shape, 2), a.dtype), state))


def run(build, xs=None, params=None, state=None):
    cell = build(D, N)
    params = shapes(cell.init) if params is None else params
    xs = np.ones((T, D)) if xs is None else xs
    jax.eval_shape(lambda *given: rnnx.scan(cell, *given), params, xs, state)  # every check is made while tracing


def shapes(init):
    """What `init` makes, without making it."""
    return jax.eval_shape(init, jax.random.key(0))


SAYS = {
    wrong_units: "got 0; write a whole number of at least 1",
    wrong_inputs: "got -1; write a whole number of at least 1",
    half_units: r"got 2.5 \(float\); write a value of type int",
    wrong_width: "xs has 4 features but .* takes 3; build the cell with inputs=4",
    a_batch: "vmap over the batch",
    one_step: "give every step an axis of features",
    symbols: "xs is int32; give floating-point numbers",
    another_dtype: "give xs, state and params one dtype",
    params_of_another_width: "but .* takes .*; give what its init",
    params_of_another_cell: "give what its init",
    params_of_many_seeds: "vmap over the seeds|give what its init",
    state_of_another_width: "start from cell.initial_state",
}


@pytest.mark.parametrize("mistake", SAYS, ids=lambda mistake: mistake.__name__)
@pytest.mark.parametrize("name", options.one_of_each_room())
def test_one_line_says_what_is_wrong(name, mistake):
    with pytest.raises(ValueError) as error:
        mistake(CELLS[name])
    told = str(error.value)
    assert re.search(SAYS[mistake], told) and "\n" not in told, told


def test_the_mistakes_are_mistakes():
    """Control: without one, everything runs."""
    for build in CELLS.values():
        run(build)
