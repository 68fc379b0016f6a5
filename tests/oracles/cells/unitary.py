"""Cells with orthogonal, unitary or nearly orthogonal matrices.

A complex vector of N is its real parts and then its imaginary parts, [2N], a complex matrix the real one that
multiplies such a vector. Sources: the papers and the authors' code named in rnnx/cells/unitary.
"""

import numpy as np
from complex_step import absolute, relu, sigmoid
from scipy.linalg import expm

# ------------------------------------------------------------------------------------------------------ matrices


def real(re, im):
    return np.block([[re, -im], [im, re]])


def times(x, y):
    """Re and Im of the outer product of complex vectors (re, im)."""
    return np.outer(x[0], y[0]) - np.outer(x[1], y[1]), np.outer(x[0], y[1]) + np.outer(x[1], y[0])


def phases(angles):
    """diag(exp(i angles))"""
    return real(np.diag(np.cos(angles)), np.diag(np.sin(angles)))


def mapped(A, how):
    one = np.eye(len(A))
    return expm(A) if how == "exp" else np.linalg.inv(one + A) @ (one - A)


def skew(a):
    """A_ij = a_ij, A_ji = -a_ij for i < j."""
    A = np.zeros_like(a)
    for i in range(len(a)):
        for j in range(i + 1, len(a)):
            A[i, j], A[j, i] = a[i, j], -a[i, j]
    return A


# ------------------------------------------------------------------------------------------------------- modReLU


def modrelu(z, b):
    """Lezcano-Casado & Martinez-Rubio 2019, and the authors of scoRNN: sign(z) relu(|z| + b)."""
    return np.sign(np.real(z)) * relu(absolute(z) + b)


def complex_modrelu(z, b):
    """Arjovsky et al. 2016, eq. 8: relu(|z| + b) z / |z|."""
    re, im = np.split(z, 2)
    size = np.sqrt(re * re + im * im)
    return np.tile(relu(size + b) / size, 2) * z


def real_step(W, p, h, x):
    h = modrelu(W @ h + p.w_x[:, 0].T @ x, p.b)
    return h, h


def complex_step(W, p, s, x):
    V = np.concatenate([p.w_x[:, 0].T, p.w_x[:, 1].T])
    h = complex_modrelu(W @ np.concatenate(s) + V @ x, p.b)
    return type(s)(*np.split(h, 2)), h


# --------------------------------------------------------------------------------------------------------- cells


def urnn(cell, p, s, x):
    """Arjovsky et al. 2016, eq. 6: W = D3 R2 F^-1 D2 Pi R1 F D1."""
    n = cell.units
    angles = -2 * np.pi * np.outer(np.arange(n), np.arange(n)) / n
    F = real(np.cos(angles), np.sin(angles)) / np.sqrt(n)
    Pi = np.eye(n)[np.random.default_rng(cell.seed).permutation(n)]
    Pi = real(Pi, 0 * Pi)

    def reflection(v):
        re, im = times(v, (v[0], -v[1]))  # v v^*
        return np.eye(2 * n) - 2 * real(re, im) / np.sum(v * v)

    D1, D2, D3 = (phases(w) for w in p.w)
    R1, R2 = (reflection(v) for v in p.v)
    return complex_step(D3 @ R2 @ F.T @ D2 @ Pi @ R1 @ F @ D1, p, s, x)


def unitary(cell, p, s, x):
    """Wisdom et al. 2016: any unitary W, here of the skew-Hermitian A."""
    n = cell.units
    imaginary = np.zeros_like(p.a)
    for i in range(n):
        for j in range(i + 1):
            imaginary[i, j] = imaginary[j, i] = p.a[i, j]
    return complex_step(mapped(real(skew(p.a), imaginary), cell.map), p, s, x)


def exprnn(cell, p, s, x):
    """Lezcano-Casado & Martinez-Rubio 2019: W = exp(A)."""
    return real_step(mapped(skew(p.a), cell.map), p, s, x)


def scornn(cell, p, s, x):
    """Helfrich et al. 2018: W = (I + A)^-1 (I - A) D."""
    D = np.eye(cell.units)
    for i in range(round(cell.negative * cell.units)):
        D[-1 - i, -1 - i] = -1
    return real_step(mapped(skew(p.a), "cayley") @ D, p, s, x)


def nnrnn(cell, p, s, x):
    """Kerg et al. 2019: V = P Theta P^T, Theta block-diagonal rotations plus T below them."""
    n = cell.units
    Theta = np.zeros_like(p.t)
    for i in range(0, n, 2):
        Theta[i, i] = p.gamma[i // 2]
        if i + 1 < n:
            cos, sin = np.cos(p.theta[i // 2]), np.sin(p.theta[i // 2])
            Theta[i : i + 2, i : i + 2] = p.gamma[i // 2] * np.array([[cos, -sin], [sin, cos]])
        Theta[i : i + 2, :i] = p.t[i : i + 2, :i]
    P = expm(skew(p.a))
    return real_step(P @ Theta @ P.T, p, s, x)


def eunn(cell, p, s, x):
    """Jing et al. 2017: W = D F_L ... F_1, each F a product of rotations R_ij of pairs; R_ij of the authors' code."""
    n = cell.units
    W = np.eye(2 * n)
    for layer in range(len(p.theta)):
        if cell.style == "fft":
            apart = n // 2 ** (layer + 1)
            pairs = [(i, i + apart) for i in range(n) if i // apart % 2 == 0]
        else:
            pairs = [(i, i + 1) for i in range(layer % 2, n - 1, 2)]
        for k, (i, j) in enumerate(pairs):
            theta, phi = p.theta[layer, k], p.phi[layer, k]
            re, im = np.eye(n).astype(p.theta.dtype), np.zeros_like(p.theta, shape=(n, n))
            re[i, i], re[j, i] = np.cos(theta), np.sin(theta)
            re[i, j], im[i, j] = -np.sin(theta) * np.cos(phi), -np.sin(theta) * np.sin(phi)
            re[j, j], im[j, j] = np.cos(theta) * np.cos(phi), np.cos(theta) * np.sin(phi)
            W = real(re, im) @ W
    return complex_step(phases(p.omega) @ W, p, s, x)


def spectral(cell, p, s, x):
    """Vorontsov et al. 2017: W = U S V^T, s_i = 2 m (sigmoid(p_i) - 0.5) + 1."""
    phi = {"tanh": np.tanh, "relu": relu, "identity": lambda a: a}[cell.nonlinearity]
    S = np.diag(2 * cell.margin * (sigmoid(p.p) - 0.5) + 1)
    W = mapped(skew(p.u), cell.map) @ S @ mapped(skew(p.v), cell.map).T
    h = phi(W @ s + p.w_x[:, 0].T @ x + p.b[0])
    return h, h


ORACLES = {
    "urnn": urnn,
    "unitary": unitary,
    "exprnn": exprnn,
    "scornn": scornn,
    "nnrnn": nnrnn,
    "eunn": eunn,
    "spectral": spectral,
}
