"""Cells with a protected cell state c."""

import numpy as np
from complex_step import sigmoid


def lstm(cell, p, s, x):
    """Gers, Schmidhuber & Cummins 2000, with tanh; gates i, f, g, o."""
    h, c = s
    W, U = [[m[:, k].T for k in range(4)] for m in (p.w_x, p.w_h)]
    i, f, g, o = (W[k] @ x + U[k] @ h + p.b[k] for k in range(4))
    c = sigmoid(f) * c + sigmoid(i) * np.tanh(g)
    h = sigmoid(o) * np.tanh(c)
    return type(s)(h, c), h


ORACLES = {"lstm": lstm}
