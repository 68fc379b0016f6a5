"""The cells of rnnx/cells/leaky."""

import numpy as np
from complex_step import relu, sigmoid

PHI = {"tanh": np.tanh, "relu": relu, "sigmoid": sigmoid, "identity": lambda a: a}


def ctrnn(cell, p, s, x):
    """tau dh/dt = -h + phi(W x + U h + b), or tau dc/dt = -c + W x + U phi(c) + b: pycog's euler.pyx."""
    W, U = p.w_x[:, 0].T, p.w_h[:, 0].T
    tau = np.exp(p.log_tau) if cell.learned else cell.tau
    alpha = cell.dt / tau if cell.integrator == "euler" else 1 - np.exp(-cell.dt / tau)
    phi = PHI[cell.nonlinearity]
    if cell.form == "rates":
        h = s + alpha * (-s + phi(W @ x + U @ s + p.b[0]))
        return h, h
    c = s.c + alpha * (-s.c + W @ x + U @ s.r + p.b[0])
    return type(s)(phi(c), c), phi(c)


def clockwork(cell, p, s, x):
    """Koutnik et al. 2014, section 3: rows with (t MOD T_i) = 0 are evaluated, blocks W_ij with T_j < T_i are 0."""
    N = cell.units
    groups = [g for n in range(N) for g in range(cell.groups) if n % cell.groups == g]
    T = cell.base ** np.sort(groups)
    W, U, t = p.w_x[:, 0].T, p.w_h[:, 0].T.copy(), np.real(s.t)
    h = s.h.copy()
    for i in range(N):
        for j in range(N):
            if T[j] < T[i]:
                U[i, j] = 0
    for i in range(N):
        if t % T[i] == 0:
            h[i] = np.tanh(W[i] @ x + U[i] @ s.h + p.b[0, i])
    return type(s)(h, s.t + 1 - (T.max() if t + 1 == T.max() else 0)), h


def antisymmetric(cell, p, s, x):
    """Chang et al. 2019, eq. 12."""
    V, W = p.w_x[:, 0].T, p.w_h[:, 0].T
    M = W - W.T - cell.gamma * np.eye(cell.units)
    h = s + cell.epsilon * np.tanh(M @ s + V @ x + p.b[0])
    return h, h


def antisymmetric_gated(cell, p, s, x):
    """Chang et al. 2019, eq. 13."""
    Vz, Vh, W = p.w_x[:, 0].T, p.w_x[:, 1].T, p.w_h[:, 0].T
    M = W - W.T - cell.gamma * np.eye(cell.units)
    z = sigmoid(M @ s + Vz @ x + p.b[0])
    h = s + cell.epsilon * z * np.tanh(M @ s + Vh @ x + p.b[1])
    return h, h


def lipschitz(cell, p, s, x):
    """models.py of Erichson et al.: LipschitzRNN, _gated and _ODE (midpoint)."""
    I = np.eye(cell.units)  # noqa: E741
    MA, MW = p.w_h[:, 0].T, p.w_h[:, 1].T
    A = cell.beta_a * (MA - MA.T) + (1 - cell.beta_a) * (MA + MA.T) - cell.gamma_a * I
    W = cell.beta_w * (MW - MW.T) + (1 - cell.beta_w) * (MW + MW.T) - cell.gamma_w * I
    z = p.w_x[:, 0].T @ x + p.b[0]

    def f(h):
        q = A @ h + np.tanh(W @ h + z)
        return q * sigmoid(W @ h + p.w_x[:, 1].T @ x + p.b[1]) if cell.gated else q

    middle = s + cell.epsilon / 2 * f(s)
    h = s + cell.epsilon * f(middle if cell.integrator == "rk2" else s)
    return h, h


def plrnn(cell, p, s, x):
    """shallow_plrnn.jl of Hess et al. 2023."""
    W1, W2, C = p.w_1.T, p.w_2.T, p.w_x[:, 0].T
    inner = relu(W2 @ s + p.h_2) - (relu(W2 @ s) if cell.clipped else 0)
    z = p.a * s + W1 @ inner + p.h_1 + C @ x
    return z, z


def rplrnn(cell, p, s, x):
    """gdplrnn/model.py of Schmidt et al. 2021: the off-diagonal part of W, the diagonal A."""
    W, C = p.w_h[:, 0].T, p.w_x[:, 0].T
    z = np.diag(p.a) @ s.z + (W - np.diag(np.diag(W))) @ s.r + p.b[0] + C @ x
    return type(s)(relu(z), z), z


def esn(cell, p, s, x):
    """minimalESN of Lukosevicius: x = (1-a) x + a tanh(Win [1;u] + W x), y = Wout [1;u;x]."""
    N, D = cell.units, cell.inputs
    rng = np.random.default_rng(cell.seed)
    Win = rng.uniform(-1, 1, (N, 1 + D)) * np.array([cell.bias_scale] + D * [cell.input_scale])
    W = rng.uniform(-1, 1, (N, N))
    W[rng.random((N, N)) >= cell.density] = 0
    W *= cell.radius / max(abs(np.linalg.eigvals(W)))
    one = np.ones(1)
    phi = PHI[cell.nonlinearity]
    h = (1 - cell.leak) * s + cell.leak * phi(Win @ np.concatenate([one, x]) + W @ s)
    return h, p.w_out.T @ np.concatenate([one, x, h])


ORACLES = {
    "ctrnn": ctrnn,
    "clockwork": clockwork,
    "antisymmetric": antisymmetric,
    "antisymmetric_gated": antisymmetric_gated,
    "lipschitz": lipschitz,
    "plrnn": plrnn,
    "rplrnn": rplrnn,
    "esn": esn,
}
