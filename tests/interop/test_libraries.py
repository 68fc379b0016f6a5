"""Other libraries as oracles: the same weights give the same outputs, states and gradients, and find their way back.

The numbers of torch, Keras, Haiku and Equinox are stored (make_library_cells.py); linen and nnx run here.
"""

import functools
import itertools

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from make_library_cells import (
    CASES,
    LIVE,
    STORED,
    D,
    N,
    R,
    by_linen,
    by_nnx,
    drawn,
    given,
    live,
    made,
    ruler,
    shapes,
    unpacked,
)

import rnnx
from rnnx.cells import CELLS, gru
from rnnx.interop.weights import LIBRARIES, from_library, from_linen, from_nnx, from_torch, to_library
from rnnx.interop.weights.common import COUNT, assemble, ordered, take_apart

TOLERANCE = {"float64": 1e-12, "float32": 1e-5}  # of the largest entry
DTYPES = pytest.mark.parametrize("dtype", TOLERANCE)
every = pytest.mark.parametrize("case", CASES)


@functools.cache
def inputs(case):
    """(weights, xs, first states)."""
    if case in LIVE:
        return drawn(case)
    with np.load(STORED) as file:
        return unpacked(given(case), file[f"{case} given"])


@functools.cache
def told(case, dtype):
    """((ys, final states), gradients of weights, xs and first states) by the library."""
    if case in LIVE:
        with jax.numpy_dtype_promotion("standard"), jax.numpy_rank_promotion("allow"):
            return live(case, np.dtype(dtype))
    with np.load(STORED) as file:
        return unpacked(made(case), file[f"{case} {dtype}"])


def read(case, weights):
    place = {key: where for key, where in CASES[case].place.items() if key != "optimized"}  # is seen when read
    return from_library(CASES[case].library, CASES[case].name, weights, **place)


@functools.partial(jax.jit, static_argnums=0)
def run(cell, params, xs, first):
    """((final state, ys), gradients of params, xs and first state)."""
    out, back = jax.vjp(functools.partial(rnnx.scan, cell), params, xs, first)
    return out, back(jax.tree.map(lambda a: jnp.asarray(ruler(a.shape), a.dtype), out))


def ours(case, dtype, params):
    """The same by rnnx, but for the gradients of the parameters, which are rnnx's."""
    this = CASES[case]
    cell = CELLS[this.name](D, N, **this.ours)
    _, xs, first = inputs(case)
    structure = jax.tree.structure(cell.initial_state(cell.prepare(params)))
    cast = functools.partial(jax.tree.map, lambda a: jnp.asarray(a, dtype))
    (final, ys), (dparams, dxs, dfirst) = run(cell, *cast((params, xs, jax.tree.unflatten(structure, first))))
    return (ys, tuple(jax.tree.leaves(final))), (dparams, dxs, tuple(jax.tree.leaves(dfirst)))


def pulled(case, gradient):
    """The gradient of the library's weights from that of ours: the reader is linear, its matrix has whole entries."""
    wanted, structure = shapes(given(case)[0])

    def reading(leaf=None, place=None):
        leaves = [np.zeros(shape) for shape in wanted]
        if leaf is not None:
            leaves[leaf][place] = 1
        return np.concatenate([np.ravel(a) for a in read(case, jax.tree.unflatten(structure, leaves)) if a is not None])

    rest, flat = reading(), np.concatenate([np.ravel(np.asarray(a, np.float64)) for a in gradient if a is not None])
    pull = [np.zeros(shape) for shape in wanted]
    for leaf, array in enumerate(pull):
        for place in np.ndindex(array.shape):
            array[place] = (reading(leaf, place) - rest) @ flat
    return jax.tree.unflatten(structure, pull)


def apart(got, want):
    """The largest difference, by the largest entry."""
    got, want = np.asarray(got, np.float64), np.asarray(want, np.float64)
    assert got.shape == want.shape
    return np.abs(got - want).max() / np.abs(want).max()


def farthest(got, want):
    return max(jax.tree.leaves(jax.tree.map(apart, got, want)))


@DTYPES
@every
def test_the_library_computes_the_same(case, dtype):
    weights = jax.tree.map(lambda a: a.astype(dtype), inputs(case)[0])
    params = read(case, weights)
    assert {a.dtype for a in jax.tree.leaves(params)} == {np.dtype(dtype)}
    outs, (dparams, *others) = ours(case, dtype, params)
    want, (dweights, *dothers) = told(case, dtype)
    worst = farthest(outs, want), farthest(others, dothers), farthest(pulled(case, dparams), dweights)
    assert max(worst) < TOLERANCE[dtype], worst


@every
def test_another_order_of_gates_is_noticed(case):
    """The control: no two gates can be exchanged, and a transposed matrix is another one."""
    name = CASES[case].name
    params = read(case, inputs(case)[0])
    gates = take_apart("test", name, params)
    wrong = []
    for i, j in itertools.combinations(range(COUNT[name]), 2):
        order = list(range(COUNT[name]))
        order[i], order[j] = j, i
        if case != "linen_mgu" or (i, j) != (0, 1):  # r and z are the same there
            wrong.append(assemble(name, ordered(gates, tuple(order))))
    if name != "lstm_projected":
        wrong.append(assemble(name, gates._replace(w_h=gates.w_h.transpose(2, 1, 0))))
    want = told(case, "float64")[0]
    assert min(farthest(ours(case, "float64", params)[0], want) for params in wrong) > 1e-2


# -------------------------------------------------------------------------------------------- there and back


def same(got, want):
    assert jax.tree.structure(got) == jax.tree.structure(want)
    for a, b in zip(jax.tree.leaves(got), jax.tree.leaves(want), strict=True):
        assert a.dtype == b.dtype
        np.testing.assert_array_equal(a, b)


def write(case, params):
    return to_library(CASES[case].library, CASES[case].name, params, **CASES[case].place)


# Two biases of which only the sum counts cannot be told apart again, nor can a GRU be an MGU.
SUMMED = {case for case in CASES if case.startswith("torch")} | {"keras_gru_after", "haiku_rnn", "linen_mgu"}


@DTYPES
@every
def test_weights_there_and_back(case, dtype):
    weights = jax.tree.map(lambda a: a.astype(dtype), inputs(case)[0])
    back = write(case, read(case, weights))
    if case not in SUMMED | {"haiku_lstm"}:
        same(back, weights)
    elif case != "linen_mgu":
        assert jax.tree.map(np.shape, back) == given(case)[0]
        assert {a.dtype for a in jax.tree.leaves(back)} == {np.dtype(dtype)}


@DTYPES
@every
def test_params_there_and_back(case, dtype):
    """Bit for bit, but for the 1 that Haiku adds to the forget gate: subtracted and added, it costs half a rounding."""
    this = CASES[case]
    params = read(case, jax.tree.map(lambda a: a.astype(dtype), inputs(case)[0]))
    if case == "nnx_gru":
        assert not params.c.any()
    back = read(case, write(case, params))
    if case == "haiku_lstm":
        np.testing.assert_allclose(back.b[1], params.b[1], rtol=0, atol=np.finfo(dtype).eps)
        back = back._replace(b=np.stack([back.b[0], params.b[1], *back.b[2:]]))
    same(back, params)
    # And of parameters that no library has drawn.
    fresh = CELLS[this.name](D, N, **this.ours).init(jax.random.key(0))
    if case != "haiku_lstm":
        same(read(case, write(case, fresh)), jax.tree.map(np.asarray, fresh))


@pytest.mark.parametrize("case", LIVE)
def test_what_is_written_runs_in_flax(case):
    """Also where biases are summed or a cell has no such layer of its own: what comes out is what went in."""
    kind = "linen_gru" if case == "linen_mgu" else case
    want = told(case, "float64")[0]
    params = read(case, jax.tree.map(lambda a: a.astype(np.float64), inputs(case)[0]))
    by = by_linen if CASES[case].library == "linen" else by_nnx
    with jax.numpy_dtype_promotion("standard"), jax.numpy_rank_promotion("allow"):
        got = by(CASES[kind], np.float64, write(kind, params), *jax.tree.map(np.float64, inputs(case)[1:]))
    assert farthest(got, want) < 1e-12


# -------------------------------------------------------------------------------------------------- odd forms


def test_biases_that_are_not_there_are_zeros():
    cases = {
        "torch_gru": lambda w: {key: a for key, a in w.items() if "bias" not in key},
        "keras_gru_after": lambda w: w[:2],
        "keras_gru_before": lambda w: w[:2],
        "equinox_gru": lambda w: w | {"bias": None, "bias_n": None},
        "equinox_lstm": lambda w: {key: a for key, a in w.items() if key != "bias"},
        "haiku_rnn": lambda w: w | {"vanilla_rnn/linear_1": {"w": w["vanilla_rnn/linear_1"]["w"]}},
    }
    for case, without in cases.items():
        weights = inputs(case)[0]
        params, full = read(case, without(weights)), read(case, weights)
        if case == "haiku_rnn":
            np.testing.assert_array_equal(params.b[0], weights["vanilla_rnn/linear"]["b"])
        else:
            assert not params.b.any() and not getattr(params, "c", params.b).any()
        same(params.w_x, full.w_x)
        assert params.b.dtype == np.float32


def test_haiku_adds_its_one_when_it_runs():
    """What a fresh Haiku LSTM stores, zeros, is a forget bias of 1."""
    weights = jax.tree.map(np.zeros_like, inputs("haiku_lstm")[0])
    np.testing.assert_array_equal(read("haiku_lstm", weights).b, np.outer([0, 1, 0, 0], np.ones(N)))
    same(write("haiku_lstm", read("haiku_lstm", weights)), weights)


def test_haiku_below_another_module():
    weights = inputs("haiku_gru")[0]
    nested = {"net/~/gru": weights["gru"], "net/~/linear": {"w": np.ones((N, 2))}}
    params = from_library("haiku", "gru_before", nested, module="net/~/gru")
    same(params, read("haiku_gru", weights))
    same(to_library("haiku", "gru_before", params, module="net/~/gru"), {"net/~/gru": weights["gru"]})


def test_a_minimal_gated_unit_is_a_gru_with_one_gate():
    params = read("linen_mgu", inputs("linen_mgu")[0])
    same(params.w_x[:, 0], params.w_x[:, 1])
    same(params.b[0], params.b[1])


# ---------------------------------------------------------------------------------------------------- refused


def other_cells():
    """Every case of a library with the weights of each other one's that is another function."""
    for case, other in itertools.permutations(CASES, 2):
        a, b = CASES[case], CASES[other]
        if a.library == b.library and a.weights != b.weights and (case, other) != ("linen_gru", "linen_mgu"):
            if {case, other} not in ({"nnx_lstm", "nnx_lstm_optimized"}, {"linen_gru", "linen_mgu"}):
                yield case, other


@pytest.mark.parametrize("case, other", list(other_cells()))
def test_another_cells_weights_are_refused(case, other):
    with pytest.raises(ValueError) as error:
        read(case, inputs(other)[0])
    text = str(error.value)
    assert text.startswith(f"from_{CASES[case].library}: ") and "\n" not in text
    assert "; give" in text or "; name the cell" in text or "; write" in text


@every
def test_each_array_must_have_its_shape(case):
    weights = inputs(case)[0]
    leaves, structure = jax.tree.flatten(weights)
    for i, leaf in enumerate(leaves):
        axes = [axis for axis, size in enumerate(leaf.shape) if size not in (D, D + N)]  # any D is legal
        for bad in (leaf[None], *(np.delete(leaf, 0, axis) for axis in axes)):
            with pytest.raises(ValueError) as error:
                read(case, jax.tree.unflatten(structure, [*leaves[:i], bad, *leaves[i + 1 :]]))
            assert "expected" in str(error.value) and "\n" not in str(error.value)


GRU = gru.Params(np.zeros((D, 3, N)), np.zeros((N, 3, N)), np.zeros((3, N)), np.full(N, 0.25))
PEEPHOLES = CELLS["lstm_projected"](D, N, R, peepholes=True)
REFUSED = {
    "library": (lambda: from_library("jax", "lstm", {}), "from_library: library got 'jax'; write one of torch, keras"),
    "library near": (lambda: to_library("kears", "lstm", ()), "to_library: library got 'kears'; did you mean 'keras'?"),
    "cell": (
        lambda: from_library("keras", "lstn", []),
        "cell got 'lstn'; did you mean 'lstm'? write one of elman, lstm",
    ),
    "no simple network": (lambda: from_library("equinox", "elman", {}), "cell got 'elman'; write one of lstm, gru"),
    "haiku's gru": (lambda: to_library("haiku", "gru", GRU), "resets before the product, write 'gru_before'"),
    "torch's gru": (lambda: from_torch("gru_before", {}), "torch resets after the product, write 'gru'"),
    "linen's mgu": (lambda: from_linen("mgu", {}), "another function; write 'gru', or 'ugrnn' if it has reset_gate"),
    "bias inside": (
        lambda: to_library("nnx", "gru", GRU),
        "to_nnx: c reaches 0.25, expected zeros, for nnx.GRUCell has",
    ),
    "params": (
        lambda: to_library("torch", "lstm", GRU),
        "to_torch: got gru.Params, expected the lstm.Params of lstm; name the cell whose parameters these are",
    ),
    "no params": (lambda: to_library("torch", "lstm", ()), "got builtins.tuple, expected the lstm.Params"),
    "peepholes": (
        lambda: to_library("torch", "lstm_projected", PEEPHOLES.init(jax.random.key(0))),
        "to_torch: got peepholes or a projection that is not fed back, expected neither; write",
    ),
    "keras forms": (
        lambda: read("keras_gru_after", inputs("keras_gru_before")[0]),
        "from_keras: bias is [12], expected two rows: gru is reset_after=True; write 'gru_before'",
    ),
    "keras mapping": (lambda: from_library("keras", "lstm", {"kernel": 0}), "got dict of 1, expected a list of kernel"),
    "shape": (
        lambda: from_library("keras", "lstm", inputs("keras_gru_before")[0]),
        "from_keras: recurrent_kernel is [4, 12], expected [N, 4N] with N = 4 for the 4 gates of lstm; name the cell",
    ),
    "linen outside": (
        lambda: from_linen("lstm", {"params": inputs("linen_lstm")[0]}),
        "from_linen: 'hi' is missing; got 'params'; give the weights of one such cell alone",
    ),
    "linen layer": (
        lambda: from_linen("elman", {"h": np.ones((N, N)), "i": {}}),
        "from_linen: 'kernel' is missing in 'h'; got ndarray; give the weights",
    ),
    "linen reset": (
        lambda: from_linen("ugrnn", inputs("linen_mgu")[0]),
        "from_linen: hn has a bias, expected none as with reset_gate=False; write 'gru'",
    ),
    "nnx": (lambda: from_nnx("lstm", {"dense_i": {}}), "from_nnx: 'dense_h' is missing; got 'dense_i'; give"),
    "haiku": (
        lambda: from_library("haiku", "lstm", {"lstm/linear": {"b": np.ones(16), "w": np.ones((4, 16))}}),
        "from_haiku: lstm/linear.w is [4, 16], expected [D + N, 4N] with N = 4",
    ),
    "haiku module": (
        lambda: from_library("haiku", "lstm", {"net/~/lstm/linear": {}}),
        "from_haiku: 'lstm/linear' is missing; got 'net/~/lstm/linear'",
    ),
}


@pytest.mark.parametrize("what", REFUSED)
def test_refused(what):
    attempt, says = REFUSED[what]
    with pytest.raises(ValueError) as error:
        attempt()
    assert says in str(error.value) and "\n" not in str(error.value)


def test_every_library_and_cell_is_tried():
    import rnnx.interop.weights as weights

    tried = {(this.library, this.name) for this in CASES.values()}
    offered = set()
    for library in LIBRARIES:
        module = getattr(weights, library)
        cells = module.LETTERS if hasattr(module, "LETTERS") else module.CELLS
        offered |= {(library, name) for name in cells if library != "concatenated"}
    assert tried == offered
