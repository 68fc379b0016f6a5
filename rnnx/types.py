"""The words of the house: what a cell is, what it may claim, and the letters its shapes are written in.

Almost every recurrent cell is two maps into its gates and one update:

    u_t = drive(w, x_t)              any function of the input alone
    v_t = recur(w, s_{t-1})          linear in the carried state
    s_t = update(w, s_{t-1}, u_t, v_t)
    y_t = readout(w, s_t, x_t)       never feeds back

Letters, everywhere: T time, D inputs, N units, G gates, O outputs, B batch, K seeds. One name is one
step (`x: [D]`), its plural the sequence (`xs: [T, D]`). Everything is written for one step of one
sequence; `jax.vmap` adds batch and seeds.
"""

import dataclasses
import difflib
import math
from collections.abc import Callable, Iterable
from typing import Any, NamedTuple, Protocol, TypeVar, dataclass_transform

import jax
import jax.numpy as jnp
import numpy as np
from jax import Array

P = TypeVar("P")  # trainable parameters
W = TypeVar("W")  # weights: parameters made ready once per scan
S = TypeVar("S")  # the carried state


class Cell(Protocol[P, W, S]):
    """What happens in one step of one sequence.

    `init` makes trainable arrays only. `prepare` runs once per scan, outside the loop and inside the
    gradient. `step` keeps `lax.scan`'s order, and its output is `readout` of the NEW state: a cell whose
    output needs more than that carries it in its state. A cell may name its `powers`, see `powers`.
    """

    @property
    def inputs(self) -> int: ...
    @property
    def outputs(self) -> int: ...
    def init(self, key: Array) -> P: ...
    def prepare(self, params: P) -> W: ...
    def initial_state(self, weights: W) -> S: ...
    def step(self, weights: W, state: S, x: Any) -> tuple[S, Array]: ...
    def readout(self, weights: W, state: S, x: Any) -> Array: ...


class Factored(Cell[P, W, S], Protocol):
    """A cell that tells its parts: `step` is drive, recur, update and readout in a row."""

    def drive(self, weights: W, x: Any) -> Any: ...
    def recur(self, weights: W, state: S) -> Any: ...
    def update(self, weights: W, state: S, u: Any, v: Any) -> S: ...


class Recurrent(NamedTuple):
    """The recurrent matrix a Pointwise cell hands over: `recur(w, s)` is its product with some leaves of s.

    `matrix` is [M, G, N] when `kind` is "dense", [G, N] when it is "diagonal", and [H, m, G, n] when it is
    "heads": H groups of m rows and n = N / H units of their own. `leaves` are the positions in
    `jax.tree.leaves(state)` whose concatenation, of width M = H m, it multiplies.
    """

    kind: str
    matrix: Array
    leaves: tuple[int, ...]


class Pointwise(Factored[P, W, S], Protocol):
    """A factored cell whose `update` acts on each unit alone; `elementwise` checks the claim."""

    def recurrent(self, weights: W) -> Recurrent: ...


class Affine(Cell[P, W, S], Protocol):
    """A cell with h_t = A(x_t) h_{t-1} + b(x_t): `coefficients` are (A, b), `kind` is how A multiplies."""

    @property
    def kind(self) -> str: ...
    def coefficients(self, weights: W, x: Any) -> tuple[Any, S]: ...


class Masked(NamedTuple):
    """An x with the masks of this step, drawn outside the loop; a bare x is evaluation. Parameters likewise."""

    x: Any
    mask: Any


class Timed(NamedTuple):
    """An x that stands `dt` after the one before it, for cells that know about time."""

    x: Array  # [D]
    dt: Array  # []


def bare(x: Any) -> Array:
    """The input [D] itself, without the masks or the time that came with it."""
    while isinstance(x, (Masked, Timed)):
        x = x.x
    return x


class Example(NamedTuple):
    """One sequence and what is asked of it; a batch is an Example whose leaves carry a leading [B].

    The loss of an example is the sum over t of `weights[t] * loss(y_t, targets[t])`. Steps at and after
    `length` are padding; `None` means that there is none.
    """

    xs: Any  # [T, D]
    targets: Any  # [T, ...]
    weights: Array  # [T]
    length: Array | None = None  # int []

    def scored(self) -> Array:
        """The weights [T], 0 at and after `length`."""
        if self.length is None:
            return self.weights
        time = jnp.arange(self.weights.shape[0])
        return jnp.where(time < self.length.astype(time.dtype), self.weights, jnp.zeros_like(self.weights))


def step_loss(loss: Callable[[Array, Any], Array], y: Array, target: Any, weight: Array) -> Array:
    """weight * loss(y, target); exactly 0, with gradient 0, where the weight is 0, whatever the target holds."""
    scored = weight != 0
    target = jax.tree.map(lambda a: jnp.where(scored, a, jnp.zeros_like(a)), target)
    return jnp.where(scored, weight * loss(y, target), jnp.zeros_like(weight))


def state_of(cell: Any) -> Any:
    """The structure, shapes and dtypes of a cell's state, without computing anything."""
    return jax.eval_shape(lambda: cell.initial_state(cell.prepare(cell.init(jax.random.key(0)))))


def powers(cell: Any) -> tuple[str, ...]:
    """What a cell claims beyond `step`: some of "factored", "pointwise", "affine" (its attribute `powers`)."""
    return tuple(getattr(cell, "powers", ()))


# ---------------------------------------------------------------------------------------- the decorator

C = TypeVar("C")


@dataclass_transform(frozen_default=True)
def static(cls: type[C]) -> type[C]:
    """Make a class a configuration: a frozen dataclass of plain values, static under jit.

    Fields become plain Python on construction; arrays, tracers and non-finite numbers are refused, and every
    whole number named `inputs`, `units` or `outputs` must be at least 1. A `__post_init__` of the class
    runs after that, to check what only it knows. Two equal cells share one trace.
    """
    checks = getattr(cls, "__post_init__", None)

    def __post_init__(self):
        for field in dataclasses.fields(self):
            value = _plain(cls.__name__, field, getattr(self, field.name))
            object.__setattr__(self, field.name, value)
        if checks is not None:
            checks(self)

    cls.__post_init__ = __post_init__  # type: ignore[attr-defined]
    made = dataclasses.dataclass(frozen=True)(cls)
    return jax.tree_util.register_static(made)


cell = static  # by the name under which cells wear it


def _plain(owner: str, field: dataclasses.Field, value: Any) -> Any:
    """`value` as plain Python, or an error that names the field."""
    where = f"{owner}.{field.name}"
    kind = {"int": int, "float": float, "bool": bool, "str": str}.get(
        field.type if isinstance(field.type, str) else getattr(field.type, "__name__", "")
    )
    if isinstance(value, np.generic):
        value = value.item()
    if isinstance(value, (jax.Array, np.ndarray)):
        raise ValueError(
            f"{where} got an array of shape {np.shape(value)}; a configuration holds plain numbers and names: "
            "write a Python value, or put what you sweep into the parameters"
        )
    if isinstance(value, list):
        value = tuple(value)
    if kind is float and type(value) is int:
        value = float(value)
    if kind is not None and type(value) is not kind:
        raise ValueError(f"{where} got {value!r} ({type(value).__name__}); write a value of type {kind.__name__}")
    for number in value if isinstance(value, tuple) else (value,):
        if isinstance(number, float) and not math.isfinite(number):
            raise ValueError(f"{where} got {value}; write a finite number")
    if field.name in ("inputs", "units", "outputs") and type(value) is int and value < 1:
        raise ValueError(f"{where} got {value}; write a whole number of at least 1")
    try:
        hash(value)
    except TypeError:
        raise ValueError(
            f"{where} got {type(value).__name__}, which cannot be hashed; write a number, a name, a cell "
            "or a tuple of these"
        ) from None
    return value


def one_of(what: str, got: str, allowed: Iterable[str]) -> None:
    """Raise a ValueError that names the nearest allowed word unless `got` is one of `allowed`."""
    names = list(allowed)
    if got not in names:
        near = difflib.get_close_matches(str(got), names, 1)
        hint = f"did you mean {near[0]!r}? " if near else ""
        raise ValueError(f"{what} got {got!r}; {hint}write one of {', '.join(names)}")


# ------------------------------------------------------------------------------------------- the claims


def apply(kind: str, a: Any, h: Any) -> Any:
    """A h, for the `kind` of an affine cell.

    "diagonal": a and h are [N]. "pair": a and h are pairs (real, imaginary) of [N]. "block": a [H, n, n]
    acts on the H consecutive groups of n in h [H n]. "dense": a [N, N], one row an output.
    """
    one_of("apply: kind", kind, ("diagonal", "pair", "block", "dense"))
    if kind == "diagonal":
        return a * h
    if kind == "pair":
        (a_re, a_im), (h_re, h_im) = a, h
        return (a_re * h_re - a_im * h_im, a_re * h_im + a_im * h_re)
    if kind == "block":
        return jnp.einsum("hij,hj->hi", a, h.reshape(a.shape[0], a.shape[2])).reshape(h.shape)
    return a @ h


# Primitives that act on each element alone, and the calls whose inside is looked at in turn.
_ELEMENTWISE = frozenset(
    """abs acos acosh add and asin asinh atan atan2 atanh cbrt ceil clamp convert_element_type copy cos cosh
    div eq erf erf_inv erfc exp exp2 expm1 floor ge gt integer_pow is_finite le lgamma log log1p logistic lt
    max min mul ne neg not or pow rem round rsqrt select_n sign sin sinh sqrt square stop_gradient sub tan
    tanh xor""".split()
)
_CALLS = frozenset({"custom_jvp_call", "custom_vjp_call", "jit", "pjit"})


def elementwise(cell: Any, x: Any = None) -> str | None:
    """None if `cell.update` acts on each unit alone, else the reason it does not, naming the primitive.

    `update` is traced with its gates as separate rows of [N]. Each operation must be elementwise, over [N]
    or scalars, so `update` may read only [N] or scalar leaves of the weights. `x` is an example of one step's input,
    where that is more than an array [D].
    """
    weights = jax.eval_shape(lambda: cell.prepare(cell.init(jax.random.key(0))))
    state = jax.eval_shape(cell.initial_state, weights)
    first = jax.tree.leaves(state)[0]
    x = jax.ShapeDtypeStruct((cell.inputs,), first.dtype) if x is None else x
    u, v = jax.eval_shape(cell.drive, weights, x), jax.eval_shape(cell.recur, weights, state)

    def rows(gates):
        return jax.tree.map(lambda a: (jax.ShapeDtypeStruct(a.shape[1:], a.dtype),) * a.shape[0], gates)

    traced = jax.make_jaxpr(cell.update)(weights, state, rows(u), rows(v))
    return _crossing(traced.jaxpr, first.shape)


def _crossing(jaxpr: Any, units: tuple[int, ...]) -> str | None:
    """The first equation of `jaxpr` that may mix units, told in words."""
    for equation in jaxpr.eqns:
        name = equation.primitive.name
        if name in _CALLS:
            inner = (getattr(value, "jaxpr", value) for value in equation.params.values())
            reasons = (_crossing(value, units) for value in inner if hasattr(value, "eqns"))
            reason = next(filter(None, reasons), None)
        elif name not in _ELEMENTWISE and not (name == "broadcast_in_dim" and equation.invars[0].aval.shape == ()):
            reason = f"update uses {name}, which is not elementwise"
        else:
            mixed = {v.aval.shape for v in (*equation.invars, *equation.outvars)} - {(), units}
            reason = f"update applies {name} to shape {mixed.pop()}, not to [N] or a scalar" if mixed else None
        if reason:
            return reason
    return None
