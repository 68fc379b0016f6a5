"""Cells without gates."""

import numpy as np
from complex_step import relu

PHI = {"tanh": np.tanh, "relu": relu, "identity": lambda a: a}


def elman(cell, p, s, x):
    W, U, b = p.w_x[:, 0].T, p.w_h[:, 0].T, p.b[0]
    h = PHI[cell.nonlinearity](W @ x + U @ s + b)
    return h, h


ORACLES = {"elman": elman}
