"""How the matrices are drawn: gate by gate, with the bounds, moments and singular values their names promise."""

import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from experiments.cell_specs import parse as parse_flag
from rnnx.cells import GRU, INITIALISERS, LSTM, MEMORIES, Elman, GRUBefore, build, spell
from rnnx.cells.initialisers import LEAST, NUMBERED, OPTIONAL, draw, parse, spectral_radius
from rnnx.cells.memory import chrono, uniform_gate

TALL, WIDE, SQUARE = (96, 4, 32), (32, 4, 96), (64, 4, 64)  # [M, G, N]
SHAPES = pytest.mark.parametrize("shape", [TALL, WIDE], ids=["tall", "wide"])


_draw = jax.jit(draw, static_argnums=(0, 2, 3))


@functools.cache
def drawn(name, shape, seed=0, dtype=jnp.float64):
    return np.asarray(_draw(name, jax.random.key(seed), shape, dtype))


def made(cell, seed=0):
    """Its parameters, in NumPy."""
    return jax.device_get(jax.jit(cell.init)(jax.random.key(seed)))


def gates(matrix):
    return matrix.swapaxes(0, 1)


def singular(matrix):
    """The singular values [G, min(M, N)] of the gates."""
    return np.linalg.svd(gates(matrix), compute_uv=False)


def radii(matrix):
    """The spectral radii [G] of the gates."""
    return np.abs(np.linalg.eigvals(gates(matrix).astype(np.float64))).max(1)


# ------------------------------------------------------------------------------------------- independent entries


def moments(gate, spread, kurtosis):
    """Mean 0 and this standard deviation, within five standard errors."""
    assert abs(gate.mean()) < 5 * spread / np.sqrt(gate.size)
    assert abs(gate.var() / spread**2 - 1) < 5 * np.sqrt((kurtosis - 1) / gate.size)


# rule: its bound for a gate [M, N] of G
BOUNDS = {
    "glorot_uniform": lambda m, g, n: np.sqrt(6 / (m + n)),
    "glorot_uniform_fused": lambda m, g, n: np.sqrt(6 / (m + g * n)),
    "lecun_uniform": lambda m, g, n: np.sqrt(3 / m),
    "uniform_units": lambda m, g, n: 1 / np.sqrt(n),
    "uniform:0.25": lambda m, g, n: 0.25,
}


@SHAPES
@pytest.mark.parametrize("name", BOUNDS)
def test_uniform(name, shape):
    inputs, count, units = shape
    bound = BOUNDS[name](inputs, count, units)
    for gate in gates(drawn(name, shape)):
        assert 0.99 * bound < np.abs(gate).max() <= bound
        moments(gate, bound / np.sqrt(3), 9 / 5)


@SHAPES
@pytest.mark.parametrize("name", ["normal:0.02", "glorot_normal", "he_normal"])
def test_normal(name, shape):
    inputs, _, units = shape
    spread = {"glorot_normal": np.sqrt(2 / (inputs + units)), "he_normal": np.sqrt(2 / inputs)}.get(name, 0.02)
    for gate in gates(drawn(name, shape)):
        moments(gate, spread, 3)
        assert 3 * spread < np.abs(gate).max() < 6 * spread  # not cut


@SHAPES
@pytest.mark.parametrize("name", ["truncated_normal:0.02", "lecun_normal"])
def test_normal_cut_at_two(name, shape):
    """The standard deviation is that of what is left, so that the cut stands at 2 / 0.8796 of it."""
    spread = 0.02 if name.startswith("truncated") else np.sqrt(1 / shape[0])
    for gate in gates(drawn(name, shape)):
        moments(gate, spread, 2.4)
        assert 2.2 * spread < np.abs(gate).max() <= 2.2737 * spread


def test_torchs_two_biases_have_twice_the_variance_of_one():
    one, two = (drawn(name, (1, 4, 4096)) for name in ("uniform_units", "uniform_units_twice"))
    bound = 1 / np.sqrt(4096)
    assert 1.9 * bound < np.abs(two).max() <= 2 * bound
    moments(two, np.sqrt(2 / 3) * bound, 2.4)
    assert two.var() / one.var() == pytest.approx(2, rel=0.05)
    gru = drawn("uniform_units_torch_gru", (1, 3, 4096))
    moments(gru[:, :2], np.sqrt(2 / 3) * bound, 2.4)
    moments(gru[:, 2], np.sqrt(1 / 3) * bound, 9 / 5)


def test_zeros():
    assert not drawn("zeros", WIDE).any()


def test_fused_is_smaller_by_the_ratio_told():
    """An LSTM's square matrices: fan-out counts four gates, so that the variance falls by 5/2."""
    ratio = drawn("glorot_uniform", SQUARE).var() / drawn("glorot_uniform_fused", SQUARE).var()
    assert ratio == pytest.approx(2.5, rel=0.05)


# ----------------------------------------------------------------------------------------------- whole matrices


@SHAPES
def test_orthogonal(shape):
    np.testing.assert_allclose(singular(drawn("orthogonal", shape)), 1, rtol=1e-12)


@pytest.mark.parametrize("count, radius", [(3, (0.57, 0.66)), (4, (0.49, 0.56))], ids=["gru", "lstm"])
def test_orthogonal_fused_makes_no_gate_orthogonal(count, radius):
    """The singular values of a block of a Haar matrix spread up to 2 sqrt(G - 1) / G, its radius is about G^(-1/2).

    The bands of the radius are what the GRU and the LSTM of nnx and the LSTM of Keras show at 64 units.
    """
    matrix = drawn("orthogonal_fused", (64, count, 64))
    np.testing.assert_allclose(np.linalg.svd(matrix.reshape(64, -1), compute_uv=False), 1, rtol=1e-12)
    values = singular(matrix)
    np.testing.assert_allclose(values.max(1), 2 * np.sqrt(count - 1) / count, rtol=0.04)
    assert values.max() < 0.96 and values.min() < 0.02
    np.testing.assert_allclose((values**2).mean(), 1 / count, rtol=1e-12)
    assert radius[0] < radii(matrix).min() and radii(matrix).max() < radius[1]
    np.testing.assert_allclose(radii(drawn("orthogonal", (64, count, 64))), 1, rtol=1e-12)  # the control


@pytest.mark.parametrize("shape", [(3, 2, 5), (5, 2, 3), (4, 2, 4)], ids=["wide", "tall", "square"])
@pytest.mark.parametrize("name, scale", [("identity", 1), ("identity:0.01", 0.01), ("identity:-2", -2)])
def test_identity(name, scale, shape):
    for gate in gates(drawn(name, shape)):
        np.testing.assert_array_equal(gate, scale * np.eye(shape[0], shape[2]))


@pytest.mark.parametrize("name, inputs", [*(("sparse", m) for m in (1, 2, 15, 16, 100)), ("sparse:1.1", 20)])
def test_sparse_connects_fifteen(name, inputs):
    """Into each unit, as Martens 2010 has it; the unit at the other end of a connection may have any number."""
    matrix = drawn(name, (inputs, 3, inputs))
    assert np.all((matrix != 0).sum(0) == min(15, inputs))
    if inputs == 100:
        out = (matrix != 0).sum(2)
        assert out.min() < 15 < out.max()
        assert 0.13 < (matrix != 0).mean() < 0.17 and abs(np.corrcoef(out[:, 0], out[:, 1])[0, 1]) < 0.4


def test_sparse_draws_a_unit_normal():
    matrix = drawn("sparse", (100, 4, 300))
    moments(matrix[matrix != 0], 1, 3)
    rows = (matrix != 0).sum((1, 2))  # nobody is preferred: 180 each
    assert abs(rows.mean() - 180) < 1e-12 and rows.std() < 1.5 * np.sqrt(180)


@pytest.mark.parametrize("dtype", [jnp.float32, jnp.float64], ids=["float32", "float64"])
@pytest.mark.parametrize("units", [1, 2, 20, 100])
def test_sparse_has_its_radius(units, dtype):
    """Below vmap, as the seeds of a study are drawn; NumPy's eigenvalues are the judge."""
    keys = jax.random.split(jax.random.key(units), 3)
    matrices = jax.jit(jax.vmap(lambda key: draw("sparse:0.95", key, (units, 2, units), dtype)))(keys)
    assert matrices.dtype == dtype
    for matrix in np.asarray(matrices):
        np.testing.assert_allclose(radii(matrix), 0.95, rtol=1e-6 if dtype == jnp.float32 else 1e-13)


@pytest.mark.parametrize(
    "matrix, radius",
    [
        ([[0.0, 5.0], [0.0, 0.0]], 0),  # nilpotent
        ([[0.0, 0.0], [0.0, 0.0]], 0),
        ([[0.0, -2.0], [2.0, 0.0]], 2),  # a pair that turns
        ([[1.0, 1e3], [0.0, 1.0]], 1),  # no basis of eigenvectors
        ([[1.0, 0.0], [0.0, -1.0]], 1),  # two of the same size
        ([[-3e-20, 0.0], [0.0, 1e-25]], 3e-20),
        ([[1e150, 0.0], [0.0, 1.0]], 1e150),
    ],
)
def test_spectral_radius_of_odd_matrices(matrix, radius):
    """A power A^n of the fourth grows like n: the limit is reached to (n ||N||)^(1/n) - 1, some 1e-14."""
    np.testing.assert_allclose(spectral_radius(jnp.array(matrix)), radius, rtol=1e-13)


# ----------------------------------------------------------------------------------------------------- every rule

RULES = [f"{name}:{NUMBERED[name]}" if name in NUMBERED else name for name in INITIALISERS]
TRIED = [*BOUNDS, "normal", "glorot_normal", "he_normal", "truncated_normal", "lecun_normal", "zeros"]
TRIED += ["uniform_units_twice", "uniform_units_torch_gru"]
TRIED += ["orthogonal", "orthogonal_fused", "identity", "sparse"]


def test_every_rule_is_tried_above():
    assert {name.partition(":")[0] for name in TRIED} == set(INITIALISERS)
    assert set(NUMBERED) | set(OPTIONAL) | set(LEAST) <= set(INITIALISERS) | set(MEMORIES)


@pytest.mark.parametrize("shape", [(1, 1, 1), (3, 2, 5)], ids=str)
@pytest.mark.parametrize("name", RULES)
def test_every_rule_in_single_precision(name, shape):
    matrix = drawn(name, shape, dtype=jnp.float32)
    assert matrix.shape == shape and matrix.dtype == jnp.float32 and np.all(np.isfinite(matrix))


@pytest.mark.parametrize("name", [rule for rule in RULES if rule not in ("identity", "zeros")])
def test_gates_and_keys_differ(name):
    matrix, again, other = drawn(name, SQUARE), drawn(name, SQUARE), drawn(name, SQUARE, seed=1)
    np.testing.assert_array_equal(matrix, again)
    several = [*gates(matrix), *gates(other)]
    for i, a in enumerate(several):
        for b in several[:i]:
            assert abs(np.corrcoef(a.ravel(), b.ravel())[0, 1]) < 0.1


def test_the_two_matrices_are_drawn_apart():
    params = made(Elman(5, 5))
    assert np.all(np.asarray(params.w_x) != np.asarray(params.w_h))


def test_options_reach_their_own_matrix():
    params = made(GRU(4, 4, recurrent_init="identity", input_init="orthogonal"))
    for g in range(3):
        np.testing.assert_array_equal(params.w_h[:, g], np.eye(4))
        np.testing.assert_allclose(params.w_x[:, g] @ params.w_x[:, g].T, np.eye(4), atol=1e-12)
    assert not np.array_equal(params.w_x[:, 0], np.eye(4))


@pytest.mark.parametrize("bias", [1.0, -2.0])
def test_forget_bias_stands_in_row_one_alone(bias):
    b = made(LSTM(3, 4, forget_bias=bias)).b
    np.testing.assert_array_equal(b, np.outer([0, bias, 0, 0], np.ones(4)))


# --------------------------------------------------------------------------------------------- what is kept


def even(values, low, high):
    """Drawn evenly between these: extremes, mean and variance within five standard errors."""
    width, n = high - low, values.size
    assert low - 1e-12 * high <= values.min() < low + 10 * width / n
    assert high - 10 * width / n < values.max() <= high * (1 + 1e-12)
    assert abs(values.mean() - (low + high) / 2) < 5 * width / np.sqrt(12 * n)
    assert abs(values.var() / (width**2 / 12) - 1) < 5 * np.sqrt(0.8 / n)


@pytest.mark.parametrize("longest", [10, 784])
def test_chrono(longest):
    """A unit keeps its state for 1 / (1 - sigmoid(b)) = exp(b) + 1 steps."""
    b = made(LSTM(2, 2000, forget_init=f"chrono:{longest}"), 3).b
    even(np.exp(np.asarray(b[1])) + 1, 2, longest)
    np.testing.assert_array_equal(b[0], -b[1])
    assert not np.any(b[2:])


def test_the_shortest_chrono():
    np.testing.assert_array_equal(made(LSTM(2, 3, forget_init="chrono:2")).b, np.zeros((4, 3)))


@pytest.mark.parametrize("units", [3, 2000])
def test_uniform_gate(units):
    gate = [jax.nn.sigmoid(uniform_gate(k, units, jnp.float64, 0.0)) for k in jax.random.split(jax.random.key(1), 50)]
    even(np.concatenate(gate), 1 / units, 1 - 1 / units)


@pytest.mark.parametrize("units", [1, 2])
def test_uniform_gate_of_few_units_is_half_open(units):
    b = made(LSTM(3, units, forget_init="uniform_gate")).b
    np.testing.assert_allclose(b, 0, atol=1e-15)


def test_a_memory_replaces_the_row_that_keeps_and_nothing_else():
    """Of a GRU too, whose one gate z both keeps and takes: 1 - z needs no bias of its own."""
    plain, kept = (
        {"bias_init": "uniform_units"} | more for more in ({"forget_bias": 0.0}, {"forget_init": "chrono:9"})
    )
    for cell, keeps, takes in ((LSTM, 1, 0), (GRUBefore, 1, None)):
        a, b = (made(cell(3, 5, **options), 4) for options in (plain, kept))
        changed = {keeps} if takes is None else {keeps, takes}
        for g in range(len(a.b)):
            assert np.any(a.b[g] != b.b[g]) == (g in changed)
        np.testing.assert_array_equal(a.w_x, b.w_x)
        assert np.all(np.exp(b.b[keeps]) + 1 <= 9)


def test_memories_keep_the_dtype():
    for rule, number in ((chrono, (50.0,)), (uniform_gate, ())):
        assert rule(jax.random.key(0), 4, jnp.float32, 0.0, *number).dtype == jnp.float32


# ------------------------------------------------------------------------------------------------------- spelling

REFUSED = {
    "orthogonal:2": "got 'orthogonal:2'; orthogonal takes no number, write 'orthogonal'",
    "normal": "got 'normal'; give its number, such as normal:0.01",
    "normal:": "got 'normal:'; write a finite number after the colon, such as normal:0.01",
    "sparse:x": "got 'sparse:x'; write a finite number after the colon, such as sparse:0.5",
    "sparse:nan": "write a finite number after the colon",
    "identity:inf": "write a finite number after the colon, such as identity:0.5",
    "uniform:-0.1": "got 'uniform:-0.1'; write a number of at least 0, such as uniform:0.1",
    "sparse:-1": "write a number of at least 0",
    "sprase": "got 'sprase'; did you mean 'sparse'? write one of zeros, uniform, ",
    "sprase:1.1": "got 'sprase'; did you mean 'sparse'?",
    "chrono:50": "got 'chrono'; write one of zeros",  # draws no matrix
    "normal:1:2": "write a finite number",
    "": "got ''; write one of",
}


@pytest.mark.parametrize("rule", REFUSED)
def test_refused(rule):
    for field in ("recurrent_init", "input_init", "bias_init"):
        with pytest.raises(ValueError) as error:
            Elman(2, 2, **{field: rule})
        assert str(error.value).startswith(f"Elman.{field} got") and REFUSED[rule] in str(error.value)
        assert "\n" not in str(error.value)


@pytest.mark.parametrize(
    "rule, says",
    [
        ("chrono", "LSTM.forget_init got 'chrono'; give its number, such as chrono:100"),
        ("chrono:1", "LSTM.forget_init got 'chrono:1'; write a number of at least 2, such as chrono:100"),
        ("uniform_gate:3", "takes no number, write 'uniform_gate'"),
        ("constant:3", "takes no number, write 'constant'"),
        ("crono:3", "did you mean 'chrono'? write one of constant, chrono, uniform_gate"),
        ("orthogonal", "write one of constant, chrono, uniform_gate"),
    ],
)
def test_refused_memory(rule, says):
    with pytest.raises(ValueError) as error:
        LSTM(2, 2, forget_init=rule)
    assert says in str(error.value) and "\n" not in str(error.value)


def test_a_radius_needs_a_square():
    with pytest.raises(ValueError, match="got a matrix of 3 by 4, and only a square one .* write sparse without"):
        made(Elman(3, 4, input_init="sparse:1.1"))


@pytest.mark.parametrize(
    "rule, number", [("normal:1e-3", (0.001,)), ("sparse", ()), ("sparse:1.1", (1.1,)), ("identity:2", (2.0,))]
)
def test_parse(rule, number):
    assert parse("x", rule) == (rule.partition(":")[0], number)


FLAGS = {
    "elman(init=sparse:1.1,input_init=normal:0.001)": Elman(
        20, 20, recurrent_init="sparse:1.1", input_init="normal:0.001"
    ),
    "elman(nonlinearity=relu,init=identity:0.01,input_init=normal:1e-3)": Elman(
        20, 20, "relu", recurrent_init="identity:0.01", input_init="normal:1e-3"
    ),
    "lstm(forget_init=chrono:784)": LSTM(20, 20, forget_init="chrono:784"),
    "gru(forget_init=uniform_gate,bias_init=uniform:0.5)": GRU(
        20, 20, forget_init="uniform_gate", bias_init="uniform:0.5"
    ),
}


@pytest.mark.parametrize("flag", FLAGS)
def test_flags(flag):
    """From the command line to the draw, and back."""
    (spec,) = parse_flag(flag)
    cell = build(spec.name, spec.options, 20, 20)
    assert cell == FLAGS[flag]
    (again,) = parse_flag(spell(cell))
    assert build(again.name, again.options, 20, 20) == cell
    params = made(cell)
    if "sparse" in flag:
        np.testing.assert_allclose(radii(np.asarray(params.w_h)), 1.1, rtol=1e-12)
        moments(np.asarray(params.w_x), 0.001, 3)
    if "chrono" in flag:
        assert np.exp(params.b[1]).max() > 100
