"""Every cell against its equations in NumPy: outputs, states and every first derivative, for every option."""

import functools

import jax
import numpy as np
import options
import pytest
from cells import ORACLES
from complex_step import gradient
from mutation import operations, spoiled

import rnnx
from rnnx.cells import CELLS, spell

D, N, T = 3, 4, 5
KEY = jax.random.key(7)
TOLERANCE = 1e-11  # of the largest entry: rounding of some thousand operations in float64


def others(name):
    """The cell with each option of its equation moved from its default."""
    for option, values in options.of(CELLS[name], name).items():
        if not options.draws(name, option):
            yield from (CELLS[name](D, N, **{option: value}) for value in values)


DEFAULTS = [pytest.param(name, CELLS[name](D, N), id=name) for name in CELLS]
OPTIONS = [pytest.param(name, cell, id=spell(cell)) for name in CELLS for cell in others(name)]
FULL = [pytest.param(*case.values, id=case.id, marks=pytest.mark.full) for case in OPTIONS]

# --------------------------------------------------------------------------------------------- what is compared


@functools.cache
def drawn(cell):
    """Parameters with nothing zero; those of the defaults where an option leaves the shapes as they are."""
    told = jax.eval_shape(cell.init, KEY)
    default = type(cell)(D, N)
    if cell != default and told == jax.eval_shape(default.init, KEY):
        return drawn(default)
    draws = np.random.default_rng(len(spell(cell)))
    return jax.tree.map(lambda a: np.asarray(a) + 0.3 * draws.normal(size=a.shape), jax.jit(cell.init)(KEY))


@functools.cache
def subject(name, cell):
    """(parameters, xs [T, D], states that the cell reaches, leaves [T, ...], the first of them its initial state)."""
    params, draws = drawn(cell), np.random.default_rng(1)
    states = [jax.device_get(jax.jit(lambda p: cell.initial_state(cell.prepare(p)))(params))]
    for x in draws.normal(size=(T - 1, D)):
        states.append(ORACLES[name](cell, params, states[-1], x)[0])
    return params, draws.normal(size=(T, D)), jax.tree.map(lambda *leaves: np.stack(leaves), *states)


def at(tree, t):
    return jax.tree.map(lambda a: a[t], tree)


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


def with_gradients(run):
    """(what `run` returns, its derivatives by the rulers)."""

    def both(*arguments):
        out, back = jax.vjp(run, *arguments)
        return out, back(rulers(jax.eval_shape(lambda: out)))

    return both


def compiled(run):
    """Without optimisation: what is checked here is the equations, and there are many."""
    return jax.jit(run, compiler_options={"xla_backend_optimization_level": 0})


def close(got, want):
    assert jax.tree.structure(got) == jax.tree.structure(want)
    for a, b in zip(jax.tree.leaves(got), jax.tree.leaves(want), strict=True):
        scale = max(1.0, np.max(np.abs(b), initial=0))
        np.testing.assert_allclose(a, b, rtol=0, atol=TOLERANCE * scale)


@pytest.mark.parametrize("name, cell", DEFAULTS + FULL)
def test_cell(name, cell):
    """Through time."""
    params, xs, states = subject(name, cell)
    arguments = params, xs, at(states, -1)
    got = compiled(with_gradients(functools.partial(rnnx.scan, cell)))(*arguments)
    close(got, by_oracle(name, cell, *arguments))


@pytest.mark.parametrize("name, cell", OPTIONS)
def test_option(name, cell):
    """One step from each of T states: what is composed through time is the default's business."""

    def one(params, xs, state):
        new, y = cell.step(cell.prepare(params), state, xs[0])
        return new, y[None]

    params, xs, states = subject(name, cell)
    got = jax.device_get(compiled(jax.vmap(with_gradients(one), (None, 0, 0)))(params, xs[:, None], states))
    for t in range(T):
        close(at(got, t), by_oracle(name, cell, params, xs[t : t + 1], at(states, t)))


# ------------------------------------------------------------------------------------------------- the controls

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


@pytest.mark.parametrize("name, cell", DEFAULTS + FULL)
def test_a_changed_equation_is_caught(name, cell):
    """Whichever operation of the step is 1 % off, it differs from the oracle in one of T states."""
    params, xs, states = subject(name, cell)

    def one(params, state, x):
        return cell.step(cell.prepare(params), state, x)

    traced = jax.make_jaxpr(jax.vmap(one, (None, 0, 0)))(params, states, xs)
    names = operations(traced)
    changed = compiled(jax.vmap(functools.partial(spoiled, traced), (0, None)))
    got = jax.device_get(changed(1 + 0.01 * np.eye(len(names)), jax.tree.leaves((params, states, xs))))
    told = [jax.tree.leaves(ORACLES[name](cell, params, at(states, t), xs[t])) for t in range(T)]
    want = [np.stack(leaves) for leaves in zip(*told, strict=True)]
    missed = set()
    for k, operation in enumerate(names):
        worst = max(float(np.max(np.abs(a[k] - b), initial=0)) for a, b in zip(got, want, strict=True))
        if not worst > 100 * TOLERANCE:
            missed.add((name, operation))
    assert missed <= CANCEL, f"operations that no comparison sees: {missed - CANCEL}"


def program(cell):
    """The shapes of the parameters, and the traced step and start with their constants, as text."""

    def told(function, *arguments):
        closed = jax.make_jaxpr(function)(*arguments)
        return str(closed), [np.asarray(c).tobytes() for c in closed.consts]

    params = jax.eval_shape(cell.init, KEY)
    state = jax.eval_shape(lambda p: cell.initial_state(cell.prepare(p)), params)
    start = told(lambda p: cell.initial_state(cell.prepare(p)), params)
    return params, start, told(lambda p, s, x: cell.step(cell.prepare(p), s, x), params, state, np.ones(D))


def test_what_only_draws_leaves_the_program_as_it_is():
    for name, drawing in options.DRAWN.items():
        for option in drawing:
            for value in options.OF[name][option]:
                assert program(CELLS[name](D, N, **{option: value})) == program(CELLS[name](D, N)), (name, option)


def test_what_changes_the_program_does():
    """Control for the test above, and against comparisons that compare nothing new."""
    for case in OPTIONS:
        name, cell = case.values
        assert program(cell) != program(CELLS[name](D, N)), case.id


def test_every_cell_has_an_oracle():
    assert set(ORACLES) == set(CELLS)
