"""Cells without gates."""

import numpy as np
from complex_step import relu, sigmoid

PHI = {"tanh": np.tanh, "relu": relu, "identity": lambda a: a}


def elman(cell, p, s, x):
    W, U, b = p.w_x[:, 0].T, p.w_h[:, 0].T, p.b[0]
    h = PHI[cell.nonlinearity](W @ x + U @ s + b)
    return h, h


def scrn(cell, p, s, x):
    """Mikolov et al. 2014, eq. 4-6: slow context units beside the hidden ones; both are read out."""
    A, R, B, P = p.w_x[:, 0].T, p.w_h[:, 0].T, p.w_c[:, 0].T, p.w_s[:, 0].T
    alpha = sigmoid(p.beta) if cell.adaptive else cell.alpha
    context = (1 - alpha) * (B @ x) + alpha * s.s
    hidden = sigmoid(P @ context + A @ x + R @ s.h)
    return s._replace(h=hidden, s=context), np.concatenate([hidden, context])


def mrnn(cell, p, s, x):
    """Sutskever et al. 2011: f = diag(W_fx x) W_fh h, h' = tanh(W_hf f + W_hx x + b)."""
    W_hx, W_fx, W_fh, W_hf = p.w_x[:, 0].T, p.w_fx[:, 0].T, p.w_h[:, 0].T, p.w_f[:, 0].T
    f = np.diag(W_fx @ x) @ W_fh @ s
    h = np.tanh(W_hf @ f + W_hx @ x + p.b[0])
    return h, h


ORACLES = {"elman": elman, "scrn": scrn, "mrnn": mrnn}
