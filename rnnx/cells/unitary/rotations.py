"""Orthogonal and unitary matrices of free parameters, which `prepare` makes once per scan.

    A = -A^T or -A^H, made of a free square matrix a
    W = exp(A)                          "exp", every rotation
    W = (I + A)^-1 (I - A)              "cayley", those without the eigenvalue -1

In float32 rounding leaves W^H W - I at up to 6e-5 (N = 128, entries of a of size 3), and after 10,000 steps a norm is
wrong by a fifth. `polish` brings the one below 1e-6 and the other to 4e-4, whatever the size of a.
"""

import math
from functools import partial

import jax
import jax.numpy as jnp
import numpy as np
from jax import Array

product = partial(jnp.matmul, precision="highest")  # GPUs and TPUs would round float32 factors

# exp(X) = (V + U) / (V - U) to 2e-16 for |X| <= 1, and unitary for every X
EVEN = (56.0, 25200.0, 1995840.0, 17297280.0)  # V of X^6, X^4, X^2, I
ODD = (1.0, 1512.0, 277200.0, 8648640.0)  # U of X^7, X^5, X^3, X
SQUARINGS = 16  # enough for |A| = 46,000; above W is no longer exp(A) but as orthogonal as ever


def orthogonal(a: Array, map: str) -> Array:
    """W [N, N] of the entries of a above the diagonal: A = a - a^T."""
    upper = jnp.triu(a, 1)
    return polish(MAPS[map](upper - upper.T, upper))


def unitary(a: Array, map: str) -> Array:
    """Complex W [N, N]: a is Re A above the diagonal and Im A on and below it, N^2 numbers for the N^2 of U(N)."""
    upper, lower = jnp.triu(a, 1), jnp.tril(a)
    skew = jax.lax.complex(upper - upper.T, lower + jnp.tril(a, -1).T)
    return polish(MAPS[map](skew, a))


def exponential(A: Array, a: Array) -> Array:
    """exp(A) = exp(A / 2^s)^(2^s). The squares of a, at least |A|^2 / 2, tell s."""
    limits = np.exp2(2 * np.arange(SQUARINGS) - 1).astype(a.dtype)
    s = jnp.sum(jnp.sum(jnp.square(a)) > limits)
    x = A * jnp.exp2(-s.astype(a.dtype)).astype(A.dtype)
    x2 = product(x, x)

    def polynomial(coefficients):
        c, one = np.array(coefficients, A.dtype), jnp.eye(a.shape[0], dtype=A.dtype)
        return jax.lax.scan(lambda y, c: (product(x2, y) + c * one, None), jnp.zeros_like(x2), c)[0]

    even, odd = polynomial(EVEN), product(x, polynomial(ODD))

    def square(w, k):
        return jax.lax.cond(k < s, lambda w: product(w, w), lambda w: w, w), None

    return jax.lax.scan(square, jnp.linalg.solve(even - odd, even + odd), jnp.arange(SQUARINGS))[0]


def cayley(A: Array, a: Array) -> Array:
    """(I + A)^-1 (I - A)"""
    one = jnp.eye(a.shape[0], dtype=A.dtype)
    return jnp.linalg.solve(one + A, one - A)


MAPS = {"exp": exponential, "cayley": cayley}


def polish(w: Array) -> Array:
    """W (3 I - W^H W) / 2: a Newton step to the nearest unitary matrix, which squares the error of W^H W.

    Its derivative at a unitary W projects on the directions that keep W unitary, so gradients stay what they were.
    """
    one = jnp.eye(w.shape[0], dtype=w.dtype)
    return product(w, 3 * one - product(w.conj().T, w)) / 2


def real(w: Array) -> Array:
    """A complex W [N, N] as w_h [2N, 2, N], which takes (Re h, Im h) to the rows Re W h and Im W h."""
    re, im = w.real.T, w.imag.T
    return jnp.concatenate([jnp.stack([re, im], 1), jnp.stack([-im, re], 1)])


# ---------------------------------------------------------------------------------------------- initial parameters


def henaff(key: Array, units: int, dtype, map: str) -> Array:
    """Planes with angles from U(-pi, pi) (Henaff, Szlam & LeCun 2016, arXiv:1602.06662)."""
    del map
    return planes(jax.random.uniform(key, (units // 2,), dtype, -math.pi, math.pi), units)


def cayley_angles(key: Array, units: int, dtype, map: str) -> Array:
    """Planes with -sqrt((1 - cos t) / (1 + cos t)), t from U(0, pi/2), the angle that "cayley" makes of it."""
    del map
    return planes(-jnp.tan(jax.random.uniform(key, (units // 2,), dtype, 0, math.pi / 2) / 2), units)


def haar(key: Array, units: int, dtype, map: str) -> Array:
    """W uniform over all rotations."""
    w = jax.nn.initializers.orthogonal()(key, (units, units), dtype)
    w = w.at[0].multiply(jnp.linalg.slogdet(w)[0])
    return jnp.triu(inverse(w, map).real, 1)


def haar_unitary(key: Array, units: int, dtype, map: str) -> Array:
    """W uniform over all unitary matrices; a as `unitary` takes it."""
    normal = jax.random.normal(key, (2, units, units), dtype)
    A = inverse(polar(jax.lax.complex(*normal)), map)
    return jnp.triu(A.real, 1) + jnp.tril(A.imag)


def planes(angles: Array, units: int) -> Array:
    """a with blocks ((0, angle), (0, 0)) on the diagonal: W turns each plane of two units."""
    even = np.arange(0, units - 1, 2)
    return jnp.zeros((units, units), angles.dtype).at[even, even + 1].set(angles)


def polar(z: Array) -> Array:
    """The unitary factor of a complex square matrix."""
    u, _, v = jnp.linalg.svd(z)
    return product(u, v)


def inverse(w: Array, map: str) -> Array:
    """The A whose W is w. The two Hermitian parts of w commute: the eigenvectors of a mixture are those of w."""
    w = jax.lax.complex(w.real, w.imag)
    h = w.conj().T
    _, v = jnp.linalg.eigh(math.cos(1) * (w + h) / 2 + math.sin(1) * (w - h) / 2j)
    angles = jnp.angle(jnp.sum(v.conj() * product(w, v), axis=0))
    values = angles if map == "exp" else -jnp.tan(angles / 2)
    return product(v * jax.lax.complex(jnp.zeros_like(values), values)[None], v.conj().T)


SKEW = {"henaff": henaff, "cayley": cayley_angles, "haar": haar}
UNITARY_SKEW = SKEW | {"haar": haar_unitary}
