"""Cells with gates."""

import numpy as np
from complex_step import relu, sigmoid

PHI = {"tanh": np.tanh, "relu": relu, "sigmoid": sigmoid, "identity": lambda a: a}


def gru(cell, p, s, x):
    """Reset after the product; gates r, z, n."""
    W, U = [[m[:, k].T for k in range(3)] for m in (p.w_x, p.w_h)]
    r = sigmoid(W[0] @ x + U[0] @ s + p.b[0])
    z = sigmoid(W[1] @ x + U[1] @ s + p.b[1])
    n = np.tanh(W[2] @ x + p.b[2] + r * (U[2] @ s + p.c))
    h = z * s + (1 - z) * n
    return h, h


def gru_before(cell, p, s, x):
    """Cho et al. 2014, eq. 5-8: h~ = phi(W x + U (r * h)), h' = z h + (1 - z) h~."""
    W = [p.w_x[:, k].T for k in range(3)]
    U = [p.w_h[:, 0].T, p.w_h[:, 1].T, p.w_n.T]
    r = sigmoid(W[0] @ x + U[0] @ s + p.b[0])
    z = sigmoid(W[1] @ x + U[1] @ s + p.b[1])
    n = np.tanh(W[2] @ x + U[2] @ (r * s) + p.b[2])
    h = z * s + (1 - z) * n
    return h, h


def mgu(cell, p, s, x):
    """Zhou et al. 2016: f from [h, x]; h~ from [f * h, x]; h' = (1 - f) h + f h~."""
    Wf, Wh = p.w_x[:, 0].T, p.w_x[:, 1].T
    Uf, Uh = p.w_h[:, 0].T, p.w_n.T
    bf, bh = p.b
    f = sigmoid(Uf @ s + Wf @ x + bf)
    h_new = np.tanh(Uh @ (f * s) + Wh @ x + bh)
    h = (1 - f) * s + f * h_new
    return h, h


def ugrnn(cell, p, s, x):
    """Collins et al. 2016, eq. 2-4; b^fg is part of b^g."""
    Wcx, Wgx = p.w_x[:, 0].T, p.w_x[:, 1].T
    Wch, Wgh = p.w_h[:, 0].T, p.w_h[:, 1].T
    bc, bg = p.b
    c = PHI[cell.nonlinearity](Wch @ s + Wcx @ x + bc)
    g = sigmoid(Wgh @ s + Wgx @ x + bg)
    h = g * s + (1 - g) * c
    return h, h


def janet(cell, p, s, x):
    """van der Westhuizen & Lasenby 2018: c' = sigma(s) c + (1 - sigma(s - beta)) c~, h = c."""
    Wf, Wc = p.w_x[:, 0].T, p.w_x[:, 1].T
    Uf, Uc = p.w_h[:, 0].T, p.w_h[:, 1].T
    bf, bc = p.b
    a = Uf @ s + Wf @ x + bf
    c_new = np.tanh(Uc @ s + Wc @ x + bc)
    c = sigmoid(a) * s + (1 - sigmoid(a - cell.beta)) * c_new
    return c, c


def cfn(cell, p, s, x):
    """Laurent & von Brecht 2016, eq. 1-2; with h - h_inf for h in eq. 1 where a state at rest is learned."""
    Vt, Ve, W = (p.w_x[:, k].T for k in range(3))
    Ut, Ue = p.w_h[:, 0].T, p.w_h[:, 1].T
    bt, be = p.b
    theta = sigmoid(Ut @ s + Vt @ x + bt)
    eta = sigmoid(Ue @ s + Ve @ x + be)
    if cell.rest:
        h = p.h_inf + theta * np.tanh(s - p.h_inf) + eta * np.tanh(W @ x)
    else:
        h = theta * np.tanh(s) + eta * np.tanh(W @ x)
    return h, h


def minimalrnn(cell, p, s, x):
    """Chen 2017: z = Phi(x); u = sigma(U_h h + U_z z + b_u); h' = u h + (1 - u) z."""
    Wx, Uz, Uh = p.w_x[:, 0].T, p.w_z[:, 0].T, p.w_h[:, 0].T
    bz, bu = p.b
    z = PHI[cell.nonlinearity](Wx @ x + bz)
    u = sigmoid(Uh @ s + Uz @ z + bu)
    h = u * s + (1 - u) * z
    return h, h


def rhn(cell, p, s, x):
    """Zilly et al. 2016, eq. 6-9, layer by layer; W_H, W_T, W_C act in the first one."""
    for layer in range(cell.depth):
        R = p.w_h if layer == 0 else p.w_deep[layer - 1]
        b = p.b if layer == 0 else p.b_deep[layer - 1]
        H, T, *C = (R[:, k].T @ s + b[k] + (p.w_x[:, k].T @ x if layer == 0 else 0) for k in range(len(b)))
        h, t = np.tanh(H), sigmoid(T)
        c = sigmoid(C[0]) if cell.carry == "free" else 1 - t
        s = h * t + s * c
    return s, s


def _product(factors):
    """W as a matrix of the paper, where it is kept as one or as two of low rank."""
    matrix = factors[0][:, 0]
    for factor in factors[1:]:
        matrix = matrix @ factor[:, 0]
    return matrix.T


def fastgrnn(cell, p, s, x):
    """Kusupati et al. 2018, eq. 6 and 7."""
    W, U = _product(p.w_x), _product(p.w_h)
    bz, bh = p.b
    zeta, nu = sigmoid(p.zeta), sigmoid(p.nu)
    z = PHI[cell.gate](W @ x + U @ s + bz)
    h_new = PHI[cell.nonlinearity](W @ x + U @ s + bh)
    h = (zeta * (1 - z) + nu) * h_new + z * s
    return h, h


def fastrnn(cell, p, s, x):
    """Kusupati et al. 2018, eq. 2 and 7."""
    W, U = _product(p.w_x), _product(p.w_h)
    h_new = PHI[cell.nonlinearity](W @ x + U @ s + p.b[0])
    h = sigmoid(p.alpha) * h_new + sigmoid(p.beta) * s
    return h, h


ORACLES = {
    "gru": gru,
    "gru_before": gru_before,
    "mgu": mgu,
    "ugrnn": ugrnn,
    "janet": janet,
    "cfn": cfn,
    "minimalrnn": minimalrnn,
    "rhn": rhn,
    "fastgrnn": fastgrnn,
    "fastrnn": fastrnn,
}
