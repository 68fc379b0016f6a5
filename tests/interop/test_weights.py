"""Weights of other libraries: torch's stored numbers, tutorials' concatenated matrices, and what is refused."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from make_torch_cells import CASES, STORED, D, N, T, ruler, suffixes, unpacked

import rnnx
from rnnx.cells import CELLS, gru, lstm
from rnnx.interop.weights import from_concatenated, from_torch, to_concatenated, to_torch


@pytest.fixture(scope="module", params=CASES)
def stored(request):
    with np.load(STORED) as file:
        return request.param, unpacked(request.param, file[request.param])


def close(got, want):
    np.testing.assert_allclose(got, want, rtol=1e-12, atol=1e-12)


def like_torch(cell, params, xs, first, reverse, cotangents):
    """((final, ys), gradients of params, xs and first state) of one direction."""

    def run(*arguments):
        out, back = jax.vjp(lambda *a: rnnx.scan(cell, *a, reverse=reverse), *arguments)
        return out, back(cotangents)

    return jax.jit(run)(*jax.tree.map(jnp.asarray, (params, xs, first)))


def test_torch_computes_the_same(stored):
    case, told = stored
    _, options, name, gates, _ = CASES[case]
    cell = CELLS[name](D, N, **({"nonlinearity": options["nonlinearity"]} if "nonlinearity" in options else {}))
    letters = ("h", "c") if name == "lstm" else ("h",)
    dxs = np.zeros((T, D))
    for i, suffix in enumerate(suffixes(case)):
        columns = slice(i * N, (i + 1) * N)

        def state(what, i=i):
            leaves = [what(letter)[i] for letter in letters]
            return lstm.State(*leaves) if name == "lstm" else leaves[0]

        first, final = (state(lambda s, when=when: told[f"{when}_{s}"]) for when in ("first", "final"))
        dfinal = state(lambda s: ruler(told[f"final_{s}"].shape))
        dfirst = state(lambda s: told[f"gradient of first_{s}"])
        dys = ruler(told["ys"].shape)[:, columns]
        out, gradients = like_torch(
            cell, from_torch(name, told, suffix), told["xs"], first, suffix.endswith("reverse"), (dfinal, dys)
        )
        jax.tree.map(close, out, (final, told["ys"][:, columns]))
        jax.tree.map(close, gradients[2], dfirst)
        dxs += gradients[1]
        written = to_torch(name, gradients[0], suffix)
        summed = (2 if name == "gru" else gates) * N  # so many biases are read as the sum of two, with one gradient
        written[f"bias_hh{suffix}"][:summed] = written[f"bias_ih{suffix}"][:summed]
        for key, gradient in written.items():
            close(gradient, told[f"gradient of {key}"])
    close(dxs, told["gradient of xs"])


def test_there_and_back(stored):
    case, told = stored
    name = CASES[case][2]
    for suffix in suffixes(case):
        params = from_torch(name, told, suffix)
        written = to_torch(name, params, suffix)
        assert set(written) == {f"{what}_{side}{suffix}" for what in ("weight", "bias") for side in ("ih", "hh")}
        for a, b in zip(params, from_torch(name, written, suffix), strict=True):
            np.testing.assert_array_equal(a, b)
        for key in ("weight_ih", "weight_hh"):
            np.testing.assert_array_equal(written[key + suffix], told[key + suffix])
        both = written[f"bias_ih{suffix}"] + written[f"bias_hh{suffix}"]
        close(both, told[f"bias_ih{suffix}"] + told[f"bias_hh{suffix}"])


@pytest.mark.parametrize("name", ["elman", "gru", "lstm"])
def test_params_survive_torch(name):
    params = CELLS[name](D, N).init(jax.random.key(0))
    params = jax.tree.map(lambda a: np.random.default_rng(a.size).normal(size=a.shape), params)
    back = from_torch(name, to_torch(name, params))
    assert type(back) is type(params)
    for a, b in zip(back, params, strict=True):
        np.testing.assert_array_equal(a, b)


def test_a_module_without_bias_reads_as_zeros():
    weights = {"weight_ih": np.ones((3 * N, D)), "weight_hh": np.ones((3 * N, N))}
    params = from_torch("gru", weights)
    assert not params.b.any() and not params.c.any() and params.b.shape == (3, N) and params.c.shape == (N,)


# ------------------------------------------------------------------------------------------- concatenated


def concatenated_lstm(w, xs, h, c):
    """An LSTM as tutorials write it: every gate is a matrix times [h, x]."""

    def sigmoid(a):
        return 1 / (1 + np.exp(-a))

    hs = []
    for x in xs:
        both = np.concatenate([h, x])
        forget = sigmoid(w["W_f"] @ both + w["b_f"])
        write = sigmoid(w["W_i"] @ both + w["b_i"])
        candidate = np.tanh(w["W_C"] @ both + w["b_C"])
        out = sigmoid(w["W_o"] @ both + w["b_o"])
        c = forget * c + write * candidate
        h = out * np.tanh(c)
        hs.append(h)
    return (h, c), np.stack(hs)


def concatenated(letters):
    draw = np.random.default_rng(0).normal
    return {f"W_{g}": draw(size=(N, N + D)) for g in letters} | {f"b_{g}": draw(size=N) for g in letters}


def test_concatenated_lstm():
    weights = concatenated("fiCo")
    xs, h, c = np.split(np.random.default_rng(1).normal(size=T * D + 2 * N), [T * D, T * D + N])
    want = concatenated_lstm(weights, xs.reshape(T, D), h, c)
    params = jax.tree.map(jnp.asarray, from_concatenated("lstm", weights))
    got = rnnx.scan(CELLS["lstm"](D, N), params, xs.reshape(T, D), lstm.State(h, c))
    for a, b in zip(jax.tree.leaves(got), jax.tree.leaves(want), strict=True):
        close(a, b)


@pytest.mark.parametrize("name, letters", [("lstm", "fiCo"), ("elman", "h")])
def test_concatenated_there_and_back(name, letters):
    weights = concatenated(letters)
    back = to_concatenated(name, from_concatenated(name, weights))
    assert set(back) == set(weights)
    for key in weights:
        np.testing.assert_array_equal(back[key], weights[key])


# ------------------------------------------------------------------------------------------------ refused

TORCH = {"weight_ih": np.zeros((4 * N, D)), "weight_hh": np.zeros((4 * N, N))}
GRU_PARAMS = gru.Params(np.zeros((D, 3, N)), np.zeros((N, 3, N)), np.zeros((3, N)), np.zeros(N))
REFUSED = {
    "missing": (
        lambda: from_torch("lstm", {"weight_ih": TORCH["weight_ih"]}),
        "'weight_hh' is missing; got 'weight_ih'",
    ),
    "nothing": (lambda: from_torch("lstm", {}), "'weight_ih' is missing; got nothing"),
    "suffix": (lambda: from_torch("lstm", TORCH, "_l0"), "'weight_ih_l0' is missing; got 'weight_ih', 'weight_hh'"),
    "other cell": (lambda: from_torch("gru", TORCH), "expected [3N, D] for the 3 gates of gru; name the cell"),
    "no cell": (
        lambda: from_torch("lstn", TORCH),
        "from_torch: cell got 'lstn'; did you mean 'lstm'? write one of elman, lstm, gru",
    ),
    "write no cell": (lambda: to_torch("lstn", ()), "to_torch: cell got 'lstn'; did you mean 'lstm'?"),
    "gru": (
        lambda: from_concatenated("gru", {}),
        "from_concatenated: cell got 'gru'; tutorials disagree about what z keeps",
    ),
    "write gru": (lambda: to_concatenated("gru", GRU_PARAMS), "tutorials disagree"),
    "no gate": (lambda: from_concatenated("lstm", concatenated("fiC")), "'W_o' is missing; got 'W_f', 'W_i', 'W_C'"),
}


@pytest.mark.parametrize("what", REFUSED)
def test_refused(what):
    attempt, says = REFUSED[what]
    with pytest.raises(ValueError) as error:
        attempt()
    assert says in str(error.value) and "\n" not in str(error.value)


def test_a_matrix_that_stands_on_the_right_is_refused():
    """[N + D, N] instead of [N, N + D]: silently wrong parameters, were it read."""
    weights = {"W_h": np.zeros((5, 3)), "b_h": np.zeros(3)}
    with pytest.raises(ValueError, match="transpose"):
        from_concatenated("elman", weights)
    assert from_concatenated("elman", weights | {"W_h": np.zeros((3, 5))}).w_x.shape == (2, 1, 3)


def test_one_bias_alone_is_refused():
    weights = {"weight_ih": np.zeros((3, 2)), "weight_hh": np.zeros((3, 3)), "bias_ih": np.zeros(3)}
    with pytest.raises(ValueError, match="stands alone"):
        from_torch("elman", weights)
