"""The one door: what it refuses and in which words, what it stacks, its dtypes, its traces, its derivatives."""

from dataclasses import dataclass

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import rnnx
from rnnx.cells import CELLS, LSTM, Elman
from rnnx.scans import Sequential
from rnnx.types import cell

D, N, T = 3, 4, 7
ELMAN, MEMORY = Elman(D, N), LSTM(D, N)
PARAMS = {c: c.init(jax.random.key(0)) for c in (ELMAN, MEMORY)}
XS = np.random.default_rng(0).normal(size=(T, D))


def close(got, want):
    jax.tree.map(lambda a, b: np.testing.assert_allclose(a, b, rtol=1e-11, atol=1e-11), got, want)


# ------------------------------------------------------------------------------------------------ refused


@dataclass(frozen=True)
class Choosy:
    """A method that takes nothing."""

    def refuses(self, cell):
        return "it has a bad day; take method='sequential'"


@dataclass
class Unhashable:
    """What a configuration is without @rnnx.types.cell."""

    inputs: int = D


def attempt(xs=XS, state=None, cell=ELMAN, params=None, **how):
    return rnnx.scan(cell, PARAMS.get(cell) if params is None else params, xs, state, **how)


ZERO = np.zeros(N)
LIKE_THE_CELL = "start from cell.initial_state(weights)"
# what is wrong: (the call, the error, what was got, the remedy)
REFUSED = {
    "batch axis": (lambda: attempt(np.ones((2, T, D))), ValueError, "shape (2, 7, 3)", "vmap over the batch"),
    "no feature axis": (lambda: attempt(np.ones(T)), ValueError, "shape (7,)", "xs[:, None]"),
    "no time axis": (lambda: attempt(np.float64(1)), ValueError, "no time axis", "give [T, D]"),
    "lists": (lambda: attempt(XS.tolist()), ValueError, "no time axis", "give [T, D]"),
    "lists with a length": (lambda: attempt(XS.tolist(), length=3), ValueError, "no time axis", "give [T, D]"),
    "nothing": (lambda: attempt({}), ValueError, "no time axis", "give [T, D]"),
    "nothing with a length": (lambda: attempt({}, length=3), ValueError, "no time axis", "give [T, D]"),
    "features": (lambda: attempt(np.ones((T, 5))), ValueError, "5 features", "inputs=5"),
    "uneven": (lambda: attempt({"a": XS, "b": XS[1:]}), ValueError, "7 and 6 steps", "the same T"),
    "resets' dtype": (lambda: attempt(resets=np.zeros(T)), ValueError, "float64[7]", "give bool[7]"),
    "resets of 0 and 1": (lambda: attempt(resets=[0] * T), ValueError, "int64[7]", "give bool[7]"),
    "resets' shape": (lambda: attempt(resets=[True]), ValueError, "bool[1]", "give bool[7]"),
    "resets' axis": (lambda: attempt(resets=np.zeros((T, 1), bool)), ValueError, "bool[7, 1]", "give bool[7]"),
    "length float": (lambda: attempt(length=3.0), ValueError, "float64[]", "one whole number"),
    "length bool": (lambda: attempt(length=True), ValueError, "bool[]", "one whole number"),
    "lengths": (lambda: attempt(length=np.arange(2)), ValueError, "int64[2]", "vmap adds a batch"),
    "too long": (lambda: attempt(length=T + 1), ValueError, "length is 8 for 7", "a length of 0 to 7"),
    "too short": (lambda: attempt(length=-1), ValueError, "length is -1 for 7", "a length of 0 to 7"),
    "too long, by NumPy": (lambda: attempt(length=np.int64(T + 1)), ValueError, "length is 8", "a length of 0 to 7"),
    "state's structure": (lambda: attempt(cell=MEMORY, state=ZERO), ValueError, "float64[4]", LIKE_THE_CELL),
    "state's type": (lambda: attempt(cell=MEMORY, state=(ZERO, ZERO)), ValueError, "'float64[4]'", LIKE_THE_CELL),
    "state's shape": (lambda: attempt(state=np.zeros(N + 1)), ValueError, "float64[5]", LIKE_THE_CELL),
    "state's dtype": (lambda: attempt(state=np.zeros(N, "float32")), ValueError, "float32[4]", LIKE_THE_CELL),
    "method's name": (lambda: attempt(method="sequental"), ValueError, "'sequental'", "did you mean 'sequential'"),
    "method's mood": (lambda: attempt(method=Choosy()), NotImplementedError, "Elman(inputs=3", "a bad day"),
    "cell": (lambda: attempt(cell=Unhashable(), params=()), TypeError, "Unhashable", "@rnnx.types.cell"),
}


@pytest.mark.parametrize("what", REFUSED)
def test_refused(what):
    call, kind, got, remedy = REFUSED[what]
    with pytest.raises(kind) as error:
        call()
    told = str(error.value)
    assert got in told and remedy in told and "\n" not in told, told


def test_mixed_dtypes():
    """In JAX's own promotion, where float32 meets float64 without a word."""
    params = jax.tree.map(lambda a: a.astype("float32"), PARAMS[ELMAN])
    with jax.numpy_dtype_promotion("standard"), pytest.raises(ValueError) as error:
        attempt(params=params)
    told = str(error.value)
    assert "new state is float64[4] but the cell's is float32[4]" in told and "one dtype" in told and "\n" not in told


# ------------------------------------------------------------------------------------------- taken, stacked


def test_no_steps():
    start = np.arange(4.0)
    for how in ({}, {"length": 0}, {"reverse": True, "resets": np.zeros(0, bool)}):
        final, ys = attempt(XS[:0], start, **how)
        np.testing.assert_array_equal(final, start)
        assert ys.shape == (0, N) and ys.dtype == start.dtype


def test_ways_to_write_length_and_resets():
    flags = np.arange(T) == 2
    want = attempt(length=4, resets=flags)
    assert not np.any(want[1][4:]) and np.all(want[1][:4])
    for resets in (flags.tolist(), tuple(flags.tolist()), jnp.asarray(flags)):
        close(attempt(length=4, resets=resets), want)
    for length in (np.int64(4), jnp.int64(4), np.array(4)):
        close(attempt(length=length, resets=flags), want)


@pytest.mark.parametrize("dtype", ["int32", "uint8"])
def test_any_whole_number_is_a_length(dtype):
    """Data sets store lengths in few bits; strict promotion must not mind."""
    close(attempt(length=np.asarray(4, dtype)), attempt(length=4))


def both(state, y):
    return {"state": state, "y": y}


def nothing(state, y):
    return None


def carry(state, y):
    return state.c


def stacked(keep):
    """What the loop stacks, read from the traced program: `lax.scan` puts out [T, N], where its carry is [N]."""

    def loops(jaxpr):
        for equation in jaxpr.eqns:
            if equation.primitive.name == "scan":
                yield [v.aval.shape for v in equation.outvars if v.aval.shape != (N,)]
            for value in equation.params.values():
                if equation.primitive.name != "scan" and hasattr(getattr(value, "jaxpr", None), "eqns"):
                    yield from loops(value.jaxpr)

    traced = jax.make_jaxpr(lambda params, xs: rnnx.scan(MEMORY, params, xs, keep=keep, method=Sequential()))(
        PARAMS[MEMORY], XS
    )
    (shapes,) = loops(traced.jaxpr)
    return shapes


def test_keep():
    final, ys = attempt(cell=MEMORY)
    kept_final, kept = attempt(cell=MEMORY, keep=both)
    close((kept_final, kept["y"], kept["state"].h[-1], kept["state"].c[-1]), (final, ys, final.h, final.c))
    close(attempt(cell=MEMORY, keep=carry), (final, kept["state"].c))
    assert attempt(cell=MEMORY, keep=nothing)[1] is None
    assert stacked(nothing) == [] and stacked(carry) == [(T, N)] and stacked(None) == [(T, N)]
    assert not np.any(attempt(cell=MEMORY, keep=both, length=3)[1]["state"].c[3:])


@pytest.mark.parametrize("name", CELLS)
@pytest.mark.parametrize("dtype", ["float32", "bfloat16"])
def test_dtypes_stay(name, dtype):
    def run(params, xs):
        params, xs = jax.tree.map(lambda a: a.astype(dtype), (params, xs))
        return rnnx.scan(built, params, xs, resets=[True] * T, length=3, reverse=True)

    built = CELLS[name](D, N)
    out = jax.eval_shape(run, jax.eval_shape(built.init, jax.random.key(0)), XS)
    assert {leaf.dtype for leaf in jax.tree.leaves(out)} == {jnp.dtype(dtype)}


def test_low_precision_is_near():
    """Control for the dtypes: the numbers are those of float64, as coarsely as bfloat16 writes them."""
    params, xs = jax.tree.map(lambda a: a.astype("bfloat16"), (PARAMS[ELMAN], jnp.asarray(XS)))
    final, _ = rnnx.scan(ELMAN, params, xs)
    assert final.dtype == "bfloat16"
    np.testing.assert_allclose(np.asarray(final, float), attempt()[0], atol=0.05)


def test_nan_reaches_what_it_should():
    """A NaN in a valid step ends at the next reset, except in the gradient of the parameters."""
    xs = XS.copy()
    xs[2] = np.nan

    def late(params, xs):
        _, ys = rnnx.scan(ELMAN, params, xs, resets=np.arange(T) == 4)
        return jnp.sum(ys[4:]), ys

    gradients, ys = jax.jit(jax.grad(late, has_aux=True))(PARAMS[ELMAN], xs)
    assert np.isnan(ys[2:4]).all() and np.isfinite(ys[:2]).all() and np.isfinite(ys[4:]).all()
    assert all(np.isnan(leaf).all() for leaf in jax.tree.leaves(gradients))


# ---------------------------------------------------------------------------------------------- compiling

TRACES = []


@cell
class Counted(Elman):
    """Tells each time its step is traced."""

    def step(self, weights, state, x):
        TRACES.append(self)
        return super().step(weights, state, x)


def test_traced_once():
    def traces(*args, **how):
        before = len(TRACES)
        rnnx.scan(Counted(D, N), PARAMS[ELMAN], *args, **how)
        return len(TRACES) - before

    def flags(k):
        return np.arange(T) == k

    assert traces(XS) > 0
    assert traces(XS) == traces(XS + 1) == traces(XS, method=None) == 0
    assert traces(XS, length=3, resets=flags(1)) > 0
    assert traces(XS, length=4, resets=flags(1)) == traces(XS, length=0, resets=flags(2).tolist()) == 0
    assert traces(XS, keep=nothing) > 0
    assert traces(XS, keep=nothing) == 0
    assert traces(XS, method="sequential") > 0
    assert traces(XS, method="sequential") == traces(XS, method=Sequential()) == 0
    assert traces(XS, method=Sequential(unroll=2)) > 0


def test_unrolled_is_the_same():
    close(attempt(method=Sequential(unroll=3), length=5), attempt(length=5))


# ------------------------------------------------------------------------------------ batches, derivatives


def test_vmap_over_batch_and_seeds():
    seeds, batch = jax.random.split(jax.random.key(1), 2), np.random.default_rng(1).normal(size=(3, T, D))
    params = jax.jit(jax.vmap(ELMAN.init))(seeds)
    lengths = np.array([0, 4, T])

    def run(params, xs, length):
        return rnnx.scan(ELMAN, params, xs, length=length)

    single = jax.jit(run)
    final, ys = jax.jit(jax.vmap(jax.vmap(run, (None, 0, 0)), (0, None, None)))(params, batch, lengths)
    assert ys.shape == (2, 3, T, N) and final.shape == (2, 3, N)
    for k in range(2):
        for b in range(3):
            one = single(jax.tree.map(lambda a, k=k: a[k], params), batch[b], lengths[b])
            close(one, (final[k, b], ys[k, b]))


def by_scan(cell, params, xs):
    return rnnx.scan(cell, params, xs)


def by_hand(cell, params, xs):
    weights = cell.prepare(params)
    state, ys = cell.initial_state(weights), []
    for x in xs:
        state, y = cell.step(weights, state, x)
        ys.append(y)
    return state, jnp.stack(ys)


EVERY_DAY = ("elman", "plrnn")  # whose first step is at the kink of all its relus


@pytest.mark.parametrize("name", [n if n in EVERY_DAY else pytest.param(n, marks=pytest.mark.full) for n in CELLS])
def test_derivatives_are_those_of_a_loop(name):
    """Forward mode, a gradient of a gradient, and Hessian times vector, through the loop as without it."""
    cell = CELLS[name](2, 3)
    draws = np.random.default_rng(2)
    point = cell.init(jax.random.key(2)), jnp.asarray(draws.normal(size=(3, 2)))
    direction = jax.tree.map(lambda a: jnp.asarray(draws.normal(size=a.shape)), point)

    def everything(run):
        def loss(point):
            final, ys = run(cell, *point)
            return sum(jnp.sum(jnp.sin(leaf)) for leaf in jax.tree.leaves((final, ys[:-1])))

        def dot(gradient):
            return sum(jax.tree.leaves(jax.tree.map(lambda a, b: jnp.sum(a * b), gradient, direction)))

        def all_of(point):
            slope = jax.jvp(loss, (point,), (direction,))[1]
            gradient, product = jax.jvp(jax.grad(loss), (point,), (direction,))
            return slope, gradient, product, jax.grad(lambda p: dot(jax.grad(loss)(p)))(point)

        return jax.jit(all_of)(point)

    got, want = everything(by_scan), everything(by_hand)
    close(got, want)
    close(got[2], got[3])
