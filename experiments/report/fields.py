"""What may stand in the files of a run: of each field whether a value is one."""

from typing import Any


def text(value: Any) -> bool:
    return isinstance(value, str) and value.isprintable() and len(value) <= 4096


def count(value: Any) -> bool:
    return isinstance(value, int) and not isinstance(value, bool) and 0 <= value < 2**53


def place(value: Any) -> bool:
    return value is None or count(value)


def number(value: Any) -> bool:
    """None is one that was not finite."""
    return value is None or isinstance(value, (int, float)) and not isinstance(value, bool) and abs(value) <= 1e308


def flags(value: Any) -> bool:
    return isinstance(value, dict) and all(text(part) for pair in value.items() for part in pair)


def numbers(value: Any) -> bool:
    return isinstance(value, list) and all(map(number, value))


RECORD_FIELDS = {"schema": count, "program": text, "flags": flags, "status": text}
RECORD_OPTIONAL = {
    "git": lambda v: v is None or isinstance(v, dict) and text(v.get("commit")) and isinstance(v.get("dirty"), bool),
    "x64": lambda value: isinstance(value, bool),
    "packages": lambda v: isinstance(v, dict) and all(text(k) and (n is None or text(n)) for k, n in v.items()),
    **dict.fromkeys(("argv", "devices"), lambda value: isinstance(value, list) and all(map(text, value))),
    **dict.fromkeys(("started", "ended", "python", "os", "processor", "backend", "data_sha256", "state_sha256",
                     "matmul_precision", "prng"), lambda value: value is None or text(value)),
}  # fmt: skip
ROW_FIELDS = {
    "gradient_norms": {
        **dict.fromkeys(("cell", "task", "variant"), text),
        **dict.fromkeys(("schema", "length", "steps", "seed", "trained_steps"), count),
        **dict.fromkeys(("loss", "chance_loss", "log10_norm_first", "log10_norm_last", "slope_log10_per_step",
                         "half_life_steps", "share_below_float32", "log10_parameter_norm"), number),
    },
    "length_frontier": {
        "cell": text,
        **dict.fromkeys(("length", "seed", "steps"), count),
        **dict.fromkeys(("learning_rate", "best_loss", "slope_log10_per_step", "log10_norm_first"), number),
        "solved_step": place,
    },
    "train": {"kind": text, "step": count, "seed": count},
}  # fmt: skip
KIND_FIELDS = {
    "step": {"loss": number, "log10_gradient_norm": number},
    "look": {"split": text, "loss": number, "step_loss": number, "accuracy": number},
    "flow": {"layer": text, "lags": lambda v: isinstance(v, list) and all(map(count, v)),
             "log10_norms": numbers, "slope_log10_per_step": number},
}  # fmt: skip
SUMMARY = {"chance_loss": number, "parameters": count, "rows": lambda value: isinstance(value, list)}
SCORES = {"loss": number, "step_loss": number, "accuracy": number}
