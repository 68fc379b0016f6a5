"""The native kernel by itself: its functions, its sizes, its threads, its refusals, and without it."""

import os
import shutil
import subprocess
import sys
import threading
import warnings
from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import rnnx
from rnnx.cells import CELLS, GRU, LSTM, Elman, Precision, parts
from rnnx.kernels.cpu import call, library, linear, rows
from rnnx.kernels.cpu.program import Program, assemble, trace
from rnnx.scans import Native, Sequential, methods
from rnnx.scans.native_engine import form_of_cell
from rnnx.types import cell as register

SOURCES = Path(library.__file__).parent / "src"
needs_kernel = pytest.mark.skipif(library.missing() is not None, reason=str(library.missing()))


def through_kernel(function, numbers):
    """An elementwise function, run by the kernel over a row of numbers."""
    graph, out = trace(function, numbers.size, [numbers.dtype] * 2)
    shape = call.Shape(numbers.size, 1, 1, 0, 0, given=True)
    row = jnp.asarray(numbers)[None, None]
    operands = call.Operands(row[None, None], (), [row], [], None, None)
    final, _, _ = call.forward(shape, assemble(graph, 2, out), operands, [False], None)
    return np.asarray(final[0][0, 0])


# name: (as a cell writes it, the truth in float64, from, to) in powers of two, and whether the sign may be negative
FUNCTIONS = {
    "exp": (jnp.exp, np.exp, True),
    "tanh": (jnp.tanh, np.tanh, True),
    "logistic": (jax.nn.sigmoid, lambda x: np.where(x < 0, np.exp(x), 1.0) / (1 + np.exp(-np.abs(x))), True),
    "softplus": (parts.softplus, lambda x: np.maximum(x, 0) + np.log1p(np.exp(-np.abs(x))), True),
    "log": (jnp.log, np.log, False),
    "log1p": (jnp.log1p, np.log1p, False),
    "expm1": (jnp.expm1, np.expm1, True),
    "sqrt": (jnp.sqrt, np.sqrt, False),
}


@needs_kernel
@pytest.mark.parametrize("name", FUNCTIONS)
def test_functions_within_four_units_in_the_last_place(name):
    """Over the whole of float32; below its smallest normal number a result may be flushed to 0."""
    function, truth, negative = FUNCTIONS[name]
    draws = np.random.default_rng(0)
    sizes = np.concatenate([2.0 ** draws.uniform(-126, 127.9, 60_000), draws.uniform(0, 110, 60_000)])
    numbers = np.float32(sizes * (draws.choice([-1, 1], sizes.size) if negative else 1))
    got = through_kernel(lambda s, u: function(u), numbers)
    with np.errstate(all="ignore"):
        want = truth(numbers.astype(np.float64))
    tiny, huge = float(np.finfo(np.float32).tiny), float(np.finfo(np.float32).max)
    fits = (np.abs(want) <= huge) & (np.abs(want) >= tiny)
    units = np.abs(got[fits] - want[fits]) / np.spacing(np.abs(np.float32(want[fits]))).astype(np.float64)
    assert units.max() <= 4
    assert np.all(np.abs(got[np.abs(want) < tiny]) <= 2 * tiny)
    assert np.all(got[np.abs(want) > 1.0001 * huge] == np.sign(want[np.abs(want) > 1.0001 * huge]) * np.inf)
    special = np.array([np.nan, np.inf, -np.inf if negative else np.inf, 0.0], np.float32)
    with np.errstate(all="ignore"):
        np.testing.assert_array_equal(through_kernel(lambda s, u: function(u), special), truth(special))


@needs_kernel
@pytest.mark.parametrize("instructions", ["avx2", "portable"])
def test_narrower_instruction_sets(instructions):
    """The same tests on what the processor has besides its widest; what a process runs is chosen once."""
    here = Path(__file__)
    command = [
        sys.executable,
        "-m",
        "pytest",
        "-q",
        "-n",
        "0",
        "-p",
        "no:cacheprovider",
        str(here),
        "-k",
        "four or chunk",
    ]
    environment = {**os.environ, "RNNX_INSTRUCTIONS": instructions}
    told = subprocess.run(command, env=environment, capture_output=True, text=True, cwd=here.parents[2])
    assert told.returncode == 0, told.stdout[-2000:]


@needs_kernel
@pytest.mark.parametrize("cell, cases", [(LSTM(5, 33), 9), (CELLS["cornn"](3, 16), 5), (CELLS["slstm"](2, 24), 13)])
def test_chunks_and_threads(cell, cases):
    """Long enough for several chunks of steps, wide enough for several threads: 1e-12, and 1e-5 in float32."""
    params = jax.tree.map(lambda a: 0.7 * a, cell.init(jax.random.key(0)))
    xs = jax.random.normal(jax.random.key(1), (cases, 150, cell.inputs), "float64")
    lengths = jnp.arange(cases) * 150 // (cases - 1)

    def run(method, params, xs):
        def loss(params, xs):
            ys = jax.vmap(lambda x, n: rnnx.scan(cell, params, x, length=n, method=method)[1])(xs, lengths)
            return jnp.mean(jnp.sin(ys))

        return jax.jit(jax.value_and_grad(loss, (0, 1)))(params, xs)

    want = run(Sequential(), params, xs)
    narrow = jax.tree.map(lambda a: a.astype("float32"), (params, xs))
    for given, tolerance in (((params, xs), 1e-12), (narrow, 1e-5)):
        for store in (True, False):
            for a, b in zip(*map(jax.tree.leaves, (run(Native(store), *given), want)), strict=True):
                a, b = np.asarray(a, np.float64), np.asarray(b)
                assert np.max(np.abs(a - b)) <= tolerance * np.max(np.abs(b))


@needs_kernel
@pytest.mark.parametrize("cell", [GRU(3, 7), Elman(2, 32)])
def test_seeds_are_single_runs(cell):
    """Weights batched too: one call, the same numbers."""
    params = jax.vmap(cell.init)(jax.random.split(jax.random.key(0), 6))
    xs = jax.random.normal(jax.random.key(1), (3, 11, cell.inputs), "float64")

    def run(params):
        def loss(params):
            return jnp.sum(jax.vmap(lambda x: rnnx.scan(cell, params, x, method="native")[1])(xs) ** 2)

        return jax.value_and_grad(loss)(params)

    together = jax.jit(jax.vmap(run))(params)
    alone = [jax.jit(run)(jax.tree.map(lambda a, i=i: a[i], params)) for i in range(6)]
    alone = jax.tree.map(lambda *some: jnp.stack(some), *alone)
    for a, b in zip(*map(jax.tree.leaves, (together, alone)), strict=True):
        np.testing.assert_allclose(a, b, rtol=1e-13, atol=1e-15)


@register
class Mine(Elman):
    """A stranger's cell: nothing in the kernel knows it."""

    def update(self, weights, state, u, v):
        (a,), (b,) = u, v
        gate = jax.nn.softplus(a) * jnp.where(b > 0, jnp.sqrt(1 + b * b), jnp.expm1(b))
        return jnp.clip(state + jnp.log1p(jnp.abs(gate)) ** 3 / (1 + state**2), -2.0, 2.0)


@register
class Wavy(Elman):
    def update(self, weights, state, u, v):
        return jnp.sin(u[0] + v[0])


@needs_kernel
def test_a_cell_of_ones_own():
    cell, xs = Mine(3, 5), jax.random.normal(jax.random.key(1), (2, 9, 3), "float64")
    params = cell.init(jax.random.key(0))

    def loss(params, method):
        return jnp.sum(jnp.sin(jax.vmap(lambda x: rnnx.scan(cell, params, x, method=method)[1])(xs)))

    got, want = (jax.value_and_grad(loss)(params, method) for method in ("native", "sequential"))
    for a, b in zip(*map(jax.tree.leaves, (got, want)), strict=True):
        np.testing.assert_allclose(a, b, rtol=1e-12)
    assert "Native" in rnnx.explain(cell, 9)


@needs_kernel
def test_a_refusal_names_the_primitive():
    with pytest.raises(NotImplementedError, match="uses sin, .*method='deferred'"):
        rnnx.scan(Wavy(3, 5), Wavy(3, 5).init(jax.random.key(0)), jnp.ones((4, 3)), method="native")


@needs_kernel
def test_half_precision_is_stored_as_such():
    cell = Precision(LSTM(3, 8), params="float32", compute="bfloat16", state="bfloat16")
    params, xs = cell.init(jax.random.key(0)), jax.random.normal(jax.random.key(1), (4, 20, 3), "float32")
    outs = [jax.vmap(lambda x, m=m: rnnx.scan(cell, params, x, method=m))(xs) for m in ("native", "sequential")]
    for a, b in zip(*map(jax.tree.leaves, outs), strict=True):
        assert a.dtype == b.dtype
        np.testing.assert_allclose(np.float32(a), np.float32(b), atol=0.03)


@needs_kernel
def test_inference_stores_no_residuals():
    """Of an LSTM's two states only h is read, so c is not written out, nor any gate."""
    cell, xs = LSTM(4, 64), jnp.zeros((8, 500, 4))
    params = cell.init(jax.random.key(0))
    run = jax.jit(lambda p, xs: jax.vmap(lambda x: rnnx.scan(cell, p, x, method="native")[1], 1, 1)(xs))
    memory = run.lower(params, jnp.moveaxis(xs, 0, 1)).compile().memory_analysis()
    assert memory.temp_size_in_bytes < 0.2 * 500 * 8 * 64 * 8


@needs_kernel
def test_many_threads_at_once_get_the_same_bits():
    cell, xs = GRU(8, 48), jax.random.normal(jax.random.key(1), (8, 64, 8), "float64")
    params = cell.init(jax.random.key(0))
    run = jax.jit(
        jax.value_and_grad(lambda p: jnp.sum(jax.vmap(lambda x: rnnx.scan(cell, p, x, method="native")[1])(xs) ** 2))
    )
    want, got = run(params), []
    workers = [threading.Thread(target=lambda: got.extend(run(params) for _ in range(5))) for _ in range(4)]
    for worker in workers:
        worker.start()
    for worker in workers:
        worker.join()
    assert len(got) == 20
    for one in got:
        for a, b in zip(*map(jax.tree.leaves, (one, want)), strict=True):
            np.testing.assert_array_equal(a, b)


@needs_kernel
@pytest.mark.parametrize(
    "spoil, words",
    [
        (lambda o, p: (o._replace(first=[o.first[0][:, :, :-1]]), p), "another size"),
        (lambda o, p: (o._replace(first=[o.first[0].astype("float32")]), p), "another dtype"),
        (lambda o, p: (o._replace(first=[]), p), "too few operands"),
        (lambda o, p: (o, p._replace(code=((99, 2, 1, 1, 1),))), "unknown"),
        (lambda o, p: (o, p._replace(code=((1, 1, 1, 1, 1),))), "writes to an input"),
        (lambda o, p: (o, p._replace(code=((1, 2, 70, 1, 1),))), "slot does not exist"),
    ],
)
def test_what_does_not_fit_is_an_error_and_no_crash(spoil, words):
    row = jnp.ones((1, 1, 5))
    operands = call.Operands(row[None, None], (), [row], [], None, None)
    operands, program = spoil(operands, Program(((1, 2, 0, 1, 1),), (), 0))
    with pytest.raises(Exception, match=words):
        jax.block_until_ready(call.forward(call.Shape(5, 1, 1, 0, 0, given=True), program, operands, [True], None))


def test_without_the_library(monkeypatch):
    """Everything works, and says what is missing."""
    monkeypatch.setattr(library, "_path", lambda: None)
    library.missing.cache_clear()
    try:
        assert "install a C++17 compiler" in rnnx.explain(LSTM(3, 4), 10, platform="cpu")
        assert type(methods.best(LSTM(3, 4), 10, "cpu")[0]).__name__ == "Deferred"
        with pytest.raises(NotImplementedError, match="native kernel is absent"):
            rnnx.scan(LSTM(3, 4), LSTM(3, 4).init(jax.random.key(0)), jnp.ones((2, 3)), method="native")
    finally:
        library.missing.cache_clear()


@needs_kernel
def test_another_ffi_version_switches_it_off_with_one_warning(monkeypatch):
    monkeypatch.setattr(library, "_runtime_version", lambda: (0, 0))
    library.missing.cache_clear()
    try:
        with pytest.warns(RuntimeWarning, match="built for XLA FFI .* this jaxlib has 0.0"):
            assert library.missing()
        with warnings.catch_warnings():
            warnings.simplefilter("error")
            assert library.missing()
    finally:
        library.missing.cache_clear()


@pytest.mark.skipif(shutil.which("g++") is None, reason="no g++")
def test_under_sanitisers(tmp_path):
    """Odd sizes, all sorts of gates, threads: no address and no behaviour that is not defined."""
    flags = "-std=c++17 -O1 -fno-math-errno -Wno-psabi -fsanitize=address,undefined -fno-sanitize-recover=all"
    flags = [*flags.split(), f"-I{SOURCES}"]
    units = [(SOURCES / "scratch.cc", []), (Path(__file__).with_name("native_check.cc"), [])]
    units.append((SOURCES / "target.cc", ["-DRNNX_TARGET=portable", "-DRNNX_BYTES=16"]))
    if os.uname().machine == "x86_64":
        units.append((SOURCES / "target.cc", ["-DRNNX_TARGET=avx2", "-DRNNX_BYTES=32", "-mavx2", "-mfma"]))
    for i, (source, more) in enumerate(units):
        subprocess.run(["g++", *flags, *more, "-c", str(source), "-o", str(tmp_path / f"{i}.o")], check=True)
    program = tmp_path / "check"
    subprocess.run(["g++", *flags[3:5], *map(str, tmp_path.glob("*.o")), "-o", str(program), "-lpthread"], check=True)
    told = subprocess.run([str(program)], capture_output=True, text=True)
    assert told.returncode == 0, told.stdout + told.stderr
    assert int(told.stdout.split()[0]) >= 64


# ------------------------------------------------------------------------------- what becomes of a drive


def affine_drive(arguments, x):
    return (x @ arguments).reshape(2, 4) + 1.0


def gated_drive(arguments, x):
    a, b = (x @ arguments).reshape(2, 4)
    return jnp.stack([jax.nn.sigmoid(a) * b, jnp.log1p(jnp.exp(a))])


def crossing_drive(arguments, x):
    return jax.nn.softmax((x @ arguments).reshape(2, 4))


def test_the_matrix_of_an_affine_drive():
    w, x = jax.random.normal(jax.random.key(0), (3, 8)), jnp.arange(3.0)
    assert linear.affine(affine_drive, w, x) and not linear.affine(gated_drive, w, x)
    matrix, constant = linear.matrix(lambda x: affine_drive(w, x), x)
    np.testing.assert_allclose(jnp.tensordot(x, matrix, 1) + constant, affine_drive(w, x), rtol=1e-14)


def test_the_elementwise_end_of_a_drive_is_cut_off():
    w, x = jax.random.normal(jax.random.key(0), (3, 8)), jnp.arange(3.0)
    told = rows.cut(gated_drive, w, x, 4)
    assert told.rows == 2 and linear.affine(told.affine, w, x)
    got = told.finish(list(told.affine(w, x)), told.constants(w))
    np.testing.assert_allclose(jnp.stack(got), gated_drive(w, x), rtol=1e-14)
    for wrong in (crossing_drive, affine_drive):  # mixes units; has no such end
        with pytest.raises(rows.Uncut):
            rows.cut(wrong, w, x, 4).finish(list(told.affine(w, x)), [])


@needs_kernel
def test_gated_affine_cells_keep_no_array_of_their_coefficients():
    assert not form_of_cell(CELLS["mingru"](3, 4)).shape.given
    assert form_of_cell(CELLS["minimalrnn"](3, 4)).shape.given  # control: its drive ends in more than that
