"""The other values that every option of every cell is tried with, beyond its default.

`EVERYWHERE` holds the options that many cells share, by name; `OF[name]` those of one cell. An option that only
draws initial values changes no equation: it is tried in the contracts, not against the oracles.
"""

import dataclasses

EVERYWHERE = {
    "recurrent_init": ("orthogonal", "identity:0.5"),
    "input_init": ("lecun_normal",),
    "bias_init": ("uniform_units",),
    "forget_bias": (-2.0, 2.0),
    "forget_init": ("chrono:50", "uniform_gate"),
}

OF = {
    # simple
    "elman": {"nonlinearity": ("relu", "identity")},
    # lstms
    # gated
    # leaky
    # oscillating
    # unitary
    # linear
    # selective
}


def of(build, name):
    """{option: its other values} of the cell `name`, for those that are told."""
    known = EVERYWHERE | OF.get(name, {})
    return {field.name: known[field.name] for field in dataclasses.fields(build)[2:] if field.name in known}


def draws(option):
    """Whether an option only says how initial values are drawn."""
    return option.endswith("_init") or option == "forget_bias"
