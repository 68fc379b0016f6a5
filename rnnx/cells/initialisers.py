"""Ways to draw the two matrices of a cell, by name. Shape is [M, G, N]: M inputs, G gates, N units.

Each gate is a matrix [M, N] of its own, and every rule holds gate by gate. "fused" rules instead take the matrix
[M, G N] of all gates together, as libraries that store the gates side by side do: for an LSTM that divides the
variance of `glorot_uniform` by 2.5 and makes no gate of `orthogonal` orthogonal (docs/gradient_flow.md).

A name may carry a number: "normal:0.001", "identity:0.5", "sparse:1.1".
"""

import math
from collections.abc import Callable

import jax
import jax.numpy as jnp
from jax import Array

from rnnx.types import one_of

Shape = tuple[int, int, int]
KEPT = 0.87962566103423978  # the standard deviation of a standard normal cut at two
SPARSE = 15  # connections into a unit: Martens 2010; Sutskever et al. 2013, section 3.1 and table 4


def draw(spec: str, key: Array, shape: Shape, dtype) -> Array:
    """A matrix [M, G, N] by the rule `spec`: a name of INITIALISERS, with its number after a colon or without."""
    name, number = parse("draw", spec)
    return INITIALISERS[name](key, shape, dtype, *number)


def parse(what: str, spec: str, rules: dict[str, Callable] | None = None) -> tuple[str, tuple[float, ...]]:
    """(name, its number or nothing) of a rule; a ValueError says what is wrong with it."""
    rules = INITIALISERS if rules is None else rules
    name, colon, number = spec.partition(":")
    one_of(what, name, rules)
    if not colon:
        if name in NUMBERED:
            raise ValueError(f"{what} got {spec!r}; give its number, such as {name}:{NUMBERED[name]}")
        return name, ()
    if name not in NUMBERED and name not in OPTIONAL:
        raise ValueError(f"{what} got {spec!r}; {name} takes no number, write {name!r}")
    try:
        value = float(number)
    except ValueError:
        value = math.nan
    if not math.isfinite(value):
        raise ValueError(f"{what} got {spec!r}; write a finite number after the colon, such as {name}:{_example(name)}")
    if value < LEAST.get(name, value):
        raise ValueError(
            f"{what} got {spec!r}; write a number of at least {LEAST[name]}, such as {name}:{_example(name)}"
        )
    return name, (value,)


def _example(name: str) -> float:
    return NUMBERED.get(name, 0.5)


# ------------------------------------------------------------------------------------------- independent entries


def zeros(key: Array, shape: Shape, dtype) -> Array:
    """Nothing but zeros."""
    del key  # nothing is drawn
    return jnp.zeros(shape, dtype)


def uniform(key: Array, shape: Shape, dtype, bound: float) -> Array:
    """U(-bound, bound)."""
    # Drawn flat: XLA:CPU takes five times as long to compile the same draw in three dimensions.
    return jax.random.uniform(key, (math.prod(shape),), dtype, -bound, bound).reshape(shape)


def normal(key: Array, shape: Shape, dtype, deviation: float) -> Array:
    """N(0, deviation^2)."""
    return (jax.random.normal(key, (math.prod(shape),), dtype) * deviation).reshape(shape)


def truncated_normal(key: Array, shape: Shape, dtype, deviation: float) -> Array:
    """N(0, s^2) cut at two s, where s is such that what is left has this standard deviation."""
    cut = jax.random.truncated_normal(key, -2, 2, (math.prod(shape),), dtype)
    return (cut * (deviation / KEPT)).reshape(shape)


def glorot_uniform(key: Array, shape: Shape, dtype) -> Array:
    """U(-a, a), a = sqrt(6 / (M + N)): the fans of one gate."""
    inputs, _, units = shape
    return uniform(key, shape, dtype, math.sqrt(6 / (inputs + units)))


def glorot_uniform_fused(key: Array, shape: Shape, dtype) -> Array:
    """U(-a, a), a = sqrt(6 / (M + G N)): the fans of all gates side by side."""
    inputs, gates, units = shape
    return uniform(key, shape, dtype, math.sqrt(6 / (inputs + gates * units)))


def glorot_normal(key: Array, shape: Shape, dtype) -> Array:
    """N(0, 2 / (M + N))."""
    inputs, _, units = shape
    return normal(key, shape, dtype, math.sqrt(2 / (inputs + units)))


def lecun_normal(key: Array, shape: Shape, dtype) -> Array:
    """Variance 1 / M, cut at two deviations, as Flax and Haiku's GRU draw it."""
    return truncated_normal(key, shape, dtype, math.sqrt(1 / shape[0]))


def he_normal(key: Array, shape: Shape, dtype) -> Array:
    """N(0, 2 / M)."""
    return normal(key, shape, dtype, math.sqrt(2 / shape[0]))


def lecun_uniform(key: Array, shape: Shape, dtype) -> Array:
    """U(-a, a) of variance 1 / M."""
    return uniform(key, shape, dtype, math.sqrt(3 / shape[0]))


def uniform_units(key: Array, shape: Shape, dtype) -> Array:
    """U(-a, a), a = 1 / sqrt(N): what torch and Equinox draw for every matrix and bias."""
    return uniform(key, shape, dtype, 1 / math.sqrt(shape[2]))


def uniform_units_twice(key: Array, shape: Shape, dtype) -> Array:
    """The sum of two draws of `uniform_units`: torch's two biases as one."""
    one, other = jax.random.split(key)
    return uniform_units(one, shape, dtype) + uniform_units(other, shape, dtype)


def uniform_units_torch_gru(key: Array, shape: Shape, dtype) -> Array:
    """`uniform_units_twice`, but once for the last gate, n: its two biases stay apart, as b and c."""
    one, other = jax.random.split(key)
    more = uniform_units(other, shape, dtype)
    return uniform_units(one, shape, dtype) + more.at[:, -1].set(0)


# ----------------------------------------------------------------------------------------------- whole matrices


def orthogonal(key: Array, shape: Shape, dtype) -> Array:
    """A Haar-distributed orthogonal matrix for each gate (orthonormal rows or columns where M is not N)."""
    inputs, gates, units = shape
    haar = jax.nn.initializers.orthogonal()
    draws = jax.vmap(lambda k: haar(k, (inputs, units), dtype))(jax.random.split(key, gates))
    return jnp.swapaxes(draws, 0, 1)


def orthogonal_fused(key: Array, shape: Shape, dtype) -> Array:
    """One orthogonal matrix [M, G N]: no gate is orthogonal, its singular values spread below 1."""
    inputs, gates, units = shape
    return jax.nn.initializers.orthogonal()(key, (inputs, gates * units), dtype).reshape(shape)


def identity(key: Array, shape: Shape, dtype, scale: float = 1.0) -> Array:
    """`scale` on the diagonal of each gate."""
    del key  # nothing is drawn
    inputs, gates, units = shape
    return jnp.stack([scale * jnp.eye(inputs, units, dtype=dtype)] * gates, axis=1)


def sparse(key: Array, shape: Shape, dtype, radius: float | None = None) -> Array:
    """15 connections into each unit (all, where M is smaller), drawn from N(0, 1).

    A `radius` scales each gate, which then must be square, to that spectral radius.
    """
    inputs, gates, units = shape
    if radius is not None and inputs != units:
        raise ValueError(
            f"sparse:{radius} got a matrix of {inputs} by {units}, and only a square one has a spectral radius; "
            "write sparse without the number"
        )
    key_value, key_place = jax.random.split(key)
    places = jax.random.uniform(key_place, (math.prod(shape),)).reshape(shape)
    ranks = jnp.argsort(places, axis=0)  # a permutation of the inputs for each unit
    matrix = jnp.where(ranks < SPARSE, normal(key_value, shape, dtype, 1.0), jnp.zeros(shape, dtype))
    if radius is None:
        return matrix
    return matrix * (radius / jax.vmap(spectral_radius, 1)(matrix))[None, :, None]


def spectral_radius(matrix: Array) -> Array:
    """lim ||A^n||^(1/n) by squaring: no eigenvalues, so that every device can do it, and below vmap.

    n is 2 to the number of binary digits, where ||A^n||^(1/n) differs from the limit by no more than rounding.
    """
    digits = jnp.finfo(matrix.dtype).nmant + 1

    def square(carry, power):
        a, log = carry
        norm = jnp.linalg.norm(a)
        a = a / jnp.where(norm > 0, norm, jnp.ones_like(norm))
        # Without "highest" some devices round the factors of a product to eleven bits.
        return (jnp.matmul(a, a, precision="highest"), log + jnp.log(norm) * power), None

    powers = 0.5 ** jnp.arange(digits, dtype=matrix.dtype)
    (_, log), _ = jax.lax.scan(square, (matrix, jnp.zeros((), matrix.dtype)), powers)
    return jnp.exp(log)  # a power that vanishes has the logarithm -inf, and radius 0


INITIALISERS: dict[str, Callable] = {
    "zeros": zeros,
    "uniform": uniform,
    "normal": normal,
    "truncated_normal": truncated_normal,
    "glorot_uniform": glorot_uniform,  # Glorot & Bengio 2010, eq. 16
    "glorot_uniform_fused": glorot_uniform_fused,
    "glorot_normal": glorot_normal,
    "lecun_normal": lecun_normal,  # LeCun et al. 1998, Efficient BackProp, section 4.6
    "lecun_uniform": lecun_uniform,
    "he_normal": he_normal,  # He et al. 2015, arXiv:1502.01852, eq. 10
    "uniform_units": uniform_units,
    "uniform_units_twice": uniform_units_twice,
    "uniform_units_torch_gru": uniform_units_torch_gru,
    "orthogonal": orthogonal,  # Saxe, McClelland & Ganguli 2014, arXiv:1312.6120
    "orthogonal_fused": orthogonal_fused,
    "identity": identity,  # Le, Jaitly & Hinton 2015, arXiv:1504.00941
    "sparse": sparse,  # Martens 2010; with a radius Sutskever, Martens, Dahl & Hinton 2013, table 4
}
# The numbers after a colon, also those of rnnx.cells.memory: with an example, optional, and bounded from below.
NUMBERED = {"uniform": 0.1, "normal": 0.01, "truncated_normal": 0.01, "chrono": 100}
OPTIONAL = ("identity", "sparse")
LEAST = {"uniform": 0, "normal": 0, "truncated_normal": 0, "sparse": 0, "chrono": 2}
