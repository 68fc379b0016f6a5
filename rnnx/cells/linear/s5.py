"""The diagonal state space model with many inputs and many outputs."""

import functools
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jax import Array

from rnnx.cells import initialisers, parts
from rnnx.cells.linear import affine
from rnnx.cells.linear.affine import Pair
from rnnx.cells.timesteps import check_steps, draw_log_steps
from rnnx.types import Timed, apply, cell, one_of

LEAST_DECAY = 1e-4  # of a clipped pole


@functools.cache
def hippo(size: int) -> tuple[np.ndarray, np.ndarray]:
    """(eigenvalues [size] by imaginary part, eigenvectors [size, size] in columns) of HiPPO-N, complex.

    HiPPO-N is -1/2 on the diagonal, -sqrt(n + 1/2) sqrt(k + 1/2) below and the opposite above it: a normal matrix.
    """
    root = np.sqrt(np.arange(size) + 0.5)
    skew = np.triu(np.outer(root, root), 1)
    frequencies, vectors = np.linalg.eigh(-1j * (skew - skew.T))
    vectors = vectors * np.exp(-1j * np.angle(vectors[:1]))  # the phase is free: the first entry is positive
    return -0.5 + 1j * frequencies, vectors


class Params(NamedTuple):
    lam_re: Array  # [P]
    lam_im: Array
    log_dt: Array  # [P]
    b_re: Array  # [D, P]
    b_im: Array
    c_re: Array  # [P, N]
    c_im: Array
    d: Array  # [N] where D is N, else [D, N]


class Weights(NamedTuple):
    pole: Pair  # [P]
    dt: Array  # [P]
    w_b: Array  # [D, 2, P]
    w_c: Array  # [2 P, N], C as it meets (re, im)
    d: Array  # [N] or [D, N]
    a: Pair  # [P], of the step dt
    gain: Pair


def step(weights: Weights, state: Pair, x: Array | Timed, *, discretisation: str = "zoh") -> tuple[Pair, Array]:
    """One step for `lax.scan`; weights = S5(...).prepare(params), once, outside the loop. x [D] -> ((re, im), y)."""
    inputs, _, states = weights.w_b.shape
    return S5(inputs, weights.w_c.shape[1], 2 * states, discretisation).step(weights, state, x)


@cell
class S5:
    """Diagonal state space model with many inputs and outputs: one linear system for all channels.

        h'(t) = lam * h(t) + B x(t)                                 [P], complex
        h_t   = A * h_{t-1} + g * (B x_t)                           [P], with the time steps exp(log_dt) [P]
        y_t   = 2 Re(C h_t) + d x_t                                 [N]

    `discretisation` "zoh" has A = exp(dt lam), g = (A - 1) / lam, exact for an input that stands still between two
    steps; "bilinear" has A = (1 + dt lam / 2) / (1 - dt lam / 2), g = dt / (1 - dt lam / 2). With `conj_sym` only one
    of each conjugate pair is kept, P = `states` / 2 of them; else P = `states` and y has no factor 2. `clip_eigs` keeps
    the real part of lam at most -0.0001. With x = Timed(x, s) the time steps are s times as long. d is diagonal as in
    the paper where inputs equal units, and a matrix elsewhere. The state is the pair (re, im) of arrays [P], zero at
    the start.

    Initial values: lam are the eigenvalues of HiPPO-N, -1/2 in their real part, or those of `blocks` smaller ones; V
    its eigenvectors. B = V^* times a real matrix by `input_init` and C = C' V with both parts of C' by `output_init`,
    LeCun normal. dt log-uniform in [`dt_min`, `dt_max`]; d from N(0, 1), or N(0, 1 / D) as a matrix.

    Elsewhere: none of torch, Keras, Flax, Haiku, Equinox.

    Source: Smith, Warrington & Linderman 2023 (arXiv:2208.04933), section 3 and its appendix on the
    initialisation, and the authors' code.

    Cost: 4 P (D + N) flops a step.
    """

    inputs: int
    units: int
    states: int = 64
    discretisation: str = "zoh"
    conj_sym: bool = True
    clip_eigs: bool = False
    blocks: int = 1
    dt_min: float = 0.001
    dt_max: float = 0.1
    input_init: str = "lecun_normal"
    output_init: str = "lecun_normal"

    powers = ("factored", "affine")
    kind = "pair"

    def __post_init__(self):
        parts.check(self)
        one_of("S5.discretisation", self.discretisation, affine.RULES)
        if self.blocks < 1:
            raise ValueError(f"S5.blocks got {self.blocks}; write a whole number of at least 1")
        least = self.blocks * (2 if self.conj_sym else 1)
        if self.states < 1 or self.states % least:
            raise ValueError(f"S5.states got {self.states}; write a multiple of {least}")
        check_steps(self)

    outputs = property(parts.outputs)

    def init(self, key: Array) -> Params:
        dtype = jnp.zeros(()).dtype
        key_b, key_c, key_d, key_dt = jax.random.split(key, 4)
        size = self.states // self.blocks
        lam, v = hippo(size)
        kept = size // 2 if self.conj_sym else size
        lam, v = np.tile(lam[:kept], self.blocks), np.kron(np.eye(self.blocks), v[:, :kept])
        v_re, v_im = jnp.asarray(np.real(v), dtype), jnp.asarray(np.imag(v), dtype)  # [states, P]
        b = initialisers.draw(self.input_init, key_b, (self.inputs, 1, self.states), dtype)[:, 0]
        c = initialisers.draw(self.output_init, key_c, (self.states, 2, self.units), dtype)
        return Params(
            lam_re=jnp.asarray(np.real(lam), dtype),
            lam_im=jnp.asarray(np.imag(lam), dtype),
            log_dt=draw_log_steps(self, key_dt, len(lam), dtype),
            b_re=b @ v_re,
            b_im=-b @ v_im,
            c_re=v_re.T @ c[:, 0] - v_im.T @ c[:, 1],
            c_im=v_re.T @ c[:, 1] + v_im.T @ c[:, 0],
            d=affine.draw_through(key_d, self.inputs, self.units, dtype),
        )

    @parts.widely
    def prepare(self, params: Params) -> Weights:
        p = params
        pole = (jnp.minimum(p.lam_re, -LEAST_DECAY) if self.clip_eigs else p.lam_re), p.lam_im
        dt = jnp.exp(p.log_dt)
        a, gain = affine.discretise(self.discretisation, pole, dt)
        w_c = jnp.concatenate([p.c_re, -p.c_im]) * (2 if self.conj_sym else 1)
        return Weights(pole, dt, jnp.stack([p.b_re, p.b_im], 1), w_c, p.d, a, gain)

    def initial_state(self, weights: Weights) -> Pair:
        zero = jnp.zeros_like(weights.a[0])
        return zero, zero

    def drive(self, weights: Weights, x: Array | Timed) -> tuple[Pair | None, Pair]:
        """(A or None for that of the weights, g * (B x))    [P]"""
        a, gain = None, weights.gain
        if isinstance(x, Timed):
            a, gain = affine.discretise(self.discretisation, weights.pole, weights.dt * x.dt)
        re, im = parts.product(_plain(x), weights.w_b)
        return a, apply("pair", gain, (re, im))

    recur = affine.recur_pair
    update = affine.update_pair

    def readout(self, weights: Weights, state: Pair, x: Array | Timed) -> Array:
        return jnp.concatenate(state) @ weights.w_c + affine.through(_plain(x), weights.d)

    step = parts.step
    coefficients = affine.coefficients_pair


def _plain(x: Array | Timed) -> Array:
    return x.x if isinstance(x, Timed) else x
