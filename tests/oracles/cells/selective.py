"""Cells whose gates are set by x, and cells whose memory is a matrix."""

import numpy as np
from complex_step import absolute, maximum, sigmoid, softplus


def s6(cell, p, s, x):
    """Gu & Dao 2023, algorithm 2, channel by channel and state by state."""
    channels = p.w_x[:, 0].T @ x
    B, C = p.w_b.T @ channels, p.w_c.T @ channels
    dt = softplus(p.w_dt.T @ (p.w_r.T @ channels) + p.b_dt)
    A = -np.exp(p.a_log)
    h, y = np.zeros_like(s * x[0]), []
    for n in range(cell.units):
        for k in range(cell.states):
            A_bar = np.exp(dt[n] * A[n, k])
            B_bar = dt[n] * B[k]  # Euler, as the authors' code
            if cell.discretisation == "zoh":  # eq. 4
                B_bar = (1 / (dt[n] * A[n, k])) * (A_bar - 1) * dt[n] * B[k]
            h[n, k] = A_bar * s[n, k] + B_bar * channels[n]
        y.append(C @ h[n] + p.d[n] * channels[n])
    return h, np.stack(y)


def log_forget(cell, f):
    """Beck et al. 2024, eq. 13 and 26: f = sigmoid(f~) OR exp(f~)."""
    return np.log(sigmoid(f) if cell.forget_gate == "sigmoid" else np.exp(f))


def slstm(cell, p, s, x):
    """Beck et al. 2024, eq. 8-17 with R of blocks (eq. 37-40); where n = 0 the stabiliser is i~, as in their code."""
    H, n = cell.heads, cell.units // cell.heads
    a = []
    for g in range(4):
        R = np.zeros((cell.units, cell.units), (p.w_h[0] * s.h[0]).dtype)
        for j in range(H):
            R[j * n : (j + 1) * n, j * n : (j + 1) * n] = p.w_h[j, :, g].T
        a.append(p.w_x[:, g].T @ x + R @ s.h + p.b[g])
    i, f, z, o = a
    z, o = np.tanh(z), sigmoid(o)
    m = np.where(np.real(s.n) == 0, i, maximum(log_forget(cell, f) + s.m, i))
    i_stable = np.exp(i - m)
    f_stable = np.where(np.real(s.n) == 0, 1, np.exp(log_forget(cell, f) + s.m - m))
    c = f_stable * s.c + i_stable * z
    n = f_stable * s.n + i_stable
    h = o * (c / n)
    return type(s)(h, c, n, m), h


def mlstm(cell, p, s, x):
    """Beck et al. 2024, eq. 19-27, stabilised by eq. 15-17, head by head; the divisor is that of eq. 84."""
    H, d = cell.heads, cell.units // cell.heads
    k = (p.w_x[:, 0].T @ x / np.sqrt(d) + p.b[0]).reshape(H, d)
    v = (p.w_x[:, 1].T @ x + p.b[1]).reshape(H, d)
    q = (p.w_y[:, 0].T @ x + p.b_y[0]).reshape(H, d)
    o = sigmoid(p.w_y[:, 1].T @ x + p.b_y[1])
    i = p.w_g[:, 0].T @ x + p.b_g[0]
    f = log_forget(cell, p.w_g[:, 1].T @ x + p.b_g[1])
    C, n, m, h = [], [], [], []
    for j in range(H):
        m.append(maximum(f[j] + s.m[j], i[j]))
        f_stable = np.exp(f[j] + s.m[j] - m[j])
        i_stable = np.exp(i[j] - m[j])
        C.append(f_stable * s.c[j] + i_stable * np.outer(v[j], k[j]))
        n.append(f_stable * s.n[j] + i_stable * k[j])
        h.append(C[j] @ q[j] / maximum(absolute(n[j] @ q[j]), np.exp(-m[j])))
    return type(s)(np.stack(C), np.stack(n), np.stack(m)), o * np.concatenate(h)


def elu(a):
    return np.where(np.real(a) > 0, a, np.exp(a) - 1)


def fastweights(cell, p, s, x):
    """Katharopoulos et al. 2020, eq. 18-20: s += phi(k) v, z += phi(k), y = phi(q) s / phi(q) z. z is the last row."""
    H, d = cell.heads, cell.units // cell.heads
    k, v = (p.w_x[:, g].T.dot(x).reshape(H, d) for g in range(2))
    q = p.w_q[:, 0].T.dot(x).reshape(H, d)
    new, y = [], []
    for j in range(H):
        if cell.kernel == "linear":  # Yang et al. 2023, eq. 1
            S = cell.decay * s[j] + np.outer(v[j], k[j])
            new.append(S)
            y.append(S @ q[j])
        else:
            phi_k, phi_q = elu(k[j]) + 1, elu(q[j]) + 1
            S = cell.decay * s[j, :d] + np.outer(v[j], phi_k)
            z = cell.decay * s[j, d] + phi_k
            new.append(np.concatenate([S, z[None]]))
            y.append(S @ phi_q / (z @ phi_q + cell.epsilon))
    return np.stack(new), np.concatenate(y)


def gla(cell, p, s, x):
    """Yang et al. 2023, eq. 3: S = Diag(alpha) S + k^T v, o = q S, in which S has keys for rows."""
    H, d = cell.heads, cell.units // cell.heads
    k, v = (p.w_x[:, g].T.dot(x).reshape(H, d) for g in range(2))
    q = p.w_q[:, 0].T.dot(x).reshape(H, d)
    alpha = sigmoid(p.w_a.T @ (p.w_r[:, 0].T @ x) + p.b_a) ** (1 / cell.temperature)
    S = [np.diag(alpha.reshape(H, d)[j]) @ s[j].T + np.outer(k[j], v[j]) for j in range(H)]
    return np.stack([S[j].T for j in range(H)]), np.concatenate([q[j] @ S[j] for j in range(H)])


def key(cell, a):
    """Schlag et al. 2021, eq. 29, for elu; Yang et al. 2024, section 3.3, for the rest."""
    if cell.feature == "elu":
        return (elu(a) + 1) / np.sum(elu(a) + 1)
    phi = a * sigmoid(a) if cell.feature == "silu" else a
    return phi / np.sqrt(np.sum(phi * phi) + cell.epsilon)


def delta(cell, s, p, x, beta, alpha):
    """Schlag et al. 2021, eq. 20-25, with the memory multiplied by alpha first (Yang et al. 2024b, eq. 10)."""
    H, d = cell.heads, cell.units // cell.heads
    k, v = (p.w_x[:, g].T.dot(x).reshape(H, d) for g in range(2))
    q = p.w_q[:, 0].T.dot(x).reshape(H, d)
    new, y = [], []
    for j in range(H):
        W, phi_k = alpha[j] * s[j], key(cell, k[j])
        old = W @ phi_k
        mixed = beta[j] * v[j] + (1 - beta[j]) * old
        new.append(W + np.outer(mixed, phi_k) - np.outer(old, phi_k))
        y.append(new[j] @ key(cell, q[j]))
    return np.stack(new), np.concatenate(y)


def deltanet(cell, p, s, x):
    """beta up to 2 as in Grazzi et al. 2024, eq. 2."""
    beta = sigmoid(p.w_b[:, 0].T @ x) * (2 if cell.eigenvalues == "signed" else 1)
    return delta(cell, s, p, x, beta, np.ones(cell.heads))


def gated_deltanet(cell, p, s, x):
    """alpha as in Mamba-2: exp(-exp(A_log) softplus(a + dt bias))."""
    beta = sigmoid(p.w_b[:, 0].T @ x) * (2 if cell.eigenvalues == "signed" else 1)
    alpha = np.exp(-np.exp(p.a_log) * softplus(p.w_b[:, 1].T @ x + p.b_dt))
    return delta(cell, s, p, x, beta, alpha)


ORACLES = {
    "s6": s6,
    "slstm": slstm,
    "mlstm": mlstm,
    "fastweights": fastweights,
    "gla": gla,
    "deltanet": deltanet,
    "gated_deltanet": gated_deltanet,
}
