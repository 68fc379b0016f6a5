"""Next-character prediction on any UTF-8 text."""

import functools

import jax
import jax.numpy as jnp
import numpy as np
from jax import Array

from rnnx.tasks.readers import BadFile, utf8
from rnnx.tasks.task import Criterion, any_example, cross_entropy, is_likeliest
from rnnx.types import Example, one_of, static


@static
class Text:
    """`length` characters of a text, one-hot; the target of each step is the character that follows.

    `file` is any UTF-8 file; "" is a text that every Python carries, the help topics of `pydoc` (its words
    vary a little with the version). `variant` "characters" takes Unicode characters as symbols, "bytes" the
    bytes of the file. The first 90 % of the text train, the next 5 % validate, the last 5 % test; an example starts
    anywhere. Loss: mean cross-entropy per symbol, in nats; chance is the entropy of single symbols, the criterion
    that of a symbol given the one before, which only a memory longer than one symbol beats.
    """

    length: int
    variant: str = "characters"
    file: str = ""

    answers = "steps"
    symbols = True
    splits = ("train", "valid", "test")
    continuous = True

    def __post_init__(self):
        one_of("text: variant", self.variant, ("characters", "bytes"))
        if self.length < 1:
            raise ValueError(f"text: length is {self.length}; write at least 1")
        shortest = min(len(self.load("valid")), len(self.load("test")))
        if shortest < 2:
            raise BadFile(f"file {self.file} has a test split of {shortest} symbols; give a longer text")
        if self.length >= shortest:
            raise ValueError(
                f"text: length is {self.length}, but the test split of the text has {shortest} symbols; "
                f"write a length of at most {shortest - 1}, or give a longer text"
            )

    @property
    def alphabet(self) -> tuple[str | int, ...]:
        """What the positions 0, 1, ... stand for."""
        return _read(self.file, self.variant)[0]

    @property
    def inputs(self) -> int:
        return len(self.alphabet)

    @property
    def outputs(self) -> int:
        return self.inputs

    @property
    def steps(self) -> int:
        return self.length

    @property
    def chance(self) -> float:
        return _entropies(self.file, self.variant)[0]

    @property
    def criterion(self) -> Criterion:
        return Criterion("loss", _entropies(self.file, self.variant)[1], 1000, "beats the bigram entropy; ours")

    def load(self, split: str = "train") -> np.ndarray:
        """The symbols of a split as int32 positions in the alphabet."""
        one_of("text: split", split, self.splits)
        symbols = _read(self.file, self.variant)[1]
        borders = [0, len(symbols) * 18 // 20, len(symbols) * 19 // 20, len(symbols)]
        i = self.splits.index(split)
        return symbols[borders[i] : borders[i + 1]]

    def count(self, data: Array) -> int:
        return len(data) - self.length

    def lengths(self, data: Array) -> np.ndarray:
        return np.full(self.count(data), self.length)

    def sample(self, data: Array, key: Array) -> Example:
        return any_example(self, data, key)

    def example(self, data: Array, index: Array) -> Example:
        window = jax.lax.dynamic_slice(jnp.asarray(data), (index,), (self.length + 1,))
        xs = jax.nn.one_hot(window[:-1], self.inputs)
        return Example(xs, window[1:], jnp.full(self.length, 1 / self.length, xs.dtype))

    def loss(self, y: Array, target: Array) -> Array:
        return cross_entropy(y, target)

    def correct(self, y: Array, target: Array) -> Array:
        return is_likeliest(y, target)


@functools.cache
def _read(file: str, variant: str) -> tuple[tuple[str | int, ...], np.ndarray]:
    """(alphabet, the text as positions in it)."""
    text = utf8.read(file) if file else _help_topics()
    kind, encoding = (np.uint8, "utf-8") if variant == "bytes" else (np.uint32, "utf-32-le")
    codes = np.frombuffer(text.encode(encoding), kind)
    alphabet, symbols = np.unique(codes, return_inverse=True)
    names = alphabet.tolist() if variant == "bytes" else map(chr, alphabet.tolist())
    return tuple(names), symbols.astype(np.int32)


def _help_topics() -> str:
    from pydoc_data.topics import topics

    return "\n".join(topics[name] for name in sorted(topics))


@functools.cache
def _entropies(file: str, variant: str) -> tuple[float, float]:
    """Entropy, in nats, of a symbol and of a symbol given the one before it."""
    alphabet, symbols = _read(file, variant)

    def entropy(outcomes: np.ndarray) -> float:
        p = np.unique(outcomes, return_counts=True)[1] / len(outcomes)
        return float(-np.sum(p * np.log(p)))

    pairs = symbols[:-1].astype(np.int64) * len(alphabet) + symbols[1:]
    return entropy(symbols), entropy(pairs) - entropy(symbols[:-1])
