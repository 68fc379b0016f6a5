"""Cells that oscillate, and cells of continuous time."""

import functools

import numpy as np
from complex_step import absolute, relu, sigmoid
from scipy.linalg import expm
from scipy.special import erf

PHI = {"sigmoid": sigmoid, "tanh": np.tanh, "relu": relu}


def cornn(cell, p, s, x):
    """Rusch & Mishra 2021, eq. 3. With z on both sides of its line where the damping is implicit."""
    n = len(s.y)
    W, Wz, V, b = p.w_h[:n, 0].T, p.w_h[n:, 0].T, p.w_x[:, 0].T, p.b[0]
    dt, gamma, epsilon = cell.dt, cell.gamma, cell.epsilon
    z = s.z + dt * np.tanh(W @ s.y + Wz @ s.z + V @ x + b) - dt * gamma * s.y
    if cell.implicit:
        z = np.linalg.solve((1 + dt * epsilon) * np.eye(n), z)  # z = ... - dt epsilon z
    else:
        z = z - dt * epsilon * s.z
    y = s.y + dt * z
    return type(s)(y, z), y


def unicornn(cell, p, s, x):
    """Rusch & Mishra 2021, one layer, as in the authors' kernel."""
    V, b = p.w_x[:, 0].T, p.b[0]
    y, z = np.array(s.y), np.array(s.z)
    z = z - cell.dt * sigmoid(p.c) * (np.tanh(y * p.w[0] + V @ x + b) + cell.alpha * y)
    y = y + cell.dt * sigmoid(p.c) * z
    return type(s)(y, z), y


def lem(cell, p, s, x):
    """Rusch et al. 2022, eq. 3."""
    V1, V2, Vz, Vy = (p.w_x[:, k].T for k in range(4))
    W1, W2, Wz = (p.w_h[:, k].T for k in range(3))
    b1, b2, bz, by = p.b
    dt_n = cell.dt * sigmoid(W1 @ s.y + V1 @ x + b1)
    dt_bar = cell.dt * sigmoid(W2 @ s.y + V2 @ x + b2)
    z = (1 - dt_n) * s.z + dt_n * np.tanh(Wz @ s.y + Vz @ x + bz)
    y = (1 - dt_bar) * s.y + dt_bar * np.tanh(p.w_y.T @ z + Vy @ x + by)
    return type(s)(y, z), y


def ltc(cell, p, s, x):
    """Hasani et al. 2021, eq. 3 and Algorithm 1, with cell.unfolds steps that fill cell.dt together."""
    tau, A, dt = np.exp(p.log_tau), p.a, cell.dt / cell.unfolds
    h = s
    for _ in range(cell.unfolds):
        f = PHI[cell.nonlinearity](p.w_h[:, 0].T @ h + p.w_x[:, 0].T @ x + p.b[0])
        h = (h + dt * f * A) / (1 + dt * (1 / tau + f))
    return h, h


ACT = {
    "lecun_tanh": lambda a: 1.7159 * np.tanh(0.666 * a),
    "tanh": np.tanh,
    "relu": relu,
    "silu": lambda a: a * sigmoid(a),
    "gelu": lambda a: a * (1 + erf(a / np.sqrt(2))) / 2,
}


def cfc(cell, p, s, x):
    """Hasani et al. 2022, as the authors' CfcCell: a backbone on (x, h), then heads ff1, ff2, time_a, time_b."""
    act, t = ACT[cell.activation], cell.dt
    v = np.concatenate([x, s])
    w, b = np.concatenate([p.w_x, p.w_h]), p.b
    for layer in p.layers:  # the last one that remains in (w, b) is that of the heads
        v = act(w[:, 0].T @ v + b[0])
        w, b = layer
    heads = [w[:, k].T @ v + b[k] for k in range(b.shape[0])]
    if cell.mode == "pure":
        (ff,) = heads
        h = -p.a * np.exp(-t * (absolute(p.w_tau) + absolute(ff))) * ff + p.a
        return h, h
    ff1, ff2, time_a = np.tanh(heads[0]), np.tanh(heads[1]), heads[2]
    time_b = heads[3] if cell.offset else 0
    gate = sigmoid(time_a * t + time_b)
    h = ff1 + gate * ff2 if cell.mode == "no_gate" else ff1 * (1 - gate) + gate * ff2
    return h, h


@functools.cache
def delay(d, theta, discretisation):
    """A and B of eq. 2 for one step: u held over it, or Euler's (eq. 5)."""
    A, B = np.zeros((d, d)), np.zeros(d)
    for i in range(d):
        B[i] = (2 * i + 1) * (-1) ** i / theta
        for j in range(d):
            A[i, j] = (2 * i + 1) * (-1 if i < j else (-1) ** (i - j + 1)) / theta
    if discretisation == "euler":
        return A + np.eye(d), B
    return expm(A), np.linalg.solve(A, (expm(A) - np.eye(d)) @ B)


def lmu(cell, p, s, x):
    """Voelker et al. 2019, eq. 7, 4 and 6."""
    A, B = delay(cell.order, cell.theta, cell.discretisation)
    u = p.e_x @ x + p.e_h @ s.h + p.e_m @ s.m
    m = A @ s.m + B * u
    h = np.tanh(p.w_x[:, 0].T @ x + p.w_h[:, 0].T @ s.h + p.w_m.T @ m)
    return type(s)(h, m), h


ORACLES = {"cornn": cornn, "unicornn": unicornn, "lem": lem, "ltc": ltc, "cfc": cfc, "lmu": lmu}
