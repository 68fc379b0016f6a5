"""Runs the cells of other libraries and stores what they compute, in library_cells.npz beside this file.

Run by hand, once, where they are installed: `KERAS_BACKEND=jax python tests/interop/make_library_cells.py` (torch
2.13, Keras 3.15, Haiku 0.0.17, Equinox 0.13.8, CPU). The tests read the stored numbers and need none of these. Flax
they have: `live` is what they run for linen and nnx. Numbers given are single precision, results are in both.
"""

import functools
from pathlib import Path
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

D, N, R, T = 3, 4, 2, 5
STORED = Path(__file__).with_name("library_cells.npz")


class Case(NamedTuple):
    library: str
    kind: str  # the library's name of it
    options: dict[str, Any]  # the library's
    name: str  # rnnx's name of it
    weights: Any  # the library's tree, of shapes
    ours: dict[str, Any] = {}  # options of the cell in rnnx
    place: dict[str, Any] = {}  # where from_library and to_library are told to look


def torch_weights(gates, width=N):
    return {
        "weight_ih_l0": (gates * N, D),
        "weight_hh_l0": (gates * N, width),
        "bias_ih_l0": (gates * N,),
        "bias_hh_l0": (gates * N,),
    }


def keras_weights(gates, *bias):
    return [(D, gates * N), (N, gates * N), (*bias, gates * N)]


def linen_weights(gates, biased):
    kernels = {f"i{g}": {"kernel": (D, N)} for g in gates} | {f"h{g}": {"kernel": (N, N)} for g in gates}
    return {key: layer | ({"bias": (N,)} if key in biased else {}) for key, layer in kernels.items()}


def nnx_weights(gates, biased):
    layers = {"dense_i": {"kernel": (D, gates * N)}, "dense_h": {"kernel": (N, gates * N)}}
    layers[biased]["bias"] = (gates * N,)
    return layers


LSTM_LINEN = linen_weights("ifgo", ("hi", "hf", "hg", "ho"))
PROJECTED = torch_weights(4, R) | {"weight_hr_l0": (R, N)}
SUFFIX = {"suffix": "_l0"}
CASES = {
    "torch_rnn_tanh": Case("torch", "RNN", {}, "elman", torch_weights(1), place=SUFFIX),
    "torch_rnn_relu": Case(
        "torch", "RNN", {"nonlinearity": "relu"}, "elman", torch_weights(1), {"nonlinearity": "relu"}, SUFFIX
    ),
    "torch_lstm": Case("torch", "LSTM", {}, "lstm", torch_weights(4), place=SUFFIX),
    "torch_gru": Case("torch", "GRU", {}, "gru", torch_weights(3), place=SUFFIX),
    "torch_projected": Case("torch", "LSTM", {"proj_size": R}, "lstm_projected", PROJECTED, {"projection": R}, SUFFIX),
    "keras_rnn": Case("keras", "SimpleRNN", {}, "elman", keras_weights(1)),
    "keras_lstm": Case("keras", "LSTM", {}, "lstm", keras_weights(4)),
    "keras_gru_after": Case("keras", "GRU", {"reset_after": True}, "gru", keras_weights(3, 2)),
    "keras_gru_before": Case("keras", "GRU", {"reset_after": False}, "gru_before", keras_weights(3)),
    "haiku_rnn": Case(
        "haiku",
        "VanillaRNN",
        {},
        "elman",
        {"vanilla_rnn/linear": {"w": (D, N), "b": (N,)}, "vanilla_rnn/linear_1": {"w": (N, N), "b": (N,)}},
        {"nonlinearity": "relu"},
    ),
    "haiku_lstm": Case("haiku", "LSTM", {}, "lstm", {"lstm/linear": {"w": (D + N, 4 * N), "b": (4 * N,)}}),
    "haiku_gru": Case("haiku", "GRU", {}, "gru_before", {"gru": {"w_i": (D, 3 * N), "w_h": (N, 3 * N), "b": (3 * N,)}}),
    "equinox_lstm": Case(
        "equinox", "LSTMCell", {}, "lstm", {"weight_ih": (4 * N, D), "weight_hh": (4 * N, N), "bias": (4 * N,)}
    ),
    "equinox_gru": Case(
        "equinox",
        "GRUCell",
        {},
        "gru",
        {"weight_ih": (3 * N, D), "weight_hh": (3 * N, N), "bias": (3 * N,), "bias_n": (N,)},
    ),
    "linen_rnn": Case("linen", "SimpleCell", {}, "elman", linen_weights(("",), ("i",))),
    "linen_lstm": Case("linen", "LSTMCell", {}, "lstm", LSTM_LINEN),
    "linen_lstm_optimized": Case("linen", "OptimizedLSTMCell", {}, "lstm", LSTM_LINEN),
    "linen_gru": Case("linen", "GRUCell", {}, "gru", linen_weights("rzn", ("ir", "iz", "in", "hn"))),
    "linen_mgu": Case("linen", "MGUCell", {}, "gru", linen_weights("fn", ("if", "in", "hn"))),
    "linen_mgu_no_reset": Case("linen", "MGUCell", {"reset_gate": False}, "ugrnn", linen_weights("fn", ("if", "in"))),
    "nnx_rnn": Case("nnx", "SimpleCell", {}, "elman", nnx_weights(1, "dense_i")),
    "nnx_lstm": Case(
        "nnx", "LSTMCell", {}, "lstm", {"if_" if key == "if" else key: layer for key, layer in LSTM_LINEN.items()}
    ),
    "nnx_lstm_optimized": Case(
        "nnx", "OptimizedLSTMCell", {}, "lstm", nnx_weights(4, "dense_h"), place={"optimized": True}
    ),
    "nnx_gru": Case("nnx", "GRUCell", {}, "gru", nnx_weights(3, "dense_i")),
}
LIVE = tuple(case for case in CASES if CASES[case].library in ("linen", "nnx"))


def given(case):
    """(weights, xs, first states) as shapes."""
    name = CASES[case].name
    state = ((R if name == "lstm_projected" else N,),)
    return CASES[case].weights, (T, D), state + ((N,),) * name.startswith("lstm")


def made(case):
    """((ys, final states), gradients of the given) as shapes."""
    weights, xs, first = given(case)
    return ((T, *first[0]), first), (weights, xs, first)


def shapes(tree):
    """The shapes of a tree and how it is built."""
    return jax.tree.flatten(tree, is_leaf=lambda node: isinstance(node, tuple) and all(type(n) is int for n in node))


def packed(tree):
    return np.concatenate([np.asarray(leaf).ravel() for leaf in jax.tree.leaves(tree)])


def unpacked(tree, numbers):
    """The arrays of a tree of shapes, which lie one behind the other."""
    wanted, structure = shapes(tree)
    ends = np.cumsum([int(np.prod(shape)) for shape in wanted])
    assert ends[-1] == numbers.size
    leaves = zip(np.split(numbers, ends[:-1]), wanted, strict=True)
    return jax.tree.unflatten(structure, [part.reshape(shape) for part, shape in leaves])


def drawn(case):
    """(weights, xs, first states), the same numbers in every precision."""
    wanted, _ = shapes(given(case))
    draws = np.random.default_rng([10, list(CASES).index(case)])  # with 10 no unit with relu is dead throughout
    return unpacked(given(case), draws.normal(size=sum(int(np.prod(s)) for s in wanted)).astype(np.float32))


def ruler(shape):
    """The cotangent of everything that is put out: a different number for each entry."""
    return np.cos(np.arange(np.prod(shape))).reshape(shape)


# ------------------------------------------------------------------------------------------- what libraries compute


def computed(case, dtype):
    """((ys, final states), gradients of the given), by the library itself."""
    this = CASES[case]
    inputs = jax.tree.map(lambda a: a.astype(dtype), drawn(case))
    if this.library == "torch":
        return by_torch(this, *inputs)
    run = functools.partial({"keras": by_keras, "haiku": by_haiku, "equinox": by_equinox}[this.library], this, dtype)
    return differentiated(run, inputs)


def live(case, dtype):
    """The same for Flax, whose cells take one step."""
    this = CASES[case]
    inputs = jax.tree.map(lambda a: a.astype(dtype), drawn(case))
    return differentiated(functools.partial({"linen": by_linen, "nnx": by_nnx}[this.library], this, dtype), inputs)


def differentiated(run, inputs):
    def both(*inputs):
        out, back = jax.vjp(run, *inputs)
        return out, back(jax.tree.map(lambda a: jnp.asarray(ruler(a.shape), a.dtype), out))

    return jax.tree.map(np.asarray, jax.jit(both)(*inputs))


def by_torch(this, weights, xs, first):
    import torch

    module = getattr(torch.nn, this.kind)(D, N, dtype=torch.from_numpy(xs).dtype, **this.options)
    module.load_state_dict({key: torch.from_numpy(a) for key, a in weights.items()})
    xs, first = torch.from_numpy(xs).requires_grad_(), [torch.from_numpy(a[None]).requires_grad_() for a in first]
    ys, final = module(xs, tuple(first) if len(first) == 2 else first[0])
    outs = [ys, *(final if len(first) == 2 else (final,))]
    sum(torch.sum(out * torch.from_numpy(ruler(out.shape)).to(out.dtype)) for out in outs).backward()
    gradients = {key: p.grad.numpy() for key, p in module.named_parameters()}
    ys, *final = (out.detach().numpy() for out in outs)
    return (ys, tuple(a[0] for a in final)), (gradients, xs.grad.numpy(), tuple(a.grad.numpy()[0] for a in first))


def by_keras(this, dtype, weights, xs, first):
    import keras
    from keras.src.backend.common import dtypes

    keras.config.set_floatx(np.dtype(dtype).name)
    dtypes.BIT64_TO_BIT32_DTYPE["float64"] = "float64"  # or it works in single precision whatever it was told
    layer = getattr(keras.layers, this.kind)(N, return_sequences=True, return_state=True, **this.options)
    layer.build((1, T, D))
    assert [w.shape for w in layer.trainable_variables] == [w.shape for w in weights]
    rest = [v.value for v in layer.non_trainable_variables]
    (ys, *final), _ = layer.stateless_call(weights, rest, xs[None], initial_state=[a[None] for a in first])
    return ys[0], tuple(a[0] for a in final)


def by_haiku(this, dtype, weights, xs, first):
    import haiku

    def unrolled(xs, first):
        core = getattr(haiku, this.kind)(N, **this.options)
        return haiku.dynamic_unroll(core, xs, haiku.LSTMState(*first) if len(first) == 2 else first[0])

    net = haiku.without_apply_rng(haiku.transform(unrolled))
    named = jax.tree.map(jnp.shape, net.init(jax.random.key(0), xs, first))
    assert named == this.weights
    ys, final = net.apply(weights, xs, first)
    return ys, tuple(final) if len(first) == 2 else (final,)


def by_equinox(this, dtype, weights, xs, first):
    import equinox

    cell = getattr(equinox.nn, this.kind)(D, N, key=jax.random.key(0), dtype=dtype)
    assert {key: a.shape for key, a in vars(cell).items() if hasattr(a, "shape")} == this.weights
    cell = equinox.tree_at(lambda c: [getattr(c, key) for key in weights], cell, list(weights.values()))

    def step(state, x):
        state = cell(x, state)
        return state, state[0] if len(first) == 2 else state

    final, ys = jax.lax.scan(step, first if len(first) == 2 else first[0], xs)
    return ys, final if len(first) == 2 else (final,)


def by_linen(this, dtype, weights, xs, first):
    from flax import linen

    cell = getattr(linen, this.kind)(N, dtype=dtype, param_dtype=dtype, **this.options)
    return stepped(lambda carry, x: cell.apply({"params": weights}, carry, x), xs, first)


def by_nnx(this, dtype, weights, xs, first):
    from flax import nnx

    made = getattr(nnx, this.kind)(D, N, dtype=dtype, param_dtype=dtype, rngs=nnx.Rngs(0), **this.options)
    graph, state = nnx.split(made)
    nnx.replace_by_pure_dict(state, weights)
    return stepped(lambda carry, x: nnx.merge(graph, state)(carry, x), xs, first)


def stepped(step, xs, first):
    """Flax's cells, which carry (c, h)."""
    final, ys = jax.lax.scan(step, first[::-1] if len(first) == 2 else first[0], xs)
    return ys, tuple(final)[::-1] if len(first) == 2 else (final,)


def main():
    jax.config.update("jax_enable_x64", True)
    stored = {}
    for case in CASES:
        if case not in LIVE:
            stored[f"{case} given"] = packed(drawn(case))
            for dtype in (np.float64, np.float32):
                results = computed(case, dtype)
                assert jax.tree.map(np.shape, results) == made(case)
                assert all(a.any() for a in jax.tree.leaves(results))
                stored[f"{case} {np.dtype(dtype).name}"] = packed(results).astype(dtype)
    np.savez_compressed(STORED, **stored)


if __name__ == "__main__":
    main()
