"""The laws of the house. Each takes a `Subject` and raises AssertionError where it is broken."""

import dataclasses
import functools
import pickle
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from rnnx.cells import CELLS, WRAPPERS, from_json, to_json
from rnnx.testing.subject import CASES, STEPS, Subject
from rnnx.types import apply, elementwise, powers

# ------------------------------------------------------------------------------------- laws of one step


def interface(subject: Subject) -> None:
    """A cell prints, hashes, compares, pickles; holds no arrays; makes real, inexact parameters."""
    cell = subject.cell
    assert jax.tree.leaves(cell) == [], "a cell has no leaves: register its class with @rnnx.types.cell"
    assert pickle.loads(pickle.dumps(cell)) == cell and hash(pickle.loads(pickle.dumps(cell))) == hash(cell)
    if type(cell) in (CELLS | WRAPPERS).values():
        assert from_json(to_json(cell)) == cell
    assert isinstance(cell.inputs, int) and isinstance(cell.outputs, int)
    for leaf in jax.tree.leaves(subject.params):
        assert jnp.issubdtype(leaf.dtype, jnp.floating), f"init makes {leaf.dtype}; parameters are real arrays"
    told = [jax.make_jaxpr(lambda key: cell.init(key))(jax.random.key(subject.seed)) for _ in range(2)]
    assert str(told[0]) == str(told[1]) and _same(told[0].consts, told[1].consts), (
        "init is not a pure function of its key"
    )


def parts(subject: Subject) -> None:
    """`step` equals its parts in a row, and its output is `readout` of the new state, bit for bit."""
    cell, factored = subject.cell, "factored" in powers(subject.cell)

    def both(weights, state, x):
        after, y = cell.step(weights, state, x)
        told = cell.update(weights, state, cell.drive(weights, x), cell.recur(weights, state)) if factored else after
        return after, y, told, cell.readout(weights, after, x)

    after, y, told, read = subject.jit(both)(subject.weights, _case(subject.states, 0), subject.dress(subject.xs[0, 0]))
    assert _same(read, y), "the output is not readout(weights, new state, x)"
    assert y.shape == (cell.outputs,), f"the output is {list(y.shape)}, outputs says [{cell.outputs}]"
    assert _same(told, after), "step is not update(drive, recur)"


def recurrence(subject: Subject) -> None:
    """A Pointwise cell's `recur` is the product with `recurrent`, and its `update` acts on each unit alone."""
    cell, weights = subject.cell, subject.weights
    if "pointwise" not in powers(cell):
        return
    state = _case(subject.states, 0)
    kind, matrix, leaves = cell.recurrent(weights)
    h = jnp.concatenate([jax.tree.leaves(state)[i] for i in leaves])
    product = {
        "dense": lambda: jnp.einsum("m,mgn->gn", h, matrix),
        "diagonal": lambda: h[None] * matrix,
        "heads": lambda: jnp.einsum("hm,hmgn->ghn", h.reshape(matrix.shape[:2]), matrix).reshape(matrix.shape[2], -1),
    }[kind]()
    _close(subject, cell.recur(weights, state), product)
    reason = elementwise(cell, subject.dress(subject.xs[0, 0]))
    assert reason is None, reason


def affinity(subject: Subject) -> None:
    """An Affine cell's new state is A h + b with its `coefficients`."""
    cell, weights = subject.cell, subject.weights
    if "affine" in powers(cell):
        state, x = _case(subject.states, 0), subject.dress(subject.xs[0, 0])

        def both(weights, state, x):
            a, b = cell.coefficients(weights, x)
            return cell.step(weights, state, x)[0], jax.tree.map(jnp.add, apply(cell.kind, a, state), b)

        _close(subject, *subject.jit(both)(weights, state, x))


# ------------------------------------------------------------------------------------ laws through time


def loop(subject: Subject) -> None:
    """Any mixture of resets and lengths follows the rules written out, both ways: values and gradients."""
    resets = np.random.default_rng(subject.seed + 2).random((CASES, STEPS)) < 0.3
    length = np.arange(CASES)
    data = (subject.xs, subject.states, resets, length)
    for reverse in (False, True):
        got = subject.run(*data, reverse), subject.gradient(*data, reverse)
        _close(subject, got, subject.written(subject.params, *data, reverse))


def batch(subject: Subject) -> None:
    """A batch equals its sequences one by one."""
    finals, ys = subject.run(subject.xs, subject.states)
    single = subject.jit(subject.take)
    for i in range(CASES):
        one = single(subject.params, subject.xs[i], _case(subject.states, i))
        _close(subject, one, (_case(finals, i), ys[i]))


def split(subject: Subject) -> None:
    """Running k steps and then the rest, from the state reached, equals running all of them; any k."""
    cut = np.arange(CASES)
    final, ys = subject.run(subject.xs, subject.states)
    middle, first = subject.run(subject.xs, subject.states, length=cut)
    end, rest = subject.run(_rolled(subject.xs, cut), middle, length=STEPS - cut)
    _close(subject, end, final)
    _close(subject, first + _rolled(rest, -cut), ys)


def causality(subject: Subject) -> None:
    """Inputs from step k on change nothing before it, bit for bit; under reverse, nothing after.

    To rounding by a method that iterates on the whole trajectory.
    """
    cut = np.arange(CASES)[:, None]
    time = _time()
    for reverse in (False, True):
        seen = time > cut if reverse else time < cut
        other = np.where(seen[..., None], subject.xs, 3 - 2 * subject.xs)
        _, ys = subject.run(subject.xs, subject.states, reverse=reverse)
        _, changed = subject.run(other, subject.states, reverse=reverse)
        unmoved = _same(ys[seen], changed[seen]) if not subject.iterates else _near(subject, ys[seen], changed[seen])
        assert unmoved, "an output changed with an input that it must not see"
        assert not _same(ys[~seen], changed[~seen]), "no output sees its input"


def fresh_start(subject: Subject) -> None:
    """A reset at step k equals two separate runs, both ways."""
    cut = np.arange(CASES)
    resets = _time() == cut[:, None]
    # Forward: the second run starts afresh; reverse: the first one, which is met second.
    final, ys = subject.run(subject.xs, subject.states, resets)
    left_end, left = subject.run(subject.xs, subject.states, length=cut)
    right_end, right = subject.run(_rolled(subject.xs, cut), subject.fresh, length=STEPS - cut)
    _close(subject, ys, left + _rolled(right, -cut))
    _close(subject, final, _choose(cut < STEPS, right_end, left_end))

    final, ys = subject.run(subject.xs, subject.states, resets, reverse=True)
    inner = (cut > 0) & (cut < STEPS)
    right_end, right = subject.run(_rolled(subject.xs, cut), subject.states, length=STEPS - cut, reverse=True)
    begin = _choose(inner, subject.fresh, right_end)
    left_end, left = subject.run(subject.xs, begin, length=cut, reverse=True)
    _close(subject, ys, left + _rolled(right, -cut))
    _close(subject, final, left_end)


def truncation(subject: Subject) -> None:
    """A length equals a shorter sequence: zeros after it, the state of its last step, the state given for 0."""
    length = np.arange(CASES)
    for reverse, n in ((False, STEPS - 2), (True, 0)):
        final, ys = subject.run(subject.xs, subject.states, length=length, reverse=reverse)
        short = subject.jit(functools.partial(subject.take, reverse=reverse))
        _close(
            subject, (_case(final, n), ys[n, :n]), short(subject.params, subject.xs[n, :n], _case(subject.states, n))
        )
        for n in range(CASES):
            assert not np.any(ys[n, n:]), "outputs at and after length are not zero"
        assert _same(_case(final, 0), _case(subject.states, 0)), "length 0 does not return the state given"


def padding(subject: Subject) -> None:
    """NaN at and after length reaches no value and no gradient."""
    length = np.arange(CASES)
    padded = (_time() >= length[:, None])[..., None]
    clean, dirty = (np.where(padded, subject.dtype.type(fill), subject.xs) for fill in (0, np.nan))
    for reverse in (False, True):
        for run in (subject.run, subject.gradient):
            got, want = (run(xs, subject.states, length=length, reverse=reverse) for xs in (dirty, clean))
            assert _same(got, want), "NaN in the padding changed something"
        assert not np.any(np.where(padded, got[1], 0)), "padding has a gradient"


def infinity(subject: Subject) -> None:
    """An infinite state does not survive a reset."""
    infinite = jax.tree.map(lambda leaf: np.full_like(leaf, np.inf), subject.states)
    want = subject.run(subject.xs, subject.fresh)
    assert _same(subject.run(subject.xs, infinite, _time() == np.zeros((CASES, 1))), want), "infinity survived a reset"


def reversal(subject: Subject) -> None:
    """Reversing the input, the direction and the output changes nothing."""
    final, ys = subject.run(subject.xs, subject.states)
    back_final, back = subject.run(subject.xs[:, ::-1], subject.states, reverse=True)
    _close(subject, (back_final, back[:, ::-1]), (final, ys))


def one_trace(subject: Subject) -> None:
    """Equal cells share one trace."""
    traces = []

    def keep(state, y):
        traces.append(y)
        return y

    again = dataclasses.replace(subject, cell=pickle.loads(pickle.dumps(subject.cell)))
    subject.take(subject.params, subject.xs[0], keep=keep)
    seen = len(traces)  # one trace may call `keep` more than once
    again.take(subject.params, subject.xs[1], keep=keep)
    assert len(traces) == seen, "an equal cell was traced again: fields must compare and hash by value"


LAWS = {
    law.__name__: law
    for law in (
        interface,
        parts,
        recurrence,
        affinity,
        loop,
        batch,
        split,
        causality,
        fresh_start,
        truncation,
        padding,
        infinity,
        reversal,
        one_trace,
    )
}


# ------------------------------------------------------------------------------------------------ tools


def _time() -> np.ndarray:
    return np.arange(STEPS)[None, :]


def _case(tree: Any, i: int) -> Any:
    return jax.tree.map(lambda leaf: leaf[i], tree)


def _rolled(a: np.ndarray, cut: np.ndarray) -> np.ndarray:
    """Each case moved `cut` steps to the left, around the end."""
    return np.stack([np.roll(row, -n, axis=0) for row, n in zip(a, cut, strict=True)])


def _choose(condition: np.ndarray, yes: Any, no: Any) -> Any:
    """Case by case."""
    return jax.tree.map(lambda a, b: np.where(condition.reshape((-1,) + (1,) * (a.ndim - 1)), a, b), yes, no)


def _same(a: Any, b: Any) -> bool:
    """Equal bit for bit, NaN where NaN."""
    pairs = zip(jax.tree.leaves(a), jax.tree.leaves(b), strict=True)
    return all(np.array_equal(np.asarray(x), np.asarray(y), equal_nan=True) for x, y in pairs)


def _close(subject: Subject, got: Any, want: Any) -> None:
    assert jax.tree.structure(got) == jax.tree.structure(want), "another structure"
    for a, b in zip(jax.tree.leaves(got), jax.tree.leaves(want), strict=True):
        error = _error(a, b)
        assert error <= subject.tolerance, f"differs by {error:.1e}, more than {subject.tolerance:.1e}"


def _near(subject: Subject, a: Any, b: Any) -> bool:
    return _error(a, b) <= subject.tolerance


def _error(a: Any, b: Any) -> float:
    """The largest difference, relative to the largest entry where that is above 1."""
    a, b = np.asarray(a, np.float64), np.asarray(b, np.float64)
    return float(np.max(np.abs(a - b), initial=0) / max(1.0, np.max(np.abs(b), initial=0)))
