"""Newton's method: exact whatever was solved, honest about not converging, and cheap where it has."""

from functools import partial

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import rnnx
from rnnx.cells import CELLS, GRU, LSTM, Elman
from rnnx.kernels.seam_runs import Engine
from rnnx.scans import Newton, Report, Sequential, exponent, report
from rnnx.scans.jacobian import SOLVES, even, linear, ravel, unravel
from rnnx.scans.loop import Loop
from rnnx.scans.trajectory import Trajectory
from rnnx.types import cell as register

QUICK = {"xla_backend_optimization_level": 0}
T, D, N = 12, 3, 4
XS = np.random.default_rng(0).normal(size=(T, D))
SHAPES = ["elman", "lstm", "slstm", "indrnn", "clockwork", "gru_before", "lmu"]


def chaotic(gain, seed, units=16):
    """A tanh network with weights from N(0, gain^2 / N): chaotic above 1 (Sompolinsky, Crisanti & Sommers 1988)."""
    cell = Elman(D, units)
    draws = np.random.default_rng(seed)
    params = cell.init(jax.random.key(0))
    return cell, params._replace(w_h=gain / np.sqrt(units) * draws.normal(size=params.w_h.shape))


@pytest.mark.parametrize("solve", SOLVES)
@pytest.mark.parametrize("name", SHAPES)
def test_jacobian(name, solve):
    """What is kept of J is that of forward mode, for every structure a recurrent matrix can have."""
    cell = CELLS[name](D, N, heads=2) if name == "slstm" else CELLS[name](D, N)

    def both(params, x):
        weights = cell.prepare(params)
        state = cell.initial_state(weights)
        for _ in range(2):
            state, _ = cell.step(weights, state, x)
        if solve == "block" and not even(state):
            return None

        def step(flat):
            return ravel(cell.step(weights, unravel(flat, state, solve), x)[0], solve)

        flat = ravel(state, solve)
        return linear(cell, weights, state, x, solve), step(flat), jax.jacfwd(step)(flat)

    params = jax.tree.map(lambda a: a + 0.1, jax.jit(cell.init)(jax.random.key(1)))
    told = jax.jit(both, compiler_options=QUICK)(params, XS[0])
    if told is None:
        assert Newton(solve="block").refuses(cell)
        return
    got, new, whole = told
    want = {"full": whole, "diagonal": np.diag(whole)}.get(solve)
    if solve == "block":
        n, count = got.jacobian.shape[:2]
        want = np.stack([whole[i * count : (i + 1) * count, i * count : (i + 1) * count] for i in range(n)])
    np.testing.assert_allclose(got.jacobian, want, rtol=0, atol=1e-14)
    np.testing.assert_allclose(got.new, new, rtol=0, atol=1e-14)
    assert np.any(want)


@pytest.mark.parametrize("method", [Newton(), Newton("diagonal", limit=60), Newton("block", 0.3, limit=60)], ids=str)
def test_the_gradient_is_exact_whatever_was_solved(method):
    """The case in which a gradient through the diagonal solve is 43 % wrong: tanh, 6 units, 40 steps."""
    cell = Elman(D, 6)
    params = jax.jit(cell.init)(jax.random.key(0))
    xs = np.random.default_rng(1).normal(size=(40, D))

    def gradient(method):
        return jax.grad(lambda p: jnp.sum(jnp.square(rnnx.scan(cell, p, xs, method=method)[1])))

    def all_of(params):
        return gradient(method)(params), gradient(Sequential())(params), report(cell, params, xs, method=method)

    got, want, told = jax.jit(all_of, compiler_options=QUICK)(params)
    assert told.converged
    for a, b in zip(got, want, strict=True):
        assert np.max(np.abs(a - b)) <= 1e-6 * np.max(np.abs(b))


def test_chaos_falls_back_and_is_right():
    """100 of 100; and each step of what comes back follows from the one before."""

    @partial(jax.jit, compiler_options=QUICK)
    @jax.vmap
    def run(params, xs):
        cell = Elman(D, 16)
        hs = rnnx.scan(cell, params, xs, method=Newton())[1]
        before = jnp.concatenate([jnp.zeros_like(hs[:1]), hs[:-1]])
        again = jax.vmap(lambda h, x: cell.step(cell.prepare(params), h, x)[0])(before, xs)
        return report(cell, params, xs), jnp.max(jnp.abs(again - hs)), exponent(cell, params, xs)

    params = [chaotic(gain, seed)[1] for seed, gain in enumerate(np.linspace(2, 4, 100))]
    stacked = jax.tree.map(lambda *a: np.stack(a), *params)
    xs = 0.1 * np.random.default_rng(2).normal(size=(100, 256, D))
    told, error, growth = run(stacked, xs)
    assert not told.converged.any() and np.all(error <= 1e-14)
    assert np.median(growth) > 0.05

    contracting = stacked._replace(w_h=0.1 * stacked.w_h)
    told, error, growth = run(contracting, xs)
    assert told.converged.all() and told.iterations.max() <= 10 and np.all(error <= 1e-13)
    assert growth.max() < 0


CALLS = []


@register
class Counted(Elman):
    """Tells each time the program asks for a product with the state: once for all steps, or step after step."""

    def recur(self, weights, h):
        jax.debug.callback(lambda: CALLS.append(1))
        return super().recur(weights, h)


def test_a_converged_batch_does_not_pay_for_the_fall_back():
    """The loop of zero or one trips, under vmap: an iteration asks once for the whole trajectory, a pass T times."""
    cell, params = Counted(D, N), jax.jit(Elman(D, N).init)(jax.random.key(0))
    xs = np.random.default_rng(1).normal(size=(3, T, D))

    def calls(params, method):
        CALLS.clear()
        run = jax.jit(jax.vmap(lambda xs: rnnx.scan(cell, params, xs, method=method)[1]), compiler_options=QUICK)
        jax.block_until_ready(run(xs))
        jax.effects_barrier()
        return len(CALLS)

    tame = params._replace(w_h=0.1 * params.w_h)
    assert calls(tame, Newton(limit=1, tolerance=1e9)) == 1  # converged before the first update
    assert 1 < calls(tame, Newton()) < T
    assert calls(tame, Newton(limit=2, tolerance=1e-300)) == 3 + T  # never: three looks and a pass


def test_a_mixed_batch_tells_each_sequence_apart():
    cell, wild = chaotic(4.0, 0)
    params = jax.tree.map(lambda a: np.stack([a, a]), wild)
    params = params._replace(w_h=params.w_h * np.array([1, 0.05]).reshape(2, 1, 1, 1))
    xs = 0.1 * np.random.default_rng(2).normal(size=(256, D))
    told = jax.vmap(lambda p: report(cell, p, xs))(params)
    assert isinstance(told, Report)
    assert told.converged.tolist() == [False, True] and told.iterations[1] < told.iterations[0]
    assert told.residual[1] < 1e-12 < told.residual[0]


def precisions(equations):
    """Of each product in a part of a traced program."""
    for equation in equations:
        if equation.primitive.name == "dot_general":
            yield equation.params["precision"][0]
        for value in equation.params.values():
            yield from precisions(getattr(getattr(value, "jaxpr", value), "eqns", ()))


def test_only_the_iteration_overrides_the_precision_of_products():
    """The fall-back and the gradient are the user's program, coarse where the user or the device has it so."""
    cell = LSTM(D, N)
    engine = Trajectory(cell, False, None, Newton())

    def run(params, xs):
        given = params, xs[:, None], jax.tree.map(lambda a: a[None], cell.initial_state(params)), (None, None)
        final, states, _ = engine.forward(*given)
        return engine.backward(given, states, None, (final, states), needs=(True, True))

    with jax.default_matmul_precision("tensorfloat32"):
        equations = jax.make_jaxpr(run)(jax.jit(cell.init)(jax.random.key(0)), XS).jaxpr.eqns
    loops = [place for place, equation in enumerate(equations) if equation.primitive.name == "while"]
    iteration, fall_back = (set(precisions([equations[place]])) for place in loops)
    gradient = set(precisions(equations[loops[-1] + 1 :]))
    assert iteration == {jax.lax.Precision.HIGHEST} and fall_back == gradient == {jax.lax.Precision.HIGH}


def test_nothing_to_solve():
    cell = LSTM(D, N)
    params = jax.jit(cell.init)(jax.random.key(0))
    told = report(cell, params, XS[:0])
    assert told.converged and told.iterations == 0
    told = report(cell, params, XS, length=0)
    assert told.converged and told.iterations == 0


@pytest.mark.parametrize("reverse", [False, True])
@pytest.mark.parametrize("name, solve", [("lstm", "full"), ("indrnn", "diagonal")])
def test_the_parallel_adjoint(name, solve, reverse):
    """The backward pass of accelerators, run here: cotangents through the transposed solve equal those of the loop."""
    cell, batch = CELLS[name](D, N), 3
    draws = np.random.default_rng(3)
    starts, valid = draws.random((T, batch)) < 0.3, np.arange(T)[:, None] < np.array([T, 5, 0])
    engines = Trajectory(cell, reverse, None, Newton(solve)), Loop(cell, reverse, None)

    def run(params, xs):
        weights = cell.prepare(params)
        state = jax.tree.map(lambda a: jnp.broadcast_to(a + 0.1, (batch, *a.shape)), cell.initial_state(weights))
        marks = starts & valid, valid
        _, states, _ = engines[1].forward(weights, xs, state, marks, platform="cpu")
        given = (weights, xs, state, marks), states, None, (state, states)
        return [engine.backward(*given, needs=(True, True), platform="") for engine in engines]

    xs = draws.normal(size=(T, batch, D)) * valid[..., None]
    got, want = jax.jit(run, compiler_options=QUICK)(jax.jit(cell.init)(jax.random.key(0)), xs)
    for a, b in zip(jax.tree.leaves(got), jax.tree.leaves(want), strict=True):
        np.testing.assert_allclose(a, b, rtol=0, atol=1e-12)
    assert engines[0]._exact() and not Trajectory(GRU(D, N), False, None, Newton("diagonal"))._exact()


def test_exponent_of_a_known_system():
    """h_t = a h_{t-1}: log |a|, far outside the range of a float too."""
    cell = Elman(D, 1, "identity")
    params = jax.jit(cell.init)(jax.random.key(0))
    for a in (0.5, 1e-3, 2.0):
        given = params._replace(w_h=jnp.full_like(params.w_h, a))
        np.testing.assert_allclose(exponent(cell, given, np.ones((2000, D))), np.log(a), rtol=1e-12)


REFUSED = [
    (dict(solve="ful"), "did you mean 'full'"),
    (dict(damping=1.5), "write a number from 0"),
    (dict(tolerance=0.0), "write a number above 0"),
    (dict(limit=0), "at least 1"),
]


@pytest.mark.parametrize("given, says", REFUSED, ids=lambda given: str(given))
def test_refused(given, says):
    with pytest.raises(ValueError, match=says) as error:
        Newton(**given)
    assert "\n" not in str(error.value)


def test_a_report_of_what_tells_nothing():
    with pytest.raises(TypeError, match="has nothing to tell"):
        report(LSTM(D, N), None, XS, method="sequential")


def test_an_engine_has_what_the_seam_asks():
    for engine in (Loop(LSTM(D, N), False, None), Trajectory(LSTM(D, N), False, None, Newton())):
        assert all(callable(getattr(engine, name)) for name in vars(Engine) if not name.startswith("_"))
