"""First derivatives of a NumPy program by the complex step, and the functions that let it pass.

    df/dx = Im f(x + i eps) / eps,    eps = 1e-30: exact to rounding, there is no difference to cancel
    (Squire & Trapp 1998, SIAM Review 40, 110-112)

It holds for programs made of analytic functions; the ones below branch on the real part. A program that computes
with complex numbers of its own keeps them as two real parts.
"""

import numpy as np

EPS = 1e-30


def sigmoid(a):
    return 1 / (1 + np.exp(-a))


def softplus(a):
    return np.log(1 + np.exp(a))


def relu(a):
    return np.where(np.real(a) > 0, a, 0)


def absolute(a):
    return np.where(np.real(a) < 0, -a, a)


def maximum(a, b):
    return np.where(np.real(a) >= np.real(b), a, b)


def gradient(objective, arrays):
    """Gradients of the real number objective(arrays) with respect to each array of a list, entry by entry."""
    out = []
    for i, array in enumerate(arrays):
        slope = np.zeros(np.shape(array))
        for place in np.ndindex(np.shape(array)):
            moved = [np.array(a, complex) for a in arrays]
            moved[i][place] += 1j * EPS
            slope[place] = np.imag(objective(moved)) / EPS
        out.append(slope)
    return out
