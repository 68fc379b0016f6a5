"""The cells of rnnx/cells/linear."""

import numpy as np
from complex_step import relu, sigmoid, softplus

# Complex numbers of the papers are pairs (real, imaginary): the imaginary unit of NumPy belongs to the complex step.


def times(a, b):
    return a[0] * b[0] - a[1] * b[1], a[0] * b[1] + a[1] * b[0]


def over(a, b):
    size = b[0] * b[0] + b[1] * b[1]
    return (a[0] * b[0] + a[1] * b[1]) / size, (a[1] * b[0] - a[0] * b[1]) / size


def plus(a, b):
    return a[0] + b[0], a[1] + b[1]


def exp(a):
    return np.exp(a[0]) * np.cos(a[1]), np.exp(a[0]) * np.sin(a[1])


def skip(d, x):
    """The feedthrough D: diagonal where it is a vector."""
    return d * x if d.ndim == 1 else d.T @ x


def indrnn(cell, p, s, x):
    """Li et al. 2018: h = phi(W x + u * h + b)."""
    phi = {"relu": relu, "tanh": np.tanh, "identity": lambda a: a}[cell.nonlinearity]
    h = phi(p.w_x[:, 0].T @ x + p.u[0] * s + p.b[0])
    return h, h


def lru(cell, p, s, x):
    """Orvieto et al. 2023, eq. 7: x_k = Lambda x_{k-1} + exp(gamma_log) * (B u_k), y_k = Re(C x_k) + D u_k."""
    lam = exp((-np.exp(p.nu_log), np.exp(p.theta_log)))
    gamma = np.exp(p.gamma_log) if cell.normalise else 1
    h = plus(times(lam, s), (gamma * (p.b_re.T @ x), gamma * (p.b_im.T @ x)))
    y = p.c_re.T @ h[0] - p.c_im.T @ h[1]
    return h, y + skip(p.d, x)


def discrete(rule, a, b, dt):
    """(A_, B_) of a diagonal system: zero-order hold exp(dt A), (dt A)^-1 (exp(dt A) - 1) dt B; or bilinear."""
    da = dt * a[0], dt * a[1]
    if rule == "zoh":
        a_ = exp(da)
        return a_, times(over((a_[0] - 1, a_[1]), a), b)
    low = 1 - da[0] / 2, -da[1] / 2
    return over((1 + da[0] / 2, da[1] / 2), low), over((dt * b[0], dt * b[1]), low)


def s4d(cell, p, s, x):
    """Gu et al. 2022: each channel x' = A x + B u, y = 2 Re(C x) + D u, discretised."""
    u = p.w_x[:, 0].T @ x
    state, y = (np.zeros_like(s[0] + u[0]), np.zeros_like(s[0] + u[0])), []
    decay = {"exp": np.exp, "relu": relu, "none": lambda a: a}[cell.real_part]
    for n in range(len(u)):
        a = -decay(p.a_re[n]), p.a_im[n]
        a_, b_ = discrete(cell.discretisation, a, (p.b_re[n], p.b_im[n]), np.exp(p.log_dt[n]))
        h = plus(times(a_, (s[0][n], s[1][n])), (b_[0] * u[n], b_[1] * u[n]))
        state[0][n], state[1][n] = h
        y.append(2 * np.sum(times((p.c_re[n], p.c_im[n]), h)[0]) + p.d[n] * u[n])
    return state, np.stack(y)


def s5(cell, p, s, x):
    """Smith et al. 2023: x_k = A_ x_{k-1} + B_ u_k with the matrix B_ [P, H], y_k = Re(C x_k) + D u_k, twice the real
    part where only one of each conjugate pair is there."""
    least = np.where(np.real(p.lam_re) > -1e-4, -1e-4, p.lam_re) if cell.clip_eigs else p.lam_re
    column = least[:, None], p.lam_im[:, None]
    b = p.b_re.T, p.b_im.T
    a_, b_ = discrete(cell.discretisation, column, b, np.exp(p.log_dt)[:, None])
    h = plus(times((a_[0][:, 0], a_[1][:, 0]), s), (b_[0] @ x, b_[1] @ x))
    y = p.c_re.T @ h[0] - p.c_im.T @ h[1]
    return h, (2 if cell.conj_sym else 1) * y + skip(p.d, x)


def rglru(cell, p, s, x):
    """De et al. 2024, eq. 1-4; log a_t = -c softplus(Lambda) r_t."""
    x = p.w_x[:, 0].T @ x + p.b[0]
    n = len(x) // cell.blocks
    r, i = [
        np.concatenate([p.w_g[k, :, g].T @ x[k * n : (k + 1) * n] for k in range(cell.blocks)]) + p.b_g[g]
        for g in range(2)
    ]
    a = np.exp(-cell.c * softplus(p.lam) * sigmoid(r))
    h = a * s + np.sqrt(1 - a**2) * (sigmoid(i) * x)
    return h, h


def candidate(cell, a):
    """g of Feng et al. 2024, appendix B, where h is to be positive."""
    if cell.candidate == "positive":
        return np.where(np.real(a) >= 0, a + 0.5, sigmoid(a))
    return np.tanh(a) if cell.candidate == "tanh" else a


def mingru(cell, p, s, x):
    """Feng et al. 2024: h = (1 - z) h + z h~."""
    W = [p.w_x[:, k].T for k in range(2)]
    z = sigmoid(W[0] @ x + p.b[0])
    h = (1 - z) * s + z * candidate(cell, W[1] @ x + p.b[1])
    return h, h


def minlstm(cell, p, s, x):
    """Feng et al. 2024: f' = f / (f + i), i' = i / (f + i), h = f' h + i' h~."""
    W = [p.w_x[:, k].T for k in range(3)]
    f = sigmoid(W[0] @ x + p.b[0])
    i = sigmoid(W[1] @ x + p.b[1])
    total = f + i if cell.normalise else 1
    h = f / total * s + i / total * candidate(cell, W[2] @ x + p.b[2])
    return h, h


def sru(cell, p, s, x):
    """Lei et al. 2018, eq. 1-4; without v the first version of the paper. The skip as in the authors' code."""
    W = [m[:, k].T for m in (p.w_x, p.w_y) for k in range(m.shape[1])]
    g = {"identity": lambda a: a, "tanh": np.tanh, "relu": relu}[cell.nonlinearity]
    c = s.c if cell.peephole else s
    v = p.v if cell.peephole else np.zeros((2, len(c)))
    f = sigmoid(W[1] @ x + v[0] * c + p.b[0])
    r = sigmoid(W[2] @ x + v[1] * c + p.b_y[0])
    c = f * c + (1 - f) * (W[0] @ x)
    alpha = np.sqrt(1 + 2 * np.exp(cell.highway_bias)) if cell.rescale else 1
    if not cell.highway:
        h = r * g(c)
    elif len(W) == 4:
        h = r * g(c) + (1 - r) * (W[3] @ x)
    else:
        h = r * g(c) + (1 - r) * x * alpha
    return (type(s)(h, c) if cell.peephole else c), h


def qrnn(cell, p, s, x):
    """Bradbury et al. 2017, section 2: a convolution over the window, then f-, fo- or ifo-pooling."""
    inputs = np.concatenate([*s.xs, x]) if cell.window > 1 else x
    c = s.c if cell.window > 1 else s
    rows = [p.w_x[:, k].T @ inputs + p.b[k] for k in range(p.w_x.shape[1])]
    z, f = np.tanh(rows[0]), sigmoid(rows[1])
    if cell.pooling == "ifo":
        c = f * c + sigmoid(rows[2]) * z
    else:
        c = f * c + (1 - f) * z
    h = c if cell.pooling == "f" else sigmoid(rows[-1]) * c
    if cell.window == 1:
        return c, h
    return type(s)(h, c, np.concatenate([s.xs, x[None]])[1:]), h


ORACLES = {
    "indrnn": indrnn,
    "lru": lru,
    "s4d": s4d,
    "s5": s5,
    "rglru": rglru,
    "mingru": mingru,
    "minlstm": minlstm,
    "sru": sru,
    "qrnn": qrnn,
}
