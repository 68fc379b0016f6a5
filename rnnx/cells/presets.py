"""Initial values as other libraries draw them, by the name of the library.

>>> imitate("keras", "lstm", 2, 64).recurrent_init
'orthogonal_fused'
>>> imitate("haiku", "lstm", 36, 64).recurrent_init
'truncated_normal:0.0879626'

"Orthogonal" and "normal" mean different things in different libraries: docs/gradient_flow.md shows what that does.
"""

from collections.abc import Callable, Mapping
from typing import Any

from rnnx.cells.catalogue import CELLS
from rnnx.cells.initialisers import KEPT
from rnnx.types import one_of

Option = str | float | Callable[[int, int], str]


def _cut(fan: Callable[[int, int], int]) -> Callable[[int, int], str]:
    """A normal of variance 1 / fan, cut at two deviations and not widened again: Haiku's `Linear`."""
    return lambda inputs, units: f"truncated_normal:{KEPT / fan(inputs, units) ** 0.5:.6g}"


_TORCH: dict[str, Option] = {
    "input_init": "uniform_units",
    "recurrent_init": "uniform_units",
    "bias_init": "uniform_units_twice",
}
_EQUINOX = _TORCH | {"bias_init": "uniform_units"}
_KERAS: dict[str, Option] = {"input_init": "glorot_uniform_fused", "recurrent_init": "orthogonal_fused"}
_FLAX: dict[str, Option] = {"input_init": "lecun_normal", "recurrent_init": "orthogonal"}
_NNX = _FLAX | {"recurrent_init": "orthogonal_fused"}

# library: {cell: its options}. A cell has the name of its FUNCTION in rnnx, as in rnnx.interop.weights.
PRESETS: Mapping[str, Mapping[str, Mapping[str, Option]]] = {
    "torch": {
        "elman": _TORCH,
        "lstm": _TORCH | {"forget_bias": 0.0},
        "lstm_projected": _TORCH | {"forget_bias": 0.0, "projection_init": lambda d, n: f"uniform:{n**-0.5:.6g}"},
        "gru": _TORCH | {"bias_init": "uniform_units_torch_gru", "c_init": "uniform_units"},
    },
    "keras": {"elman": _KERAS, "lstm": _KERAS | {"forget_bias": 1.0}, "gru": _KERAS, "gru_before": _KERAS},
    "linen": {
        "elman": _FLAX,
        "lstm": _FLAX | {"forget_bias": 0.0},  # OptimizedLSTMCell too
        "gru": _FLAX,
        "ugrnn": _FLAX | {"forget_bias": 1.0},  # MGUCell(reset_gate=False)
    },
    "nnx": {"elman": _FLAX, "lstm": _FLAX | {"forget_bias": 0.0}, "gru": _NNX},
    "nnx_optimized": {"lstm": _NNX | {"forget_bias": 0.0}},  # OptimizedLSTMCell
    "haiku": {
        "elman": {"input_init": _cut(lambda d, n: d), "recurrent_init": _cut(lambda d, n: n), "nonlinearity": "relu"},
        "lstm": dict.fromkeys(("input_init", "recurrent_init"), _cut(lambda d, n: d + n)) | {"forget_bias": 1.0},
        "gru_before": {"input_init": "lecun_normal", "recurrent_init": "lecun_normal"},
    },
    "equinox": {"lstm": _EQUINOX | {"forget_bias": 0.0}, "gru": _EQUINOX | {"c_init": "uniform_units"}},
}


def imitate(library: str, name: str, inputs: int, units: int) -> Any:
    """The cell `name` of CELLS with the initial values that `library` draws for it."""
    one_of("imitate: library", library, PRESETS)
    one_of(f"imitate: cell of {library}", name, PRESETS[library])
    options = PRESETS[library][name].items()
    return CELLS[name](
        inputs, units, **{word: rule(inputs, units) if callable(rule) else rule for word, rule in options}
    )
