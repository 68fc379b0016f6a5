"""Cells written a second time, in NumPy: one matrix a gate, forward loops and backward loops by hand.

Weights are dicts: `W_g` [N, D] and `U_g` [N, N] for each gate g multiply x and h, `b_g` [N] is its bias. A cell is
a pair of functions. Forward takes (weights, xs, state) to (states, tape), states [T + 1, N] with the first one in
front; backward takes the cotangents of every state after the first to gradients of weights, xs and first state.
"""

import numpy as np


def sigmoid(a):
    return 1 / (1 + np.exp(-a))


def zeros_like(weights):
    return {name: np.zeros_like(value) for name, value in weights.items()}


def affine(w, gate, x, h):
    """What arrives at a gate."""
    return w[f"W_{gate}"] @ x + w[f"U_{gate}"] @ h + w[f"b_{gate}"]


def affine_back(w, grads, gate, x, h, da):
    """Adds the weight gradients of a gate whose sum has cotangent `da`; returns those of x and h."""
    grads[f"W_{gate}"] += np.outer(da, x)
    grads[f"U_{gate}"] += np.outer(da, h)
    grads[f"b_{gate}"] += da
    return w[f"W_{gate}"].T @ da, w[f"U_{gate}"].T @ da


# -------------------------------------------------------------------------------------------------- Elman

PHI = {  # the function, and its slope told by its value
    "tanh": (np.tanh, lambda h: 1 - h * h),
    "relu": (lambda a: np.maximum(a, 0), lambda h: (h > 0).astype(float)),
    "identity": (lambda a: a, np.ones_like),
}


def elman(w, xs, h0, phi):
    hs = [h0]
    for x in xs:
        hs.append(PHI[phi][0](affine(w, "h", x, hs[-1])))
    return np.stack(hs)


def elman_back(w, xs, hs, dhs, phi):
    grads, dxs, carried = zeros_like(w), np.zeros_like(xs), np.zeros_like(hs[0])
    for t in reversed(range(len(xs))):
        da = (dhs[t] + carried) * PHI[phi][1](hs[t + 1])
        dxs[t], carried = affine_back(w, grads, "h", xs[t], hs[t], da)
    return grads, dxs, carried


# --------------------------------------------------------------------------------------------------- LSTM


def lstm(w, xs, h0, c0):
    hs, cs, tape = [h0], [c0], []
    for x in xs:
        i, f, o = (sigmoid(affine(w, gate, x, hs[-1])) for gate in "ifo")
        g = np.tanh(affine(w, "g", x, hs[-1]))
        cs.append(f * cs[-1] + i * g)
        hs.append(o * np.tanh(cs[-1]))
        tape.append((i, f, g, o))
    return np.stack(hs), np.stack(cs), tape


def lstm_back(w, xs, hs, cs, tape, dhs, dc_end):
    """`dhs[t]` is the cotangent of h after step t; the cell's own is given for the end alone."""
    grads, dxs, dh, dc = zeros_like(w), np.zeros_like(xs), np.zeros_like(hs[0]), dc_end
    for t in reversed(range(len(xs))):
        i, f, g, o = tape[t]
        squashed = np.tanh(cs[t + 1])
        dh = dh + dhs[t]
        dc = dc + dh * o * (1 - squashed**2)
        sums = {
            "i": dc * g * i * (1 - i),
            "f": dc * cs[t] * f * (1 - f),
            "g": dc * i * (1 - g**2),
            "o": dh * squashed * o * (1 - o),
        }
        dh, dc = np.zeros_like(dh), dc * f
        for gate, da in sums.items():
            dx, back = affine_back(w, grads, gate, xs[t], hs[t], da)
            dxs[t] += dx
            dh += back
    return grads, dxs, dh, dc


# ---------------------------------------------------------------------------------------------------- GRU


def gru(w, xs, h0):
    hs, tape = [h0], []
    for x in xs:
        h = hs[-1]
        r, z = (sigmoid(affine(w, gate, x, h)) for gate in "rz")
        inner = w["U_n"] @ h + w["c_n"]
        n = np.tanh(w["W_n"] @ x + w["b_n"] + r * inner)
        hs.append((1 - z) * n + z * h)
        tape.append((r, z, n, inner))
    return np.stack(hs), tape


def gru_back(w, xs, hs, tape, dhs):
    grads, dxs, dh = zeros_like(w), np.zeros_like(xs), np.zeros_like(hs[0])
    for t in reversed(range(len(xs))):
        r, z, n, inner = tape[t]
        x, h = xs[t], hs[t]
        dh = dh + dhs[t]
        dn = dh * (1 - z) * (1 - n**2)  # at the sum inside tanh
        dinner = dn * r
        grads["W_n"] += np.outer(dn, x)
        grads["b_n"] += dn
        grads["U_n"] += np.outer(dinner, h)
        grads["c_n"] += dinner
        dx_r, dh_r = affine_back(w, grads, "r", x, h, dn * inner * r * (1 - r))
        dx_z, dh_z = affine_back(w, grads, "z", x, h, dh * (h - n) * z * (1 - z))
        dxs[t] = w["W_n"].T @ dn + dx_r + dx_z
        dh = dh * z + w["U_n"].T @ dinner + dh_r + dh_z
    return grads, dxs, dh
