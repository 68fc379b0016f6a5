"""The input of adding and multiplication: a long noise of which two values are marked."""

from typing import NamedTuple

import jax
import jax.numpy as jnp
from jax import Array

from rnnx.tasks.task import below
from rnnx.types import one_of

SHORTEST = {"urnn": 2, "tcn": 2, "hs97": 6, "pascanu": 4, "plrnn": 4}  # the length at which both marks fit


class Marked(NamedTuple):
    xs: Array  # [T, 2], value and mark
    a: Array  # [], the value under the first mark
    b: Array
    weights: Array  # [T], 1 at the last valid step
    length: Array | None


def check(task: str, length: int, scheme: str, schemes: tuple[str, ...]) -> None:
    """Raise a ValueError unless `scheme` is one of `schemes` and its marks fit into `length`."""
    one_of(f"{task}: variant", scheme, schemes)
    shortest = SHORTEST[scheme]
    if length < shortest:
        raise ValueError(f"{task}: length is {length}; variant {scheme} needs at least {shortest}")


def steps(scheme: str, length: int) -> int:
    """The longest sequence of a scheme."""
    if scheme == "hs97":
        return length * 11 // 10
    return max(length, -(-length * 11 // 10) - 1) if scheme == "pascanu" else length


def draw(scheme: str, length: int, key: Array, lowest: float, neutral: float) -> Marked:
    """Values U[lowest, 1] and two marks; in hs97 a value drawn at the first step counts as `neutral`."""
    longest = steps(scheme, length)
    key_values, key_places = jax.random.split(key)
    values = jax.random.uniform(key_values, (longest,), minval=lowest)
    words = jax.random.bits(key_places, (3,), jnp.uint32)
    drawn = length + below(words[0], longest + 1 - length)
    first, second = places(scheme, length, drawn, words[1:])
    time = jnp.arange(longest)
    one = jnp.ones_like(values)
    marks = jnp.where((time == first) | (time == second), one, 0 * one)
    a, b = values[first], values[second]
    if scheme == "hs97":
        marks = jnp.where((time == 0) | (time == drawn - 1), -one, marks)
        a, b = (jnp.where(place == 0, jnp.full_like(c, neutral), c) for place, c in ((first, a), (second, b)))
    weights = (time == drawn - 1).astype(values.dtype)
    return Marked(jnp.stack([values, marks], axis=1), a, b, weights, None if longest == length else drawn)


def places(scheme: str, length: int, drawn: Array, words: Array) -> tuple[Array, Array]:
    """The two marked steps of a sequence of `drawn` steps, from two random words."""
    one, two = words
    half = length // 2

    def other(first: Array, high: int) -> Array:
        """Uniform over the steps below `high` other than `first` (which may lie beyond)."""
        within = (first < high).astype(first.dtype)
        step = below(two, high - within)
        return step + within * (step >= first).astype(first.dtype)

    if scheme == "urnn":
        return below(one, half), half + below(two, length - half)
    if scheme == "pascanu":
        tenth = jnp.maximum(1, drawn // 10)
        return below(one, tenth), tenth + below(two, drawn // 2 - tenth)
    if scheme == "tcn":
        first = below(one, length)
        return first, other(first, length)
    first = below(one, min(10, length - 1))
    return first, other(first, half - 1 if scheme == "hs97" else half)


def odds_of_first_step(scheme: str, length: int) -> tuple[float, float]:
    """The probabilities that the first and the second mark fall on step 0, where hs97 counts no value."""
    if scheme != "hs97":
        return 0.0, 0.0
    firsts, window = min(10, length - 1), length // 2 - 1
    return 1 / firsts, sum(1 / (window - (first < window)) for first in range(1, firsts)) / firsts
