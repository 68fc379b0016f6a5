"""Checkpointed against Sequential: the same numbers and derivatives, and what they cost in memory."""

from dataclasses import dataclass
from functools import partial

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import rnnx
from rnnx.cells import LSTM, Elman
from rnnx.scans import Sequential
from rnnx.scans.checkpointed import Checkpointed
from rnnx.scans.deferred import Deferred
from rnnx.types import cell

D, N = 2, 3


@cell
class Plain(LSTM):
    """A cell that gives its step alone."""

    powers = ()


MEMORY, ELMAN, PLAIN = LSTM(D, N), Elman(D, N), Plain(D, N)


def both(state, y):
    return state, y


def close(got, want):
    for a, b in zip(jax.tree.leaves(got), jax.tree.leaves(want), strict=True):
        np.testing.assert_allclose(a, b, rtol=0, atol=1e-12 * max(1.0, np.max(np.abs(b), initial=0)))


def point(cell, steps):
    """(params, xs, state) and a direction to go from there."""
    draws = np.random.default_rng(steps)
    params = cell.init(jax.random.key(0))
    state = jax.tree.map(lambda a: a + 0.3, cell.initial_state(cell.prepare(params)))
    point = params, jnp.asarray(draws.normal(size=(steps, D))), state
    return point, jax.tree.map(lambda a: jnp.asarray(draws.normal(size=a.shape)), point)


def number(cell, method, point, **how):
    """One number made of everything that comes out, and what came out."""
    params, xs, state = point
    out = rnnx.scan(cell, params, xs, state, keep=both, method=method, **how)
    return sum(jnp.sum(jnp.sin(leaf + i)) for i, leaf in enumerate(jax.tree.leaves(out))), out


def first(cell, method, point, resets, length, reverse):
    how = {"resets": resets, "length": length, "reverse": reverse}
    return jax.value_and_grad(lambda p: number(cell, method, p, **how), has_aux=True)(point)


def second(cell, method, point, direction, **how):
    """Forward mode, and forward mode of the gradient."""

    def loss(point):
        return number(cell, method, point, **how)[0]

    return jax.jvp(jax.value_and_grad(loss), (point,), (direction,))


def quick(function, *static):
    """Compiled without optimisation."""
    return jax.jit(function, static_argnames=static, compiler_options={"xla_backend_optimization_level": 0})


FIRST = quick(first, "cell", "method", "reverse")
SECOND = quick(second, "cell", "method")


def label(value):
    """Without the fields that are as usual."""
    if isinstance(value, Checkpointed):
        return f"levels={value.levels},states={value.states},inner={type(value.inner).__name__}"
    return str(value) if isinstance(value, int) else type(value).__name__


CASES = [(MEMORY, Checkpointed(), steps, False) for steps in (0, 1, 2, 7, 16)]
CASES += [(MEMORY, Checkpointed(), steps, True) for steps in (7, 17)]
CASES += [(PLAIN, Checkpointed(), 7, False)]
CASES += [(ELMAN, Checkpointed(3), 17, True), (ELMAN, Checkpointed(4), 12, False)]


@pytest.mark.parametrize("cell, method, steps, reverse", CASES, ids=label)
def test_values_and_gradients(cell, method, steps, reverse):
    """With resets at odd places, and lengths at and between the edges of chunks."""
    start, _ = point(cell, steps)
    resets = np.arange(steps) % 5 == 3
    for length in {0, 1, steps // 2, steps - 1, steps} & set(range(steps + 1)):
        args = start, resets, np.array(length), reverse
        close(FIRST(cell, method, *args), FIRST(cell, Sequential(), *args))


@pytest.mark.parametrize(
    "cell, method",
    [(MEMORY, Checkpointed()), (MEMORY, Checkpointed(inner=Deferred())), (ELMAN, Checkpointed(3))],
    ids=label,
)
def test_second_derivatives(cell, method):
    how = {"resets": np.arange(7) == 2, "length": np.array(6)}
    close(SECOND(cell, method, *point(cell, 7), **how), SECOND(cell, Sequential(), *point(cell, 7), **how))


def test_batches_and_seeds():
    """The gradient of a batch and the gradients of its examples, for two seeds at once."""
    cell, steps = ELMAN, 5
    seeds = jax.vmap(cell.init)(jax.random.split(jax.random.key(1), 2))
    batch = np.random.default_rng(1).normal(size=(3, steps, D))

    def derivatives(method, params):
        def one(params, xs):
            return jnp.sum(jnp.sin(rnnx.scan(cell, params, xs, method=method)[1]))

        def mean(params):
            return jnp.mean(jax.vmap(one, (None, 0))(params, batch))

        return jax.grad(mean)(params), jax.vmap(jax.grad(one), (None, 0))(params, batch)

    got, want = (quick(jax.vmap(partial(derivatives, method)))(seeds) for method in (Checkpointed(), Sequential()))
    close(got, want)
    close(jax.tree.map(lambda a: a.mean(1), got[1]), got[0])


# -------------------------------------------------------------------------------------------------- budgets


def test_a_budget_is_kept_by_the_fewest_levels():
    for steps in (0, 1, 2, 7, 100, 1021, 1024, 100_000):
        for states in (4, 10, 20, 36, 40, 64, 100, 1024, 10**6):
            try:
                levels, c = Checkpointed(states=states)._plan(steps)
            except ValueError as error:
                least = int(str(error).split("write ")[1].split(" ")[0])
                assert states < least
                levels, c = Checkpointed(states=least)._plan(steps)
                assert levels * c == least and c**levels >= steps
            else:
                assert levels * c <= states and c**levels >= steps
                fewer = Checkpointed(levels - 1)._plan(steps)[1] if levels > 1 else None
                assert fewer is None or (levels - 1) * fewer > states


def test_two_levels_are_of_sqrt_t_steps():
    assert [Checkpointed()._plan(steps) for steps in (0, 1, 2, 1021, 1024)] == [(2, c) for c in (1, 1, 2, 32, 32)]
    assert Checkpointed()._plan(1000) == (2, 40)  # nothing is left over


@pytest.mark.parametrize(
    "wrong, says",
    [
        ({"levels": 0}, "levels got 0; write a whole number"),
        ({"levels": 2.0}, "levels got 2.0; write a whole number"),
        ({"states": -1}, "states got -1; write a whole number"),
        ({"levels": 2, "states": 9}, "got levels=2 and states=9; write one of them"),
        ({"inner": "deferred"}, "inner got 'deferred'; write a method such as Sequential()"),
    ],
)
def test_refused(wrong, says):
    with pytest.raises(ValueError) as error:
        Checkpointed(**wrong)
    assert f"Checkpointed.{says}" in str(error.value).replace("Checkpointed got", "Checkpointed.got")
    assert "\n" not in str(error.value)


def test_an_impossible_budget_is_refused():
    start, _ = point(MEMORY, 100)
    with pytest.raises(ValueError, match="states got 5 for 100 steps; write 14 or more"):
        number(MEMORY, Checkpointed(states=5), start)


@dataclass(frozen=True)
class Choosy:
    """A method that takes nothing."""

    def refuses(self, cell):
        return "it has a bad day"


def test_it_takes_what_inner_takes():
    assert Checkpointed().refuses(PLAIN) is None
    with pytest.raises(NotImplementedError, match="cannot take LSTM.*: it has a bad day"):
        number(MEMORY, Checkpointed(inner=Choosy()), point(MEMORY, 2)[0])


# --------------------------------------------------------------------------------------------------- memory


def temporaries(method, batch, steps, units):
    """Bytes of them in the gradient of a loss of all outputs of an LSTM, in float32; nothing is run."""
    cell = LSTM(units, units)

    def loss(params, xs):
        _, ys = jax.vmap(lambda xs: rnnx.scan(cell, params, xs, method=method))(xs)
        return jnp.mean(ys**2)

    shapes = jax.eval_shape(cell.init, jax.random.key(0)), jax.ShapeDtypeStruct((batch, steps, units), float)
    given = jax.tree.map(lambda a: jax.ShapeDtypeStruct(a.shape, jnp.float32), shapes)
    compiled = jax.jit(jax.value_and_grad(loss)).lower(*given).compile()
    return compiled.memory_analysis().temp_size_in_bytes


def test_memory():
    """Two levels hold a fifth of what is held without; one level, as a control, all of it."""
    plain = temporaries(Sequential(), 16, 1024, 128)
    assert temporaries(Checkpointed(), 16, 1024, 128) <= 0.2 * plain
    assert temporaries(Checkpointed(1), 16, 1024, 128) >= 0.99 * plain


def test_a_hundred_thousand_steps_fit():
    """Into 1 GB, of which the outputs and their cotangents are 0.2; not without."""
    assert temporaries(Checkpointed(states=150), 4, 100_000, 64) < 0.4e9
    assert temporaries(Sequential(), 4, 100_000, 64) > 1e9
