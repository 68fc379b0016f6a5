"""Each cell against the same equations in NumPy: values, final states and every first derivative."""

import jax
import jax.numpy as jnp
import numpy as np
import numpy_cells as plain
import pytest

import rnnx
from rnnx.cells import Elman, elman, gru, lstm

D, N, T = 3, 4, 9
GATES = {"elman": "h", "lstm": "ifgo", "gru": "rzn"}


def drawn(name):
    """Weights by gate, a sequence, a first state of two rows, and the cotangents of outputs and final state."""
    draw = np.random.default_rng(len(name)).normal
    weights = {f"b_{gate}": draw(size=N) for gate in GATES[name]}
    weights |= {f"W_{gate}": draw(size=(N, D)) for gate in GATES[name]}
    weights |= {f"U_{gate}": draw(size=(N, N)) / 2 for gate in GATES[name]}
    if name == "gru":
        weights["c_n"] = draw(size=N)
    return weights, draw(size=(T, D)), draw(size=(2, N)), draw(size=(T, N)), draw(size=(2, N))


def packed(name, by_gate):
    """Weights, or their gradients, in rnnx's arrays."""
    w_x, w_h = (np.stack([by_gate[f"{letter}_{g}"].T for g in GATES[name]], axis=1) for letter in "WU")
    b = np.stack([by_gate[f"b_{g}"] for g in GATES[name]])
    if name == "gru":
        return gru.Params(w_x, w_h, b, by_gate["c_n"])
    return {"elman": elman.Params, "lstm": lstm.Params}[name](w_x, w_h, b)


def close(got, want):
    jax.tree.map(lambda a, b: np.testing.assert_allclose(a, b, rtol=1e-12, atol=1e-12 * np.max(np.abs(b))), got, want)


def differentiated(cell, params, xs, state, dys, dend):
    """((final, ys), gradients of params, xs, state) for the cotangents given."""

    def run(*arguments):
        out, back = jax.vjp(lambda *a: rnnx.scan(cell, *a), *arguments)
        return out, back((dend, dys))

    return jax.jit(run)(*jax.tree.map(jnp.asarray, (params, xs, state)))


@pytest.mark.parametrize("phi", plain.PHI)
def test_elman(phi):
    w, xs, (h0, _), dys, (dend, _) = drawn("elman")
    hs = plain.elman(w, xs, h0, phi)
    dhs = dys.copy()
    dhs[-1] += dend
    grads, dxs, dh0 = plain.elman_back(w, xs, hs, dhs, phi)
    got = differentiated(Elman(D, N, phi), packed("elman", w), xs, h0, dys, dend)
    close(got, ((hs[-1], hs[1:]), (packed("elman", grads), dxs, dh0)))


def test_lstm():
    w, xs, (h0, c0), dys, (dh_end, dc_end) = drawn("lstm")
    hs, cs, tape = plain.lstm(w, xs, h0, c0)
    dhs = dys.copy()
    dhs[-1] += dh_end
    grads, dxs, dh0, dc0 = plain.lstm_back(w, xs, hs, cs, tape, dhs, dc_end)
    cell = rnnx.cells.LSTM(D, N)
    got = differentiated(cell, packed("lstm", w), xs, lstm.State(h0, c0), dys, lstm.State(dh_end, dc_end))
    want = (lstm.State(hs[-1], cs[-1]), hs[1:]), (packed("lstm", grads), dxs, lstm.State(dh0, dc0))
    close(got, want)


def test_gru():
    w, xs, (h0, _), dys, (dend, _) = drawn("gru")
    hs, tape = plain.gru(w, xs, h0)
    dhs = dys.copy()
    dhs[-1] += dend
    grads, dxs, dh0 = plain.gru_back(w, xs, hs, tape, dhs)
    got = differentiated(rnnx.cells.GRU(D, N), packed("gru", w), xs, h0, dys, dend)
    close(got, ((hs[-1], hs[1:]), (packed("gru", grads), dxs, dh0)))
