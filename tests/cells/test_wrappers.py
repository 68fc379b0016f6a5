"""Cells made of cells: the laws with their masks in place, and what each wrapper promises."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import rnnx
from rnnx.cells import GRU, LSTM, Elman, spell
from rnnx.cells.wrappers.connections import Highway, Residual
from rnnx.cells.wrappers.dropout import DropConnect, Dropout
from rnnx.cells.wrappers.inner import Params
from rnnx.cells.wrappers.norms import InputNorm, LayerNorm
from rnnx.cells.wrappers.precision import Precision
from rnnx.cells.wrappers.readout import Readout
from rnnx.cells.wrappers.stack import Stack
from rnnx.cells.wrappers.zoneout import Zoneout
from rnnx.testing import LAWS, Subject
from rnnx.types import Masked, elementwise, powers

KEY = jax.random.key(0)
T = 6


def sequence(width, steps=T, seed=1):
    return jax.random.normal(jax.random.key(seed), (steps, width))


def masked(cell, xs, seed=2):
    return Masked(xs, cell.masks(jax.random.key(seed), len(xs)))


def same(got, want):
    jax.tree.map(lambda a, b: np.testing.assert_allclose(a, b, rtol=1e-12, atol=1e-12), got, want)


# ---------------------------------------------------------------------------------------- laws, masks and all


def dressed(cell):
    """x -> Masked(x, masks), the masks a function of x, so that they move with it wherever a law moves it."""
    steps = cell.masks(KEY, 1)

    def dress(x):
        coin = (jnp.sin(37 * jnp.sum(x, axis=-1, keepdims=True)) > 0).astype(jnp.asarray(x).dtype)

        def mask(a):
            spots = jnp.arange(a.size, dtype=coin.dtype).reshape(a.shape[1:])
            coins = coin.reshape(coin.shape[:-1] + (1,) * spots.ndim)
            return coins * jnp.cos(spots).reshape((1,) * (coin.ndim - 1) + spots.shape) ** 2

        return Masked(x, jax.tree.map(mask, steps))

    return dress


MASKED = [
    Zoneout(LSTM(3, 4), (0.3, 0.2)),
    Zoneout(Elman(3, 4, "identity"), (0.3,)),
    Dropout(GRU(3, 4), 0.2, 0.3),
    Readout(Dropout(Zoneout(LSTM(3, 4), (0.0, 0.2)), 0.2, 0.3), 2),
    Stack((Zoneout(GRU(3, 4), (0.5,)), Dropout(LSTM(4, 3), 0.1, 0.2))),
]


@pytest.fixture(scope="module", params=MASKED, ids=spell)
def subject(request):
    return Subject(request.param, dress=dressed(request.param), compiler=(("xla_backend_optimization_level", 0),))


@pytest.mark.parametrize("law", LAWS.values(), ids=LAWS)
def test_laws_with_masks(subject, law):
    law(subject)


# ------------------------------------------------------------------------------------------------- masks


@pytest.mark.parametrize("cell", MASKED, ids=spell)
def test_masks_change_the_run_and_powers_stay(cell):
    params, xs = cell.init(KEY), sequence(3)
    _, plain = rnnx.scan(cell, params, xs)
    _, one = rnnx.scan(cell, params, masked(cell, xs))
    _, other = rnnx.scan(cell, params, masked(cell, xs, seed=3))
    assert not np.allclose(plain, one) and not np.allclose(one, other)
    if "pointwise" in powers(cell):
        mask = jax.tree.map(lambda a: a[0], cell.masks(KEY, 1))
        assert elementwise(cell, Masked(xs[0], mask)) is None


def test_zoneout_keeps_what_its_masks_say():
    cell = Zoneout(LSTM(3, 4), (1.0, 0.5))
    params, xs = cell.init(KEY), sequence(3)
    own, _ = cell.masks(jax.random.key(2), T)
    final, states = rnnx.scan(cell, params, masked(cell, xs), keep=lambda s, y: s)
    assert not np.any(final.h), "h was zoned out at every step"
    assert set(np.unique(own[1])) == {0.0, 1.0}
    before = np.concatenate([np.zeros((1, 4)), states.c[:-1]])
    assert np.array_equal(states.c == before, own[1] == 1)


def test_zoneout_is_the_papers_lstm():
    """Krueger et al.: both h and c are mixed with their old values, h from the c that was not zoned out."""
    inside = LSTM(3, 4)
    cell = Zoneout(inside, (0.4, 0.3))
    params, x = inside.init(KEY), sequence(3)[0]
    state = jax.tree.map(lambda a: a + jnp.arange(4.0), inside.initial_state(params))
    new, _ = inside.step(params, state, x)
    own = jnp.array([1.0, 0, 1, 0]), jnp.array([0.0, 1, 1, 0])
    got, _ = cell.step(Params(params), state, Masked(x, (own, None)))
    want = [np.where(m == 1, a, b) for m, a, b in zip(own, state, new, strict=True)]
    same(list(got), want)
    rates = cell.rates
    got, _ = cell.step(Params(params), state, x)
    same(list(got), [r * a + (1 - r) * b for r, a, b in zip(rates, state, new, strict=True)])


def test_zoneout_carries_gradients_further():
    """The paper's reason: identity connections by chance; the gradient of a saturated network fades more slowly."""

    def slope(cell):
        params = cell.init(KEY)
        xs = sequence(3, 60)

        def last(h):
            return jnp.sum(rnnx.scan(cell, params, xs, h)[1][-1])

        return float(jnp.linalg.norm(jax.grad(last)(jnp.ones(4) / 2)))

    assert slope(Zoneout(Elman(3, 4), (0.5,))) > 1e3 * slope(Elman(3, 4))


def test_variational_dropout_is_masked_matrices():
    """One mask all through: the same as zeros in the rows of W_x and W_h."""
    inside, cell = GRU(3, 4), Dropout(GRU(3, 4), 0.4, 0.5)
    params, xs = cell.init(KEY), sequence(3)
    ((m_x, m_h), _) = cell.masks(jax.random.key(5), T)
    assert np.array_equal(m_x, np.broadcast_to(m_x[0], m_x.shape)) and np.array_equal(
        m_h, np.broadcast_to(m_h[0], m_h.shape)
    )
    final, ys = rnnx.scan(cell, params, Masked(xs, ((m_x, m_h), None)))
    w = params.cell
    rows = w._replace(w_x=m_x[0][:, None, None] * w.w_x, w_h=m_h[0][:, None, None] * w.w_h)
    same((final.cell, ys), rnnx.scan(inside, rows, xs))
    same(rnnx.scan(cell, params, xs)[1], rnnx.scan(inside, w, xs)[1])


def test_masks_have_mean_one_and_their_rate():
    ((m_x, m_h), _) = Dropout(GRU(2000, 2000), 0.25, 0.5).masks(KEY, 1)
    for m, p in ((m_x, 0.25), (m_h, 0.5)):
        assert set(np.unique(m)) == {0.0, 1 / (1 - p)}
        assert abs(np.mean(np.asarray(m) == 0) - p) < 5 * np.sqrt(p * (1 - p) / 2000)


def test_drop_connect_drops_weights_for_a_whole_sequence():
    inside, cell = LSTM(3, 4), DropConnect(LSTM(3, 4), 0.5)
    params, xs = cell.init(KEY), sequence(3)
    dropped = cell.drop(jax.random.key(1), params)
    assert set(np.unique(dropped.mask)) == {0.0, 2.0} and dropped.mask.shape == params.cell.w_h.shape
    want = rnnx.scan(inside, params.cell._replace(w_h=dropped.mask * params.cell.w_h), xs)
    same(rnnx.scan(cell, dropped, xs), want)
    same(rnnx.scan(cell, params, xs), rnnx.scan(inside, params.cell, xs))
    gradient = jax.grad(lambda p: jnp.sum(rnnx.scan(cell, dropped._replace(x=p), xs)[1]))(params)
    assert np.array_equal(gradient.cell.w_h == 0, dropped.mask == 0)


def test_drop_reaches_through_wrappers_and_stacks():
    net = Readout(Stack((DropConnect(GRU(3, 4)), Residual(DropConnect(LSTM(4, 4))))), 2)
    params = net.init(KEY)
    dropped = net.drop(jax.random.key(1), params)
    assert isinstance(dropped.cell[0], Masked) and isinstance(dropped.cell[1].cell, Masked)
    assert not np.allclose(rnnx.scan(net, dropped, sequence(3))[1], rnnx.scan(net, params, sequence(3))[1])


# ------------------------------------------------------------------------------------ connections and norms


def test_residual_and_highway():
    inside, xs = GRU(4, 4), sequence(4)
    params = inside.init(KEY)
    _, hs = rnnx.scan(inside, params, xs)
    same(rnnx.scan(Residual(inside), Params(params), xs)[1], xs + hs)
    cell = Highway(inside, bias=-2.0)
    own = cell.init(KEY)
    t = 1 / (1 + np.exp(-(np.asarray(xs) @ np.asarray(own.w) + np.asarray(own.b))))
    same(rnnx.scan(cell, own._replace(cell=params), xs)[1], t * hs + (1 - t) * xs)
    assert np.all(np.asarray(own.b) == -2)


@pytest.mark.parametrize("norm", ["layer", "rms"])
def test_norms(norm):
    inside, xs = LSTM(5, 4), 3 + 2 * sequence(5)
    params = inside.init(KEY)

    def by_hand(a):
        a = a - a.mean(axis=1, keepdims=True) if norm == "layer" else a
        return 2 * a / np.sqrt(np.mean(a**2, axis=1, keepdims=True) + 1e-5) + 0.5

    out, into = LayerNorm(inside, norm), InputNorm(inside, norm)
    learned = [cell.init(KEY)._replace(cell=params) for cell in (out, into)]
    learned = [p._replace(gain=2 * p.gain, bias=p.bias + 0.5) for p in learned]
    same(rnnx.scan(out, learned[0], xs)[1], by_hand(np.asarray(rnnx.scan(inside, params, xs)[1])))
    same(rnnx.scan(into, learned[1], xs)[1], rnnx.scan(inside, params, by_hand(np.asarray(xs)))[1])


# ------------------------------------------------------------------------------------------------- stacks


def test_a_stack_is_its_layers_one_after_the_other():
    stack = Stack((LSTM(3, 5), Zoneout(GRU(5, 4), (0.3,)), Readout(Elman(4, 6), 2)))
    params, xs = stack.init(KEY), sequence(3)
    final, ys = rnnx.scan(stack, params, xs)
    through, ends = xs, []
    for layer, p in stack.layers(params):
        end, through = rnnx.scan(layer, p, through)
        ends.append(end)
    same((final, ys), (tuple(ends), through))
    assert (stack.inputs, stack.outputs) == (3, 2)
    assert powers(stack) == ("factored",)


# ------------------------------------------------------------------------------------------------- dtypes


def test_precision_by_policy():
    cell = Precision(LSTM(3, 4), "float32", "bfloat16", "float32")
    params, xs = cell.init(KEY), sequence(3)
    final, ys = rnnx.scan(cell, params, xs.astype("bfloat16"))
    assert {a.dtype.name for a in jax.tree.leaves(params)} == {"float32"}
    assert {a.dtype.name for a in jax.tree.leaves(final)} == {"float32"} and ys.dtype == "bfloat16"
    gradient = jax.grad(lambda p: jnp.sum(rnnx.scan(cell, p, xs.astype("bfloat16"))[1].astype("float32")))(params)
    assert {a.dtype.name for a in jax.tree.leaves(gradient)} == {"float32"}
    exact = rnnx.scan(LSTM(3, 4), jax.tree.map(lambda a: a.astype("float64"), params.cell), xs)[1]
    assert 1e-5 < np.max(np.abs(exact - np.asarray(ys, np.float64))) < 2e-2


@pytest.mark.parametrize(
    "params, compute, state", [("float64",) * 3, ("float32",) * 3, ("float64", "float32", "float64")]
)
def test_no_dtype_leaks(params, compute, state):
    """Every operation of the step stays in the dtypes named."""
    cell = Precision(GRU(3, 4), params, compute, state)
    made = cell.init(KEY)
    weights = cell.prepare(made)
    traced = jax.make_jaxpr(cell.step)(weights, cell.initial_state(weights), jnp.ones(3, compute))
    seen = {
        v.aval.dtype.name for e in traced.jaxpr.eqns for v in e.outvars if jnp.issubdtype(v.aval.dtype, jnp.floating)
    }
    assert seen <= {compute, state}
    assert {a.dtype.name for a in jax.tree.leaves(made)} == {params}


def test_sums_that_run_through_time_are_not_rounded():
    """c grows by a thousandth a step for a thousand steps; a carry of bfloat16 (control) stops at a half."""
    inside = LSTM(1, 1)
    params = jax.tree.map(jnp.zeros_like, inside.init(KEY))
    params = params._replace(b=jnp.array([[50.0], [50.0], [np.arctanh(1e-3)], [0.0]]))
    xs = jnp.zeros((1000, 1), "bfloat16")
    ends = {}
    for state in ("float32", "bfloat16"):
        cell = Precision(inside, "float32", "bfloat16", state)
        given = Params(jax.tree.map(lambda a: a.astype("float32"), params))
        ends[state] = float(rnnx.scan(cell, given, xs)[0].c[0])
    assert abs(ends["float32"] - 1) < 0.01 and ends["bfloat16"] <= 0.5


# ------------------------------------------------------------------------------------------------- bad input

BAD = [
    (lambda: Zoneout(LSTM(3, 4), (0.1,)), "write a tuple of 2"),
    (lambda: Zoneout(LSTM(3, 4), (0.1, 2.0)), "numbers from 0 to 1"),
    (lambda: Dropout(LSTM(3, 4), 1.0), "Dropout.inputs_rate got 1.0"),
    (lambda: Dropout(LSTM(3, 4), 0.0, -0.1), "Dropout.recurrent_rate got -0.1"),
    (lambda: DropConnect(LSTM(3, 4), leaf="w_hh"), "write one of w_x, w_h, b"),
    (lambda: Residual(LSTM(3, 4)), "3 inputs and 4 outputs"),
    (lambda: Highway(LSTM(3, 4)), "3 inputs and 4 outputs"),
    (lambda: Highway(LSTM(4, 4), input_init="glorot"), "Highway.input_init"),
    (lambda: LayerNorm(LSTM(3, 4), "batch"), "LayerNorm.norm"),
    (lambda: InputNorm(LSTM(3, 4), epsilon=0.0), "above 0"),
    (lambda: Stack(()), "a tuple of cells"),
    (lambda: Stack((LSTM(3, 4), GRU(3, 4))), "give it inputs=4"),
    (lambda: Precision(LSTM(3, 4), compute="float8"), "Precision.compute"),
]


@pytest.mark.parametrize("make, says", BAD)
def test_bad_input(make, says):
    with pytest.raises(ValueError) as error:
        make()
    assert says in str(error.value) and "\n" not in str(error.value) and "got" in str(error.value)
