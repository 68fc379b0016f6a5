"""Cells with gates."""

import numpy as np
from complex_step import sigmoid


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


ORACLES = {"gru": gru, "gru_before": gru_before}
