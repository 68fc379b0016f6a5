"""Every cell against its equations in NumPy: outputs, states and every first derivative, for every option."""

import functools

import jax
import jax.extend.core
import jax.numpy as jnp
import numpy as np
import options
import pytest
from cells import ORACLES
from complex_step import gradient
from mutation import operations, spoiled

import rnnx
from rnnx.cells import CELLS, spell

D, N, T = 3, 4, 5
TOLERANCE = 1e-11  # of the largest entry: rounding of some thousand operations in float64


def variants(name):
    """The cell, and with each option of its equation moved from its default."""
    yield CELLS[name](D, N)
    for option, values in options.of(CELLS[name], name).items():
        if not options.draws(option):
            yield from (CELLS[name](D, N, **{option: value}) for value in values)


def cases(others=()):
    """Every cell, and with the marks `others` its variants."""
    for name in CELLS:
        for cell in variants(name):
            yield pytest.param(name, cell, id=spell(cell), marks=() if cell == CELLS[name](D, N) else others)


@functools.cache
def subject(cell):
    """(parameters with nothing zero, xs, a state that the cell reaches), in NumPy."""
    draws = np.random.default_rng(len(spell(cell)))
    noise = functools.partial(jax.tree.map, lambda a: np.asarray(a) + 0.3 * draws.normal(size=a.shape))
    params, xs = noise(cell.init(jax.random.key(7))), draws.normal(size=(T, D))
    state = cell.initial_state(cell.prepare(params))
    one = jax.jit(cell.step)
    for x in draws.normal(size=(3, D)):
        state, _ = one(cell.prepare(params), state, x)
    return params, xs, jax.tree.map(np.asarray, state)


def rulers(tree):
    """The cotangents: other numbers for every entry."""
    return jax.tree.map(lambda a: np.cos(1.3 * np.arange(np.size(a))).reshape(np.shape(a)), tree)


def by_oracle(name, cell, params, xs, state):
    """((final state, ys), gradients of parameters, xs and state)."""
    leaves, structure = jax.tree.flatten((params, xs, state))

    def run(leaves):
        p, xs, s = jax.tree.unflatten(structure, leaves)
        ys = []
        for x in xs:
            s, y = ORACLES[name](cell, p, s, x)
            ys.append(y)
        return s, np.stack(ys)

    out = run(leaves)
    ruler = jax.tree.leaves(rulers(out))

    def objective(leaves):
        return sum(np.sum(r * a) for r, a in zip(ruler, jax.tree.leaves(run(leaves)), strict=True))

    return out, jax.tree.unflatten(structure, gradient(objective, leaves))


def by_rnnx(cell, params, xs, state):
    def run(params, xs, state):
        out, back = jax.vjp(lambda *a: rnnx.scan(cell, *a), params, xs, state)
        return out, back(rulers(jax.eval_shape(lambda: out)))

    # Compiled without optimisation: what is checked here is the equations, and there are many.
    return jax.jit(run, compiler_options={"xla_backend_optimization_level": 0})(params, xs, state)


def close(got, want):
    assert jax.tree.structure(got) == jax.tree.structure(want)
    for a, b in zip(jax.tree.leaves(got), jax.tree.leaves(want), strict=True):
        scale = max(1.0, np.max(np.abs(b), initial=0))
        np.testing.assert_allclose(a, b, rtol=0, atol=TOLERANCE * scale)


@pytest.mark.parametrize("name, cell", list(cases()))
def test_cell(name, cell):
    params, xs, state = subject(cell)
    close(by_rnnx(cell, params, xs, state), by_oracle(name, cell, params, xs, state))


# Operations whose size cancels by design: (cell, primitive). The oracle's source says why.
CANCEL = {
    ("clockwork", "rem"),  # asked is only whether t mod T is 0
    ("mlstm", "sub"),  # m is one of the two exponents it is taken from
    ("mlstm", "exp"),  # e^{-m} is one of two numbers of which the larger counts
    ("mlstm", "neg"),
    ("fastweights", "select_n"),  # y divides by phi(q) what it multiplied with it
    ("fastweights", "add"),
    ("fastweights", "dot_general"),
    ("deltanet", "select_n"),  # elu + 1 is divided by its sum
    ("gated_deltanet", "select_n"),
    # unitary: the size of a tells how often to halve it, which makes no difference to exp(A).
    *((cell, what) for cell in ("unitary", "exprnn", "nnrnn", "spectral") for what in ("square", "reduce_sum")),
}


@pytest.mark.parametrize("name, cell", list(cases(others=pytest.mark.full)))
def test_a_changed_equation_is_caught(name, cell):
    """Control: whichever operation of the step is 1 % off, one step differs from the oracle."""
    params, xs, state = subject(cell)

    def one(params, state, x):
        return cell.step(cell.prepare(params), state, x)

    arguments = [jnp.asarray(a) for a in jax.tree.leaves((params, state, xs[0]))]
    traced = jax.make_jaxpr(one)(params, state, xs[0])
    want = jax.tree.leaves(ORACLES[name](cell, params, state, xs[0]))
    missed = set()
    for k in range(operations(traced)):
        got, operation = spoiled(traced, arguments, k)
        worst = max(float(np.max(np.abs(np.asarray(a) - b), initial=0)) for a, b in zip(got, want, strict=True))
        if not worst > 100 * TOLERANCE:
            missed.add((name, operation))
    assert missed <= CANCEL, f"operations that no comparison sees: {missed - CANCEL}"


def test_every_cell_has_an_oracle():
    assert set(ORACLES) == set(CELLS)
