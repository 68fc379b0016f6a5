"""Stacks layer by layer, both directions at once, self-feeding, and what the house says it would do."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import rnnx
from rnnx.cells import CELLS, GRU, LSTM, Dropout, Elman, Readout, Stack
from rnnx.kernels.cpu import library
from rnnx.scans import Deferred, Native, Sequential
from rnnx.types import Masked

D, N, T = 3, 4, 9
QUICK = {"xla_backend_optimization_level": 0}
XS = np.random.default_rng(0).normal(size=(T, D))
RESETS = np.arange(T) == 4


def close(got, want, tolerance=1e-12):
    assert jax.tree.structure(got) == jax.tree.structure(want)
    jax.tree.map(lambda a, b: np.testing.assert_allclose(a, b, rtol=tolerance, atol=tolerance), got, want)


def start(cell, seed=0):
    return jax.jit(cell.init)(jax.random.key(seed))


def both(state, y):
    return {"state": state, "y": y}


# --------------------------------------------------------------------------------------------------- stacks

DEEP = Stack((Dropout(LSTM(D, N), 0.2, 0.3), Stack((GRU(N, 5), Readout(Elman(5, N), 2))), CELLS["lru"](2, N)))


def step_by_step(params, xs, length, keep):
    weights = DEEP.prepare(params)
    fresh = state = DEEP.initial_state(weights)
    kept = []
    for t in range(length):
        state = fresh if RESETS[t] else state
        state, y = DEEP.step(weights, state, jax.tree.map(lambda a, t=t: a[t], xs))
        kept.append(keep(state, y))
    return state, jax.tree.map(lambda *a: jnp.stack(a), *kept)


@pytest.mark.parametrize("method", [None, "deferred", ("deferred", ("sequential", "deferred"), "associative")], ids=str)
def test_a_stack_goes_layer_by_layer(method):
    """As step by step: with masks, a length, resets, and whatever is kept."""
    params, length = start(DEEP), 7
    xs = Masked(XS, jax.jit(DEEP.masks, static_argnums=1)(jax.random.key(1), T))

    def run(params, xs):
        how = {"resets": RESETS, "length": length, "method": method}
        plain = rnnx.scan(DEEP, params, xs, **how)
        return plain, rnnx.scan(DEEP, params, xs, keep=both, **how), step_by_step(params, xs, length, both)

    (final, ys), (again, kept), (end, want) = jax.jit(run, compiler_options=QUICK)(params, xs)
    close((final, again), (end, end))
    close(jax.tree.map(lambda a: a[:length], kept), want)
    close(ys[:length], want["y"])
    assert not np.any(ys[length:]) and not any(np.any(a[length:]) for a in jax.tree.leaves(kept))


def test_methods_for_layers_are_counted():
    with pytest.raises(ValueError, match="2 methods for 3 layers"):
        rnnx.scan(DEEP, start(DEEP), XS, method=("deferred", "deferred"))
    with pytest.raises(NotImplementedError, match="not affine"):
        rnnx.scan(DEEP, start(DEEP), XS, method="associative")


# ------------------------------------------------------------------------------------------- both directions


def test_bidirectional():
    """Each direction as a run of its own; lengths from 0 to T; a sequence flipped by hand."""
    cells = LSTM(D, N), GRU(D, 5)
    params = start(cells[0]), start(cells[1], 1)

    def run(params, length):
        return rnnx.bidirectional(cells, params, XS, length=length, resets=RESETS)

    run = jax.jit(run, compiler_options=QUICK)
    for n in (0, 1, 6, T):
        (end, begin), ys = run(params, n)
        assert ys.shape == (T, N + 5) and not np.any(ys[n:])
        forward = rnnx.scan(cells[0], params[0], XS, resets=RESETS, length=n)
        close((end, ys[:, :N]), forward)
        flipped = np.zeros(n, bool)
        flipped[1:] = RESETS[1:n][::-1]  # the boundary lies before step t both ways
        close((begin, ys[:n, N:][::-1]), rnnx.scan(cells[1], params[1], XS[:n][::-1], resets=flipped))


def test_bidirectional_with_one_cell_and_states():
    cell = GRU(D, N)
    params = start(cell), start(cell, 1)
    states = np.full(N, 0.1), np.full(N, -0.1)
    (end, begin), ys = rnnx.bidirectional(cell, params, XS, states)
    close((end, ys[:, :N]), rnnx.scan(cell, params[0], XS, states[0]))
    close((begin, ys[:, N:]), rnnx.scan(cell, params[1], XS, states[1], reverse=True))
    for given in ((cell, start(cell)), ((cell, cell, cell), params)):
        with pytest.raises(ValueError, match="give a pair"):
            rnnx.bidirectional(*given, XS)


# --------------------------------------------------------------------------------------------- self-feeding


def noisy(y, key):
    return jnp.tanh(y[:D]) + (0 if key is None else jax.random.normal(key, (D,)))


@pytest.mark.parametrize("key", [None, jax.random.key(7)], ids=["no key", "key"])
def test_generate(key):
    """As a loop written out, from the state of a prompt; a run goes on where it stopped."""
    cell = Readout(LSTM(D, N), 4)
    params = start(cell)
    prompt, _ = rnnx.scan(cell, params, XS)
    final, ys = rnnx.generate(cell, params, noisy, XS[0], 5, prompt, key=key)
    state, x, want = prompt, XS[0], []
    weights = cell.prepare(params)
    for t in range(5):
        state, y = cell.step(weights, state, x)
        want.append(y)
        x = noisy(y, None if key is None else jax.random.fold_in(key, t))
    close((final, ys), (state, jnp.stack(want)))
    nothing, none = rnnx.generate(cell, params, noisy, XS[0], 0, prompt)
    close((nothing, none.shape), (prompt, (0, 4)))


def test_generate_refuses():
    cell = LSTM(D, N)
    for given, says in [
        (dict(steps=-1), "at least 0"),
        (dict(feed=3), "a function of"),
        (dict(feed=lambda y, key: y), "return an x like x0"),
        (dict(x0=XS), "one sequence is"),
        (dict(state=np.zeros(N)), "start from cell.initial_state"),
        (dict(x0=np.zeros(D + 1)), "4 features"),
    ]:
        how = {"feed": noisy, "x0": XS[0], "steps": 3} | given
        with pytest.raises((ValueError, TypeError), match=says) as error:
            rnnx.generate(cell, start(cell), how["feed"], how["x0"], how["steps"], how.get("state"))
        assert "\n" not in str(error.value)


# ------------------------------------------------------------------------------------------------ the choice


def test_explain():
    told = rnnx.explain(LSTM(D, N), 100, batch=32, platform="cpu")
    first = "Deferred" if library.missing() else "Native"
    assert first in told.splitlines()[0] and "associative cannot take it" in told and "0.1 MiB" in told
    assert "Sequential" in rnnx.explain(CELLS["mgu"](D, N), 100, platform="cpu").splitlines()[0]
    assert "Deferred" in rnnx.explain(CELLS["s4d"](D, N), 100, platform="cpu").splitlines()[0]
    assert "Associative" in rnnx.explain(CELLS["s5"](D, N), 1000, platform="gpu").splitlines()[0]
    assert "layer 1:" in rnnx.explain(Stack((LSTM(D, N), GRU(N, N))), 10)
    assert rnnx.explain(LSTM(D, N), 1).startswith("Sequential")


def test_none_is_what_explain_says():
    """Read from the traced program: None and the method named trace to the same text."""
    cell = LSTM(D, N)
    params = start(cell)
    programs = [
        str(jax.make_jaxpr(lambda p, m=m: rnnx.scan(cell, p, XS, method=m)[1])(params))
        for m in (None, Deferred() if library.missing() else Native(), Sequential())
    ]
    assert programs[0] == programs[1] != programs[2]


def test_nothing_is_stacked_that_is_not_asked_for():
    """Forward alone, the states and pre-activations that a gradient would read are not in memory."""
    cell, xs = LSTM(D, 64), np.ones((8, 512, D))
    params = start(cell)

    def last(method):
        return lambda params, xs: jax.vmap(lambda xs: rnnx.scan(cell, params, xs, method=method)[0])(xs)

    def temporaries(run):
        return jax.jit(run).lower(params, xs).compile().memory_analysis().temp_size_in_bytes

    states = 2 * 8 * 512 * 64 * 8
    assert temporaries(last(Deferred())) < states / 4
    assert temporaries(jax.grad(lambda p, x: sum(map(jnp.sum, last(Deferred())(p, x))))) > states  # control


@rnnx.types.cell
class Indexed(Elman):
    """Is told with every input which of two signs it has."""

    def drive(self, weights, x):
        x, sign = x
        return super().drive(weights, x * jnp.array([1.0, -1.0])[sign])


def test_whole_numbers_beside_the_input():
    """No method is named: the one that takes any leaf is taken. One that is named says why it does not."""
    cell, signs = Indexed(D, N), np.arange(T) % 2
    params = start(cell)
    want = rnnx.scan(Elman(D, N), params, XS * np.where(signs, -1.0, 1.0)[:, None])[1]
    close(rnnx.scan(cell, params, (XS, signs))[1], want)
    with pytest.raises(NotImplementedError, match="take method='sequential'"):
        rnnx.scan(cell, params, (XS, signs), method="deferred")


@pytest.mark.parametrize("method", ["deferred", "checkpointed", "newton"])
def test_precision_asked_for_inside_a_program(method):
    """A lowering comes after the context has ended; what was asked for holds all the same."""
    cell = CELLS["gru"](3, 4)
    params, xs = cell.init(jax.random.key(0)), jnp.ones((2, 5, 3))

    def loss(params, precision):
        with jax.default_matmul_precision(precision):
            return jnp.sum(jax.vmap(lambda x: rnnx.scan(cell, params, x, method=method)[1])(xs))

    told = [jax.jit(jax.grad(loss), static_argnums=1).lower(params, p).as_text() for p in ("highest", "default")]
    products = [[line for line in text.splitlines() if "dot_general" in line] for text in told]
    assert products[0] and all("HIGHEST" in line for line in products[0])
    if method != "newton":  # whose iteration is as precise as can be in any case
        assert not any("HIGHEST" in line for line in products[1])
