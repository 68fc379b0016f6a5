"""Next-symbol prediction, and text made by it."""

from typing import Any

import jax
import jax.numpy as jnp
from flax import nnx
from jax import Array

from rnnx.networks.layers import without_padding
from rnnx.networks.watch import Watch


class LanguageModel(nnx.Module):
    """Scores of the next symbol, from the symbols so far.

        y_t = W body(E[x_0], .., E[x_t]) + b    [V]

    x are whole numbers below `vocabulary` V, or rows [V] of floats, one-hot or any mixture of symbols: x E then stands
    for E[x]. E is an embedding as wide as the body's input; `tied`, W is E transposed and b is 0, which asks for a body
    as wide as E at both ends. Source of tying: Press & Wolf 2017 (arXiv:1608.05859).
    """

    def __init__(self, body: Any, vocabulary: int, *, tied: bool = False, rngs: nnx.Rngs):
        if not body.causal:
            raise ValueError("LanguageModel: the body runs backwards too and would read what it is to predict; "
                             "give one of forward layers")  # fmt: skip
        if tied and body.inputs != body.outputs:
            raise ValueError(
                f"LanguageModel: tied, with a body of {body.inputs} inputs and {body.outputs} outputs; "
                "give one as wide at both ends, or tied=False"
            )
        self.body, self.vocabulary, self.tied = body, vocabulary, tied
        self.embedding = nnx.Embed(vocabulary, body.inputs, param_dtype=jnp.result_type(float), rngs=rngs)
        self.head = (
            None if tied else nnx.Linear(body.outputs, vocabulary, param_dtype=jnp.result_type(float), rngs=rngs)
        )

    def __call__(
        self,
        xs: Array,
        state: Any = None,
        *,
        length: Any = None,
        key: Array | None = None,
        watch: Watch | None = None,
    ) -> tuple[Any, Array]:
        """(final states, scores [T, V]) of whole numbers xs [T] or floats xs [T, V]"""
        state, ys = self.body(self._embedded(without_padding(xs, length)), state, length=length, key=key, watch=watch)
        return state, self.embedding.attend(ys) if self.head is None else self.head(ys)

    def _embedded(self, xs: Array) -> Array:
        if jnp.issubdtype(xs.dtype, jnp.integer) and xs.ndim == 1:
            return self.embedding(xs)
        if not jnp.issubdtype(xs.dtype, jnp.floating) or xs.ndim != 2 or xs.shape[1] != self.vocabulary:
            raise ValueError(
                f"LanguageModel: xs is {xs.dtype} {xs.shape}; give whole numbers [T], or floats [T, {self.vocabulary}]"
            )
        rows = self.embedding.embedding.get_value()
        return xs.astype(rows.dtype) @ rows

    def sample(
        self,
        prompt: Array,
        steps: int,
        key: Array,
        state: Any = None,
        *,
        temperature: float | Array = 1.0,
        top_k: int = 0,
    ) -> tuple[Any, Array]:
        """Go on from a prompt: (state, symbols [steps]).

            p(x_{t+1}) = softmax(y_t / temperature), over the `top_k` largest y_t (0: over all)

        prompt: whole numbers [P], P >= 1. temperature 0 takes the likeliest symbol each time. The state returned has
        read all that was written but the last symbol: sampling goes on with `prompt=symbols[-1:]`.
        """
        if prompt.ndim != 1 or not prompt.size:
            raise ValueError(f"sample: prompt has shape {prompt.shape}; give at least one symbol, [P]")
        if not 0 <= top_k <= self.vocabulary:
            raise ValueError(f"sample: top_k is {top_k}; write 1 to {self.vocabulary}, or 0 for all symbols")
        state, scores = self(prompt, state)
        keys = jax.random.split(key, steps)
        first = _draw(scores[-1], keys[0], temperature, top_k) if steps else prompt[-1].astype(jnp.int32)

        def visit(carry: Any, key: Array) -> tuple[Any, Array]:
            state, symbol = carry
            state, scores = self(symbol[None], state)
            symbol = _draw(scores[-1], key, temperature, top_k)
            return (state, symbol), symbol

        (state, _), rest = jax.lax.scan(visit, (state, first), keys[1:])
        return state, jnp.concatenate([first[None], rest])[:steps]


def _draw(scores: Array, key: Array, temperature: float | Array, top_k: int) -> Array:
    """One symbol, int32 [], of scores [V]."""
    if top_k:
        lowest = jax.lax.top_k(scores, top_k)[0][-1]
        scores = jnp.where(scores >= lowest, scores, jnp.full_like(scores, -jnp.inf))
    temperature = jnp.asarray(temperature, scores.dtype)
    cold = temperature <= 0
    safe = jnp.where(cold, jnp.ones_like(temperature), temperature)
    drawn = jax.random.categorical(key, scores / safe)
    return jnp.where(cold, jnp.argmax(scores), drawn).astype(jnp.int32)
