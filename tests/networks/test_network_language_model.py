"""Symbols in, scores out, and text made by a loop in plain Python, by its limits and by counting."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from flax import nnx

from rnnx.cells import GRU, LSTM
from rnnx.networks import LanguageModel, Pure, stacked

V, E, T = 5, 4, 7
XS = np.random.default_rng(0).integers(V, size=T).astype(np.int32)
PROMPT = XS[:3]


def model(tied=False, units=E, temper=8.0):
    """Untrained scores are nearly alike; `temper` times the head makes symbols differ."""
    net = LanguageModel(stacked(LSTM, E, units, 2, rngs=nnx.Rngs(0)), V, tied=tied, rngs=nnx.Rngs(1))
    if net.head is not None:
        net.head.kernel.set_value(net.head.kernel.get_value() * temper)
        net.head.bias.set_value(jnp.linspace(-0.5, 0.5, V))
    return net


NET = model()


@pytest.mark.parametrize("tied", [False, True], ids=["free", "tied"])
def test_it_is_an_embedding_a_body_and_a_head(tied):
    net = model(tied)
    rows = np.asarray(net.embedding.embedding.get_value())
    state, ys = net(XS)
    own, hs = net.body(rows[XS])
    head = (rows.T, 0.0) if tied else (np.asarray(net.head.kernel.get_value()), np.asarray(net.head.bias.get_value()))
    np.testing.assert_allclose(ys, np.asarray(hs) @ head[0] + head[1], rtol=1e-12)
    jax.tree.map(np.testing.assert_array_equal, state, own)
    assert len(jax.tree.leaves(nnx.state(net, nnx.Param))) == 3 * 2 + 1 + (0 if tied else 2)


def test_one_hot_floats_are_whole_numbers():
    """With the same values and gradients; a mixture of two symbols enters as the mixture of their rows."""
    pure = Pure(lambda rngs: LanguageModel(stacked(GRU, E, E, rngs=rngs), V, rngs=rngs))
    params, hot = pure.init(jax.random.key(0)), np.eye(V)[XS]
    told = jax.jit(jax.value_and_grad(lambda params, xs: jnp.sum(jnp.square(pure.apply(params, xs, length=5)[1][:5]))))
    got, want = told(params, hot), told(params, XS)
    jax.tree.map(lambda a, b: np.testing.assert_allclose(a, b, rtol=1e-12, atol=1e-15), got, want)
    assert abs(told(params, np.roll(hot, 1, axis=1))[0] - want[0]) > 1e-6
    dirty = np.where(np.arange(T)[:, None] < 5, hot, np.nan)
    jax.tree.map(np.testing.assert_array_equal, told(params, dirty), got)
    net = pure.merge(params)
    rows, share = np.asarray(net.embedding.embedding.get_value()), np.full((1, V), 1 / V)
    np.testing.assert_allclose(net(share)[1], net.head(net.body(rows.mean(axis=0)[None])[1]), rtol=1e-12)


@pytest.mark.parametrize("xs", [np.zeros((T, V), np.int32), np.zeros((T, V + 1)), np.zeros(T), np.zeros((2, T, V))])
def test_other_inputs_are_refused(xs):
    with pytest.raises(ValueError, match=r"LanguageModel: xs is .*; give whole numbers \[T\], or floats \[T, 5\]"):
        NET(xs)


def test_bodies_that_cannot_be_used_are_refused():
    both = stacked(GRU, E, E, bidirectional=True, rngs=nnx.Rngs(0))
    with pytest.raises(ValueError, match="the body runs backwards too"):
        LanguageModel(both, V, rngs=nnx.Rngs(0))
    with pytest.raises(ValueError, match="tied, with a body of 4 inputs and 6 outputs"):
        model(tied=True, units=6)
    one = LanguageModel(stacked(GRU, E, E, rngs=nnx.Rngs(0)).layers[0], V, rngs=nnx.Rngs(0))  # a bare layer will do
    assert one(XS)[1].shape == (T, V)


# ------------------------------------------------------------------------------------------------ sampling


def greedy(prompt, steps):
    """Always from the beginning, nothing carried."""
    text = list(prompt)
    for _ in range(steps):
        text.append(int(np.argmax(score(np.array(text, np.int32))[-1])))
    return text[len(prompt) :]


score = jax.jit(lambda xs: NET(xs)[1])


def test_the_coldest_text_is_a_loop_of_argmax():
    """By temperature 0 and by top_k = 1 alike; at temperature 1 and one more symbol to choose from it is another."""
    want = greedy(PROMPT, 6)
    key = jax.random.key(0)
    for how in ({"temperature": 0.0}, {"top_k": 1}, {"temperature": 0.0, "top_k": 3}):
        got = NET.sample(PROMPT, 6, key, **how)[1]
        assert got.tolist() == want and got.dtype == jnp.int32, how
    texts = {tuple(NET.sample(PROMPT, 6, key, top_k=2)[1].tolist()) for key in jax.random.split(key, 5)}
    assert len(texts | {tuple(want)}) > 1


def test_the_state_goes_on():
    """Five and five more are ten; the state has read everything but the last symbol."""
    sample = jax.jit(NET.sample, static_argnames=("steps", "top_k"))
    key, cold = jax.random.key(0), {"temperature": 0.0}
    state, first = sample(PROMPT, 5, key, **cold)
    again, second = sample(first[-1:], 5, key, state, **cold)
    end, whole = sample(PROMPT, 10, key, **cold)
    assert whole.tolist() == [*first.tolist(), *second.tolist()]
    jax.tree.map(lambda a, b: np.testing.assert_allclose(a, b, rtol=1e-12), again, end)
    read = NET(np.concatenate([PROMPT, first[:-1]]))[0]
    jax.tree.map(lambda a, b: np.testing.assert_allclose(a, b, rtol=1e-12), state, read)
    more = NET(np.concatenate([PROMPT, first]))[0]
    assert not np.allclose(jax.tree.leaves(state)[0], jax.tree.leaves(more)[0])


@pytest.mark.parametrize("top_k", [0, 2])
def test_symbols_come_as_often_as_they_should(top_k):
    """softmax of scores / temperature over the top_k largest: the others never come; at another temperature, others."""
    count, temperature = 4000, 1.5
    draw = jax.jit(jax.vmap(lambda key, t: NET.sample(PROMPT, 1, key, temperature=t, top_k=top_k)[1][0], (0, None)))
    keys = jax.random.split(jax.random.key(0), count)
    scores = np.asarray(score(PROMPT)[-1])
    kept = np.argsort(scores)[-top_k:]
    p = np.zeros(V)
    p[kept] = np.exp(scores[kept] / temperature)
    p /= p.sum()

    def share(temperature):
        return np.bincount(draw(keys, temperature), minlength=V) / count

    off = 4.5 * np.sqrt(p * (1 - p) / count)
    assert np.all(np.abs(share(temperature) - p) <= off) and np.count_nonzero(p) == (top_k or V)
    assert not np.all(np.abs(share(0.5) - p) <= off)


def test_the_second_symbol_hears_the_first():
    """P(x2 | x1) by counting, for the likeliest x1."""
    keys = jax.random.split(jax.random.key(1), 6000)
    texts = np.asarray(jax.jit(jax.vmap(lambda key: NET.sample(PROMPT, 2, key)[1]))(keys))
    first = np.bincount(texts[:, 0]).argmax()
    after = texts[texts[:, 0] == first, 1]
    p = np.asarray(jax.nn.softmax(score(np.append(PROMPT, first).astype(np.int32))[-1]))
    got = np.bincount(after, minlength=V) / len(after)
    assert np.all(np.abs(got - p) < 4.5 * np.sqrt(p * (1 - p) / len(after)))


def test_no_symbols():
    state, symbols = NET.sample(PROMPT.astype(np.int64), 0, jax.random.key(0))
    assert symbols.shape == (0,) and symbols.dtype == jnp.int32
    jax.tree.map(np.testing.assert_array_equal, state, NET(PROMPT)[0])


@pytest.mark.parametrize(
    "prompt, how, says",
    [
        (PROMPT[:0], {}, "prompt has shape (0,)"),
        (PROMPT[None], {}, "prompt has shape (1, 3)"),
        (PROMPT, {"top_k": V + 1}, "top_k is 6; write 1 to 5"),
        (PROMPT, {"top_k": -1}, "top_k is -1"),
    ],
)
def test_refused(prompt, how, says):
    with pytest.raises(ValueError) as error:
        NET.sample(prompt, 2, jax.random.key(0), **how)
    assert says in str(error.value) and "\n" not in str(error.value)
