"""Gradient flow against a loop written out: every field, padding, states, cells of any form."""

import math
from functools import partial
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
import options
import pytest

from rnnx import diagnostics
from rnnx.cells import CELLS, Readout
from rnnx.types import Example, cell

T, B, D, N = 5, 3, 2, 3
RTOL = 1e-10
QUICK = {"xla_backend_optimization_level": "0"}  # compiles in a fifth of the time
flow = jax.jit(diagnostics.flow, static_argnames=("cell", "loss"), compiler_options=QUICK)


# ------------------------------------------------------------------------- the definition, written out


@partial(jax.jit, static_argnames=("net", "loss"), compiler_options=QUICK)
def written(net, params, batch, loss, states=None):
    """(losses [B], dL/d(params, eps, xs) by example), where eps_t is a zero added to every carried state."""

    def run(params, eps, xs, example, state):
        weights = net.prepare(params)
        state = net.initial_state(weights) if state is None else state
        total = jnp.zeros(())
        for t in range(T):
            real = t < example.length
            x, e, target = jax.tree.map(lambda a, t=t, real=real: jnp.where(real, a[t], 0), (xs, eps, example.targets))
            after = jax.tree.map(jnp.add, net.step(weights, state, x)[0], e)
            state = jax.tree.map(lambda a, b, real=real: jnp.where(real, a, b), after, state)
            total += jnp.where(real, example.weights[t] * loss(net.readout(weights, state, x), target), 0)
        return total

    like = jax.eval_shape(lambda: net.initial_state(net.prepare(params)))
    eps = jax.tree.map(lambda a: jnp.zeros((T, *a.shape)), like)
    gradients = jax.value_and_grad(run, (0, 1, 2))
    return jax.vmap(gradients, (None, None, 0, 0, 0))(params, eps, batch.xs, batch, states)


def case(tree: Any, b: int) -> Any:
    return jax.tree.map(lambda a: a[b], tree)


def norm(tree: Any) -> float:
    return math.sqrt(sum(np.sum(np.square(np.asarray(leaf))) for leaf in jax.tree.leaves(tree)))


def mean(trees: list) -> Any:
    return jax.tree.map(lambda *leaves: sum(leaves) / len(leaves), *trees)


def curve(gradients: list, lengths: tuple) -> tuple[list, list]:
    """(mean of norms, norm of mean) by lag, over the examples that reach it; NaN where none does."""
    lags = [
        [case(g, length - 1 - k) for g, length in zip(gradients, lengths, strict=True) if k < length] for k in range(T)
    ]
    return (
        [np.mean([norm(g) for g in at]) if at else np.nan for at in lags],
        [norm(mean(at)) if at else np.nan for at in lags],
    )


def assert_curve(got: Any, gradients: list, lengths: tuple) -> None:
    for points, expected in zip(got, curve(gradients, lengths), strict=True):
        np.testing.assert_allclose(10**points, expected, rtol=RTOL)


def assert_flow(net, params, batch, loss, lengths=(T,) * B, states=None):
    """`flow` says what the written-out loop says, in every field."""
    got = flow(net, params, batch, loss, states)
    counted = batch._replace(length=jnp.asarray(lengths))
    losses, gradients = jax.tree.map(np.asarray, written(net, params, counted, loss, states))
    by_params, by_state, by_xs = ([case(tree, b) for b in range(B)] for tree in gradients)
    np.testing.assert_allclose(got.loss, np.mean(losses), rtol=1e-12)
    assert_curve(got.state, by_state, lengths)
    assert_curve(got.inputs, by_xs, lengths)
    leaves = list(zip(*(jax.tree.leaves(tree) for tree in by_state), strict=True))
    curves = jax.tree.leaves(got.leaves, is_leaf=lambda node: hasattr(node, "of_mean"))
    for points, leaf in zip(curves, leaves, strict=True):
        assert_curve(points, list(leaf), lengths)
    average = mean(by_params)
    assert jax.tree.structure(got.params) == jax.tree.structure(average)
    blocks = [norm(leaf) for leaf in jax.tree.leaves(average)]
    np.testing.assert_allclose([10**block for block in jax.tree.leaves(got.params)], blocks, rtol=RTOL)
    np.testing.assert_allclose(10**got.params_total, norm(average), rtol=RTOL)
    return got


def drawn(tree: Any, seed: int, lead: tuple = ()) -> Any:
    """Normal numbers in the shapes of a pytree."""
    random = np.random.default_rng(seed)
    return jax.tree.map(lambda a: jnp.asarray(random.normal(size=(*lead, *a.shape))), tree)


def problem(net: Any, last: bool = False) -> tuple[Any, Example]:
    """Random parameters, biases too, and a batch whose loss has a different weight at every step."""
    params = drawn(net.init(jax.random.key(0)), 1)
    xs, targets, weights = drawn((jnp.zeros((T, D)), jnp.zeros((T, 2)), jnp.zeros(T)), 2, (B,))
    if last:
        weights = weights.at[:, :-1].set(0)
    return params, Example(xs, targets, weights)


def square(y, target):
    return jnp.sum(jnp.square(y - target))


NETS = {name: Readout(make(D, N), 2) for name, make in CELLS.items()}
NET = NETS["lstm"]  # a state of two leaves
each = pytest.mark.parametrize("name", options.one_of_each_room())


@pytest.mark.parametrize("last", [False, True], ids=["every-step", "last-step"])
@each
def test_every_field_equals_the_written_out_gradient(name, last):
    """The reverse pass is written by hand; JAX's own differentiation is the definition it must meet."""
    net = NETS[name]
    params, batch = problem(net, last)
    got = assert_flow(net, params, batch, square)
    if last and name == "fastweights":  # its state is a plain sum: what is lost at the end has one gradient at all lags
        assert np.ptp(got.state.mean) < 1e-12
        return
    # The control: a curve off by one lag is another curve, to what `assert_curve` forgives. A percent would ask too
    # much of the antisymmetric cells: theirs is to keep the gradient, and it moves by half of one in five steps.
    shifted = jnp.roll(10**got.state.mean, 1)
    assert not np.allclose(shifted, 10**got.state.mean, rtol=1000 * RTOL, atol=0)


@each
def test_padding_is_not_seen_and_lags_count_from_each_end(name):
    """Studies have examples of different lengths: lag 0 is each one's own last step, and NaN beyond it is harmless."""
    net = NETS[name]
    params, batch = problem(net)
    lengths = (4, 2, 0)
    padded = jnp.asarray(np.arange(T) >= np.array(lengths)[:, None])
    xs, targets = (jnp.where(padded[..., None], jnp.nan, a) for a in (batch.xs, batch.targets))
    batch = Example(xs, targets, batch.weights, jnp.asarray(lengths))
    got = assert_flow(net, params, batch, square, lengths)
    for points in (*got.state, *got.inputs):
        assert np.isfinite(points[:4]).all() and np.isnan(points[4:]).all()


def test_states_given_take_the_place_of_the_initial_state():
    """A batch may go on from where another ended."""
    params, batch = problem(NET)
    states = drawn(jax.eval_shape(NET.initial_state, params), 3, (B,))
    got = assert_flow(NET, params, batch, square, states=states)
    assert not np.allclose(got.loss, flow(NET, params, batch, square).loss)


# ------------------------------------------------------------------- cells that need more than CELLS do


class Learned(NamedTuple):
    first: Any  # [N]
    root: Any  # [N, N]
    rate: Any  # [N]


@cell
class Cumbersome:
    """A learned, transformed start; weights unlike the parameters; a state and an input that are pytrees."""

    inputs: int
    units: int

    @property
    def outputs(self):
        return self.units

    def init(self, key):
        return Learned(jnp.zeros(self.units), jnp.zeros((self.units, self.units)), jnp.zeros(self.units))

    def prepare(self, params):
        return {"skew": params.root - params.root.T, "first": params.first, "rest": params}

    def initial_state(self, weights):
        return jnp.tanh(weights["first"]), jnp.exp(weights["rest"].rate)

    def step(self, weights, state, x):
        (h, c), (x, dt) = state, x
        h = jnp.tanh(weights["skew"] @ h + x * c)
        state = h, c * jnp.exp(-dt * jnp.square(weights["rest"].rate)) + h
        return state, self.readout(weights, state, x)

    def readout(self, weights, state, x):
        x = x[0] if isinstance(x, tuple) else x
        return state[0] * x + state[1] * weights["rest"].rate


def test_a_learned_start_and_a_prepare_have_their_gradients():
    """The gradient goes back through `initial_state` and `prepare`, once, to the parameters as they are stored."""
    net = Cumbersome(N, N)
    params = drawn(net.init(jax.random.key(0)), 4)
    xs, targets, weights = drawn(((jnp.zeros((T, N)), jnp.zeros(T)), jnp.zeros((T, N)), jnp.zeros(T)), 5, (B,))
    batch = Example(xs, targets, weights)
    got = assert_flow(net, params, batch, square)
    assert np.isfinite(got.params.first)
    with_states = jax.vmap(lambda _: net.initial_state(net.prepare(params)))(jnp.arange(B))
    given = assert_flow(net, params, batch, square, states=with_states)
    assert np.isneginf(given.params.first)  # a start that is given is not learned
    assert abs(given.params.root - got.params.root) < 1e-12 < abs(given.params.rate - got.params.rate)


# ------------------------------------------------------------------------------------ what may go wrong


def test_equal_examples_are_one():
    """A mean over equal examples is the example: the exponents of a batch are brought together right."""
    params, batch = problem(NET)
    one = jax.tree.map(lambda a: a[:1], batch)
    three = jax.tree.map(lambda a: jnp.repeat(a[:1], B, axis=0), batch)
    for got, want in zip(*(jax.tree.leaves(flow(NET, params, b, square)) for b in (three, one)), strict=True):
        np.testing.assert_allclose(got, want, atol=1e-12)


def test_a_nan_spoils_only_the_lags_its_example_reaches():
    """Examples are independent: a broken short one leaves the longer lags of the others as they are."""
    params, batch = problem(NET)
    batch = batch._replace(length=jnp.array([2, T, T]))
    broken = batch._replace(xs=batch.xs.at[0, 0].set(jnp.nan))
    got, want = flow(NET, params, broken, square), flow(NET, params, batch, square)
    for points, sound in zip((*got.state, *got.inputs), (*want.state, *want.inputs), strict=True):
        assert np.isnan(points[:2]).all()
        np.testing.assert_array_equal(points[2:], sound[2:])
    assert np.isnan(got.loss) and np.isnan(got.params_total)
    assert np.isfinite(want.loss) and np.isfinite(want.params_total)


def test_zero_loss_is_an_exact_zero():
    """-inf says zero, and is not NaN."""
    params, batch = problem(NET)
    got = flow(NET, params, batch._replace(weights=jnp.zeros((B, T))), square)
    assert all(np.isneginf(leaf).all() for leaf in jax.tree.leaves(got._replace(loss=-jnp.inf)))


def test_a_cell_without_readout_is_told_what_to_add():
    """The definition needs y as a function of the state alone."""

    @cell
    class Bare:
        inputs: int

    _, batch = problem(NET)
    with pytest.raises(TypeError, match=r"^flow: .*Bare\(inputs=2\) gives no readout.*; add it, y as a function.*$"):
        diagnostics.flow(Bare(2), None, batch, square)


def test_whole_numbers_have_no_gradient():
    """Symbols must be one-hot or embedded before a gradient can be asked of them."""
    params, batch = problem(NET)
    with pytest.raises(TypeError, match=r"^flow: xs holds whole numbers.*; give them one-hot or embedded$"):
        diagnostics.flow(NET, params, batch._replace(xs=batch.xs.astype(int)), square)
