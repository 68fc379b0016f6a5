"""A law that nothing can break proves nothing: for each law, cells or scans that are wrong and must be caught."""

import jax
import jax.numpy as jnp
import pytest
from jax.custom_batching import custom_vmap

import rnnx
from rnnx.cells import Elman
from rnnx.scans import Sequential
from rnnx.testing import LAWS, Subject
from rnnx.types import cell

# ------------------------------------------------------------------------------------------- wrong cells


@cell
class ByIdentity(Elman):
    """Equal to nothing but itself."""

    __eq__ = object.__eq__
    __hash__ = object.__hash__


@cell
class Restless(Elman):
    """Draws something else each time it is asked."""

    def init(self, key):
        DRAWN.append(key)
        return super().init(jax.random.fold_in(key, len(DRAWN)))


DRAWN = []


class Leafy(Elman):
    """A pytree with a leaf, so that its field would be traced."""


jax.tree_util.register_dataclass(
    Leafy, ["units"], ["inputs", "nonlinearity", "recurrent_init", "input_init", "bias_init"]
)


@cell
class Halved(Elman):
    """Its step does what its parts do not."""

    def step(self, weights, state, x):
        new, y = super().step(weights, state, x)
        return new / 2, y / 2


@cell
class Stale(Elman):
    """Its output is that of the state before the step."""

    def step(self, weights, state, x):
        return super().step(weights, state, x)[0], state


@cell
class Transposed(Elman):
    """Hands over another matrix than the one it uses."""

    def recurrent(self, weights):
        return super().recurrent(weights)._replace(matrix=weights.w_h.swapaxes(0, 2))


@cell
class Mixing(Elman):
    """Its update lets each unit see its neighbours."""

    def update(self, weights, h, u, v):
        return jnp.cumsum(super().update(weights, h, u, v))


@cell
class Turned(Elman):
    """Its coefficients multiply from the wrong side."""

    def coefficients(self, weights, x):
        a, b = super().coefficients(weights, x)
        return a.T, b


# ------------------------------------------------------------------------------------------- wrong scans


def late(cell, params, xs, state=None, *, resets=None, **how):
    """Every reset comes one step too late."""
    if resets is not None:
        resets = jnp.concatenate([jnp.zeros_like(resets[:1]), resets[:-1]])
    return rnnx.scan(cell, params, xs, state, resets=resets, **how)


def crossing(cell, params, xs, state=None, **how):
    """In a batch, each sequence sees the mean of all."""
    return rnnx.scan(cell, params, xs + seen(jax.lax.stop_gradient(xs)), state, **how)


@custom_vmap
def seen(xs):
    return jnp.zeros_like(xs)


@seen.def_vmap
def _seen_by_all(size, batched, xs):
    return jnp.broadcast_to(jnp.mean(xs, axis=0), xs.shape), batched[0]


def forgetful(cell, params, xs, state=None, **how):
    """The state given is dropped."""
    return rnnx.scan(cell, params, xs, **how)


def foreseeing(cell, params, xs, state=None, **how):
    """Each step sees the input after its own, too."""
    return rnnx.scan(cell, params, xs + jnp.concatenate([xs[1:], xs[:1]]), state, **how)


def talkative(cell, params, xs, state=None, *, length=None, **how):
    """Stops the state at the length, but goes on to put out."""
    final, _ = rnnx.scan(cell, params, xs, state, length=length, **how)
    return final, rnnx.scan(cell, params, xs, state, **how)[1]


def overrunning(cell, params, xs, state=None, *, length=None, **how):
    """Outputs stop at the length, but the state goes on."""
    final, _ = rnnx.scan(cell, params, xs, state, **how)
    return final, rnnx.scan(cell, params, xs, state, length=length, **how)[1]


def dirty(cell, params, xs, state=None, *, resets=None, length=None, reverse=False, method=None):
    """Right values, but the cell sees the padding, and so does the gradient."""
    how = {"starts": None, "valid": jnp.arange(len(xs)) < length, "reverse": reverse, "keep": rnnx.scans.door.outputs}
    return Sequential().run(cell, cell.prepare(params), xs, state, **how)


def multiplying(cell, params, xs, state=None, *, resets=None, **how):
    """Resets its first state by a product."""
    state = jax.tree.map(lambda leaf: leaf * (1 - resets[0].astype(leaf.dtype)), state)
    return rnnx.scan(cell, params, xs, state, resets=resets.at[0].set(False), **how)


def backwards(cell, params, xs, state=None, *, reverse=False, **how):
    """Puts the outputs in the order in which they were made."""
    final, ys = rnnx.scan(cell, params, xs, state, reverse=reverse, **how)
    return final, ys[::-1] if reverse else ys


GOOD = Elman(3, 4)

# (the law, who breaks it, what the law must say)
CONTROLS = [
    ("interface", Subject(ByIdentity(3, 4)), None),
    ("interface", Subject(Restless(3, 4)), "pure function"),
    ("interface", Subject(Leafy(3, 4)), "leaves"),
    ("parts", Subject(Halved(3, 4)), "step is not"),
    ("parts", Subject(Stale(3, 4)), "output is not readout"),
    ("recurrence", Subject(Transposed(3, 4)), "differs"),
    ("recurrence", Subject(Mixing(3, 4)), "cumsum"),
    ("affinity", Subject(Turned(3, 4, "identity")), "differs"),
    ("loop", Subject(GOOD, scan=late), "differs"),
    ("batch", Subject(GOOD, scan=crossing), "differs"),
    ("split", Subject(GOOD, scan=forgetful), "differs"),
    ("causality", Subject(GOOD, scan=foreseeing), "must not see"),
    ("fresh_start", Subject(GOOD, scan=late), "differs"),
    ("truncation", Subject(GOOD, scan=talkative), "not zero"),
    ("truncation", Subject(GOOD, scan=overrunning), "differs"),
    ("padding", Subject(GOOD, scan=dirty), "NaN"),
    ("infinity", Subject(GOOD, scan=multiplying), "infinity"),
    ("reversal", Subject(GOOD, scan=backwards), "differs"),
    ("one_trace", Subject(ByIdentity(3, 4)), "traced again"),
]


@pytest.mark.parametrize("law, broken, says", CONTROLS, ids=[f"{law}-{i}" for i, (law, _, _) in enumerate(CONTROLS)])
def test_control_is_caught(law, broken, says):
    with pytest.raises(AssertionError, match=says):
        LAWS[law](broken)


def test_every_law_has_a_control():
    assert {law for law, _, _ in CONTROLS} == set(LAWS)
