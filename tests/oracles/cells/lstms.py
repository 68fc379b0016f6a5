"""Cells with a protected cell state c."""

import numpy as np
from complex_step import sigmoid


def identity(z):
    return z


def g_1997(z):
    """eq. 5: range (-2, 2)."""
    return 4 / (1 + np.exp(-z)) - 2


def h_1997(z):
    """eq. 4: range (-1, 1)."""
    return 2 / (1 + np.exp(-z)) - 1


def lstm(cell, p, s, x):
    """Gers, Schmidhuber & Cummins 2000 with one cell a block, with their squashing or tanh; gates i, f, g, o."""
    squash_g, squash_h = {"tanh": (np.tanh, np.tanh), "paper": (g_1997, h_1997)}[cell.squashing]
    h, c = s
    W, U = [[m[:, k].T for k in range(4)] for m in (p.w_x, p.w_h)]
    i, f, g, o = (W[k] @ x + U[k] @ h + p.b[k] for k in range(4))
    c = sigmoid(f) * c + sigmoid(i) * squash_g(g)
    h = sigmoid(o) * squash_h(c)
    return type(s)(h, c), h


def lstm_1997(cell, p, s, x):
    """Hochreiter & Schmidhuber 1997, eq. 3-9, block by block: every unit sums over all units u that it sees."""
    g, h = {"paper": (g_1997, h_1997), "tanh": (np.tanh, np.tanh), "identity": (sigmoid, identity)}[cell.squashing]
    kinds = ["in"] + ["forget"] * cell.forget + ["out"] * cell.output_gate
    blocks = [range(j, min(j + cell.block, cell.units)) for j in range(0, cell.units, cell.block)]
    before = {"in": s.i, "forget": s.f, "out": s.o}  # the same number for every cell of a block

    y = []  # what is seen of the step before
    if cell.sees != "nothing":
        y += [s.h[v] for v in range(cell.units)]
    if cell.sees == "all":
        y += [before[kind][block[0]] for kind in kinds for block in blocks]

    def net(from_x, from_y, bias):
        total = sum(from_x[d] * x[d] for d in range(cell.inputs))
        total = total + sum(from_y[u] * y[u] for u in range(len(y)))
        return total + (0 if bias is None else bias)

    y_cell, s_cell = [None] * cell.units, [None] * cell.units
    gates = {kind: [None] * cell.units for kind in kinds}
    for j, block in enumerate(blocks):
        for k, kind in enumerate(kinds):
            from_y = None if p.v_h is None else p.v_h[:, k, j]
            activation = sigmoid(net(p.v_x[:, k, j], from_y, None if p.v_b is None else p.v_b[k, j]))
            for v in block:
                gates[kind][v] = activation
        for v in block:
            from_y = None if p.w_h is None else p.w_h[:, 0, v]
            net_c = net(p.w_x[:, 0, v], from_y, None if p.b is None else p.b[0, v])
            kept = gates["forget"][v] * s.c[v] if cell.forget else s.c[v]
            s_cell[v] = kept + gates["in"][v] * g(net_c)
            y_cell[v] = gates["out"][v] * h(s_cell[v]) if cell.output_gate else h(s_cell[v])
    y_cell, s_cell = np.array(y_cell), np.array(s_cell)
    if cell.sees != "all":
        return type(s)(y_cell, s_cell), y_cell
    seen = [np.array(gates[kind]) if kind in kinds else None for kind in ("in", "forget", "out")]
    return type(s)(y_cell, s_cell, *seen), y_cell


def lstm_peephole(cell, p, s, x):
    """Graves 2013, eq. 7-11; with "identity" Gers, Schraudolph & Schmidhuber 2002, where y^c = y^out s."""
    squash = {"tanh": np.tanh, "identity": identity}[cell.squashing]
    h, c = s
    W, U = [[m[:, k].T for k in range(4)] for m in (p.w_x, p.w_h)]
    i = sigmoid(W[0] @ x + U[0] @ h + np.diag(p.p_i) @ c + p.b[0])
    f = sigmoid(W[1] @ x + U[1] @ h + np.diag(p.p_f) @ c + p.b[1])
    c = f * c + i * squash(W[2] @ x + U[2] @ h + p.b[2])
    o = sigmoid(W[3] @ x + U[3] @ h + np.diag(p.p_o) @ c + p.b[3])
    h = o * squash(c)
    return type(s)(h, c), h


def lstm_coupled(cell, p, s, x):
    """Greff et al. 2015, CIFG: the vanilla LSTM with one gate for both; rows f, g, o."""
    h, c = s
    p_f, p_o = (p.p_f, p.p_o) if cell.peepholes else (np.zeros(cell.units), np.zeros(cell.units))
    W, U = [[m[:, k].T for k in range(3)] for m in (p.w_x, p.w_h)]
    z = np.tanh(W[1] @ x + U[1] @ h + p.b[1])
    f = sigmoid(W[0] @ x + U[0] @ h + p_f * c + p.b[0])
    i = 1 - f
    c = z * i + c * f
    o = sigmoid(W[2] @ x + U[2] @ h + p_o * c + p.b[2])
    h = np.tanh(c) * o
    return type(s)(h, c), h


def lstm_projected(cell, p, s, x):
    """Sak, Senior & Beaufays 2014, LSTMP: m = o tanh(c), r = W_rm m fed back, p = W_pm m not."""
    r, c = s.h, s.c
    W, U = [[m[:, k].T for k in range(4)] for m in (p.w_x, p.w_h)]
    p_i, p_f, p_o = (p.p_i, p.p_f, p.p_o) if cell.peepholes else np.zeros((3, cell.units))
    i = sigmoid(W[0] @ x + U[0] @ r + p_i * c + p.b[0])
    f = sigmoid(W[1] @ x + U[1] @ r + p_f * c + p.b[1])
    c = f * c + i * np.tanh(W[2] @ x + U[2] @ r + p.b[2])
    o = sigmoid(W[3] @ x + U[3] @ r + p_o * c + p.b[3])
    m = o * np.tanh(c)
    n_r = cell.projection if cell.projection else (cell.units + 1) // 2
    W_rm, W_pm = p.w_r.T[:n_r], p.w_r.T[n_r:]
    r, extra = W_rm @ m, W_pm @ m
    return type(s)(r, c, extra if cell.nonrecurrent else None), np.concatenate([r, extra])


def lstm_layer_norm(cell, p, s, x):
    """Ba, Kiros & Hinton 2016, supplement, eq. 15-16 and 20-22; "gates" and `carried` as TensorFlow's contrib cell."""

    def LN(z, alpha, beta):
        mu = sum(z) / len(z)
        sigma = np.sqrt(sum((z - mu) ** 2) / len(z) + cell.epsilon)
        return (z - mu) / sigma * alpha + beta

    h, c = s
    n = cell.units
    W = np.concatenate([p.w_x[:, k].T for k in range(4)])  # [4N, D]
    U = np.concatenate([p.w_h[:, k].T for k in range(4)])
    b = p.b.reshape(4 * n)
    if cell.sums == "apart":
        (a_h, a_x), (b_h, b_x) = p.gain.reshape(2, 4 * n), p.shift.reshape(2, 4 * n)
        gates = LN(U @ h, a_h, b_h) + LN(W @ x, a_x, b_x) + b
    else:
        gates = U @ h + W @ x
        if cell.sums == "gates":
            gates = np.concatenate([LN(gates[k * n : k * n + n], p.gain[0, k], p.shift[0, k]) for k in range(4)])
        gates = gates + b
    i, f, g, o = gates.reshape(4, n)
    c = sigmoid(f) * c + sigmoid(i) * np.tanh(g)
    normed = LN(c, p.gain_c, p.shift_c)
    h = sigmoid(o) * np.tanh(normed)
    return type(s)(h, normed if cell.carried else c), h


def lstm_refine(cell, p, s, x):
    """Gu et al. 2020, the pseudo-code of the UR-LSTM: g = 2 r f + (1 - 2 r) f^2; rows f, r, o, a."""
    h, c = s
    W, U = [[m[:, k].T for k in range(4)] for m in (p.w_x, p.w_h)]
    f, r, o, a = (W[k] @ x + U[k] @ h + p.b[k] for k in range(4))
    f, r = sigmoid(f), sigmoid(r)
    g = 2 * r * f + (1 - 2 * r) * f**2
    c = g * c + (1 - g) * np.tanh(a)
    h = sigmoid(o) * np.tanh(c)
    return type(s)(h, c), h


def lstm_multiplicative(cell, p, s, x):
    """Krause et al. 2016: m = (W_mx x) * (W_mh h), and an LSTM that sees m for h."""
    h, c = s
    W_mx, W_mh = p.m_x[:, 0].T, p.m_h[:, 0].T
    m = (W_mx @ x) * (W_mh @ h)
    W, V = [[a[:, k].T for k in range(4)] for a in (p.w_x, p.w_m)]
    i, f, h_hat, o = (W[k] @ x + V[k] @ m + p.b[k] for k in range(4))
    i, f, o = sigmoid(i), sigmoid(f), sigmoid(o)
    if cell.squashing == "inside":
        c = f * c + i * h_hat
        h = np.tanh(c * o)
    else:
        c = f * c + i * np.tanh(h_hat)
        h = np.tanh(c) * o
    return type(s)(h, c), h


ORACLES = {
    "lstm": lstm,
    "lstm_1997": lstm_1997,
    "lstm_peephole": lstm_peephole,
    "lstm_coupled": lstm_coupled,
    "lstm_projected": lstm_projected,
    "lstm_layer_norm": lstm_layer_norm,
    "lstm_refine": lstm_refine,
    "lstm_multiplicative": lstm_multiplicative,
}
