"""The recurrent layers of other libraries, each in its own best form, with rnnx's weights.

A rival is a function of (cell name, params of rnnx, xs [T, B, D]) that returns two programs without arguments: one
computes ys [T, B, N], the other (loss, the gradient of xs) and also takes the gradients of the weights. The loss is the
mean of ys squared. A rival raises LookupError where its library has no layer of the same maths.
"""

import importlib
import importlib.metadata
import os
from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

import rnnx
from rnnx.cells import CELLS
from rnnx.interop.weights import to_library

Programs = tuple[Callable[[], Any], Callable[[], Any]]


def jaxed(run: Callable[[Any, Any], Any], weights: Any, xs: Any) -> Programs:
    """Compiled programs of ys = run(weights, xs)."""
    forward = jax.jit(run).lower(weights, xs).compile()

    def loss(weights: Any, xs: Any) -> Any:
        ys = run(weights, xs)
        return jnp.mean(ys * ys)

    training = jax.jit(jax.value_and_grad(loss, (0, 1))).lower(weights, xs).compile()

    def train() -> tuple[Any, Any]:
        value, (d_weights, d_xs) = training(weights, xs)
        jax.block_until_ready(d_weights)
        return value, jax.block_until_ready(d_xs)

    return lambda: jax.block_until_ready(forward(weights, xs)), train


def by_rnnx(name: str, params: Any, xs: Any) -> Programs:
    cell = CELLS[name](xs.shape[2], jax.tree.leaves(params)[-1].shape[-1])
    return jaxed(lambda p, xs: jax.vmap(lambda x: rnnx.scan(cell, p, x)[1], 1, 1)(xs), params, xs)


def by_torch(name: str, params: Any, xs: Any) -> Programs:
    import torch

    kind = {"lstm": torch.nn.LSTM, "gru": torch.nn.GRU, "elman": torch.nn.RNN}[name]
    weights = to_library("torch", name, params, suffix="_l0")
    layer = kind(xs.shape[2], weights["weight_hh_l0"].shape[1])
    layer.load_state_dict({key: torch.from_numpy(np.array(a)) for key, a in weights.items()})
    inputs = torch.from_numpy(np.array(xs))

    def forward() -> Any:
        with torch.no_grad():
            return layer(inputs)[0].numpy()

    def train() -> tuple[Any, Any]:
        layer.zero_grad(set_to_none=True)
        given = inputs.detach().requires_grad_()
        ys, _ = layer(given)
        value = (ys * ys).mean()
        value.backward()
        return value.detach().numpy(), given.grad.numpy()  # type: ignore[union-attr]

    return forward, train


def by_linen(name: str, params: Any, xs: Any) -> Programs:
    from flax import linen

    kind = {"lstm": linen.OptimizedLSTMCell, "gru": linen.GRUCell, "elman": linen.SimpleCell}[name]
    weights = to_library("linen", name, params)
    layer = linen.RNN(kind(jax.tree.leaves(params)[-1].shape[-1]), time_major=True)
    return jaxed(lambda w, xs: layer.apply({"params": {"cell": w}}, xs), jax.tree.map(jnp.asarray, weights), xs)


def by_nnx(name: str, params: Any, xs: Any) -> Programs:
    from flax import nnx

    kind = {"lstm": nnx.OptimizedLSTMCell, "gru": nnx.GRUCell, "elman": nnx.SimpleCell}[name]
    place = {"optimized": True} if name == "lstm" else {}
    cell = kind(xs.shape[2], jax.tree.leaves(params)[-1].shape[-1], rngs=nnx.Rngs(0))
    nnx.update(cell, _pure(cell, to_library("nnx", name, params, **place)))
    graph, state, rest = nnx.split(nnx.RNN(cell, time_major=True), nnx.Param, ...)
    zero = jnp.zeros((xs.shape[1], cell.hidden_features))
    first = (zero, zero) if name == "lstm" else zero  # or it would draw it, by a generator that cannot be traced
    return jaxed(lambda state, xs: nnx.merge(graph, state, rest)(xs, initial_carry=first), state, xs)


def _pure(module: Any, weights: Any) -> Any:
    from flax import nnx

    state = nnx.state(module)
    nnx.replace_by_pure_dict(state, jax.tree.map(jnp.asarray, weights))
    return state


def by_haiku(name: str, params: Any, xs: Any) -> Programs:
    import haiku

    if name != "lstm":
        raise LookupError("haiku's GRU resets before the product, its VanillaRNN has relu")
    units = jax.tree.leaves(params)[-1].shape[-1]

    def unrolled(xs: Any) -> Any:
        core = haiku.LSTM(units)
        return haiku.dynamic_unroll(core, xs, core.initial_state(xs.shape[1]))[0]

    net = haiku.without_apply_rng(haiku.transform(unrolled))
    return jaxed(net.apply, jax.tree.map(jnp.asarray, to_library("haiku", name, params)), xs)


def by_equinox(name: str, params: Any, xs: Any) -> Programs:
    import equinox

    if name == "elman":
        raise LookupError("equinox has no plain recurrent cell")
    units = jax.tree.leaves(params)[-1].shape[-1]
    kind = {"lstm": equinox.nn.LSTMCell, "gru": equinox.nn.GRUCell}[name]
    weights = jax.tree.map(jnp.asarray, to_library("equinox", name, params))
    cell = kind(xs.shape[2], units, key=jax.random.key(0))

    def run(weights: Any, xs: Any) -> Any:
        filled = equinox.tree_at(lambda c: [getattr(c, key) for key in weights], cell, list(weights.values()))

        def one(xs: Any) -> Any:
            zero = jnp.zeros(units)

            def step(state: Any, x: Any) -> Any:
                state = filled(x, state)
                return state, state[0] if name == "lstm" else state

            return jax.lax.scan(step, (zero, zero) if name == "lstm" else zero, xs)[1]

        return jax.vmap(one, 1, 1)(xs)

    return jaxed(run, weights, xs)


def by_keras(name: str, params: Any, xs: Any) -> Programs:
    """Batch first, as Keras takes it: the layer gets its data so, and is not charged for the transposition."""
    os.environ["KERAS_BACKEND"] = "jax"
    import keras

    kind = {"lstm": keras.layers.LSTM, "gru": keras.layers.GRU, "elman": keras.layers.SimpleRNN}[name]
    layer = kind(jax.tree.leaves(params)[-1].shape[-1], return_sequences=True)
    rows = jnp.moveaxis(xs, 1, 0)
    layer.build(rows.shape)
    rest = [v.value for v in layer.non_trainable_variables]
    weights = [jnp.asarray(a) for a in to_library("keras", name, params)]
    forward, train = jaxed(lambda w, xs: layer.stateless_call(w, rest, xs)[0], weights, rows)
    return forward, train


BATCH_FIRST = {"keras"}
RIVALS = {
    "torch": by_torch,
    "linen": by_linen,
    "nnx": by_nnx,
    "haiku": by_haiku,
    "equinox": by_equinox,
    "keras": by_keras,
}
PACKAGES = {
    "torch": "torch",
    "linen": "flax",
    "nnx": "flax",
    "haiku": "dm-haiku",
    "equinox": "equinox",
    "keras": "keras",
}


def versions(names: list[str]) -> dict[str, str]:
    """Of the rivals that are installed."""
    told = {}
    for name in names:
        try:
            told[name] = importlib.metadata.version(PACKAGES[name])
        except importlib.metadata.PackageNotFoundError:
            continue
    return told
