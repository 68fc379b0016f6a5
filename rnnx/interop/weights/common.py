"""What the libraries' files share: the cells gate by gate, shapes that must fit, and what is said where they do not."""

from collections.abc import Iterable, Mapping
from typing import Any, NamedTuple

import numpy as np

from rnnx.cells import elman, gru, lstm
from rnnx.cells.gated import lstm_projected, ugrnn
from rnnx.types import one_of


class Gates(NamedTuple):
    """The weights of a cell gate by gate, in the order of rnnx, with biases as libraries have them: one or two."""

    w_x: Any  # [D, G, N]
    w_h: Any  # [N, G, N], with a projection [R, G, N]
    b_x: Any = None  # [G, N], added to W_x x; zero where there is none
    b_h: Any = None  # [G, N], added to W_h h
    w_r: Any = None  # [N, R], the projection


# How many gates a cell has, and what its parameters are called.
COUNT = {"elman": 1, "ugrnn": 2, "gru": 3, "gru_before": 3, "lstm": 4, "lstm_projected": 4}
PARAMS: dict[str, Any] = {
    "elman": elman.Params,
    "ugrnn": ugrnn.Params,
    "gru": gru.Params,
    "gru_before": gru.ParamsBefore,
    "lstm": lstm.Params,
    "lstm_projected": lstm_projected.Params,
}


def assemble(name: str, gates: Gates) -> Any:
    """The parameters of the cell `name`: two biases become their sum wherever only the sum counts."""
    w_x, w_h, w_r = gates.w_x, gates.w_h, gates.w_r
    zero = np.zeros(w_x.shape[1:], w_x.dtype)
    b_x, b_h = (zero if b is None else b for b in (gates.b_x, gates.b_h))
    if name == "gru":  # the recurrent bias of n stands inside its reset gate
        outside = np.concatenate([b_h[:2], zero[2:]])
        return PARAMS[name](w_x, w_h, b_x + outside, b_h[2])
    b = b_x + b_h
    if name == "gru_before":
        return PARAMS[name](w_x, w_h[:, :2], w_h[:, 2], b)
    if name == "lstm_projected":
        return PARAMS[name](w_x, w_h, b, w_r, None, None, None)
    return PARAMS[name](w_x, w_h, b)


def take_apart(where: str, name: str, params: Any) -> Gates:
    """The inverse of `assemble`: everything in the first bias but what must stand in the second."""
    if type(params) is not PARAMS[name]:
        raise ValueError(
            f"{where}: got {_name(type(params))}, expected the {_name(PARAMS[name])} of {name}; name the cell whose "
            "parameters these are"
        )
    given = type(params)(*(None if a is None else np.asarray(a) for a in params))
    second = np.zeros_like(given.b)
    if name == "gru":
        second[2] = given.c
    if name == "gru_before":
        return Gates(given.w_x, np.concatenate([given.w_h, given.w_n[:, None]], axis=1), given.b, second)
    if name == "lstm_projected":
        if given.p_i is not None or given.w_r.shape[1] != given.w_h.shape[0]:
            raise ValueError(
                f"{where}: got peepholes or a projection that is not fed back, expected neither; write the parameters "
                "of a cell with peepholes=False and nonrecurrent=0"
            )
        return Gates(given.w_x, given.w_h, given.b, second, given.w_r)
    return Gates(given.w_x, given.w_h, given.b, second)


def ordered(gates: Gates, order: tuple[int, ...]) -> Gates:
    """The gates in another order. Both orders that libraries differ by are their own inverse."""
    w_x, w_h, b_x, b_h = (None if a is None else a[..., list(order), :] for a in gates[:4])
    return Gates(w_x, w_h, b_x, b_h, gates.w_r)


# ------------------------------------------------------------------------------------- how gates lie in one matrix


def beside(matrix: np.ndarray, count: int) -> np.ndarray:
    """[M, G N] -> [M, G, N]: gates side by side."""
    return matrix.reshape(matrix.shape[0], count, -1)


def below(matrix: np.ndarray, count: int) -> np.ndarray:
    """[G N, M] -> [M, G, N]: gates one below the other."""
    return np.ascontiguousarray(matrix.reshape(count, -1, matrix.shape[1]).transpose(2, 0, 1))


def flat(gates: np.ndarray) -> np.ndarray:
    """[..., G, N] -> [..., G N], the inverse of `beside`."""
    return gates.reshape(*gates.shape[:-2], -1)


def stacked(gates: np.ndarray) -> np.ndarray:
    """[M, G, N] -> [G N, M], the inverse of `below`."""
    return np.ascontiguousarray(flat(gates).T)


# ------------------------------------------------------------------------------------------------- what must fit


def known(where: str, name: str, cells: Iterable[str], others: Mapping[str, str] | None = None) -> None:
    """Refuse a cell that a library does not have; `others` says why, where another cell may be meant."""
    if others and name in others:
        raise ValueError(f"{where}: cell got {name!r}; {others[name]}")
    one_of(f"{where}: cell", name, cells)


def take(where: str, weights: Mapping[str, Any], *path: str) -> np.ndarray:
    """The array at a path of keys."""
    node = weights
    for i, key in enumerate(path):
        if not isinstance(node, Mapping) or key not in node:
            keys = ", ".join(map(repr, node)) if isinstance(node, Mapping) else type(node).__name__
            inside = f" in {'.'.join(path[:i])!r}" if i else ""
            raise ValueError(
                f"{where}: {key!r} is missing{inside}; got {keys or 'nothing'}; give the weights of one such cell alone"
            )
        node = node[key]
    return np.asarray(node)


def fit(where: str, name: str, arrays: Mapping[str, tuple[Any, str]], **sizes: int) -> list[np.ndarray]:
    """The arrays, if their shapes fit: "D GN" is [D, G N], G the gates of the cell; a letter is one size throughout."""
    count = COUNT[name]
    checked = []
    for key, (array, letters) in arrays.items():
        got = np.shape(array)
        wanted = letters.split()
        fits = len(got) == len(wanted)
        for size, letter in zip(got, wanted, strict=False):
            times = count if letter.startswith("G") else 1
            fits = fits and size % times == 0 and size // times == sizes.setdefault(letter[-1], size // times)
        if not fits:
            text = ", ".join(letter.replace("G", str(count) if count > 1 else "") for letter in wanted)
            of = ", ".join(f"{letter} = {size}" for letter, size in sizes.items() if letter in letters)
            raise ValueError(
                f"{where}: {key} is {list(got)}, expected [{text}]" + (f" with {of}" if of else "") + f" for the "
                f"{count} gate{'s' if count > 1 else ''} of {name}; name the cell that these weights are of"
            )
        checked.append(np.asarray(array))
    return checked


def _name(kind: type) -> str:
    """gru.Params for rnnx.cells.gated.gru.Params: every cell's are called Params."""
    return f"{kind.__module__.rpartition('.')[2]}.{kind.__name__}"
