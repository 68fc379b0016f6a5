"""The other values that every option of every cell is tried with, beyond its default.

`EVERYWHERE` holds the options that many cells share, by name; `OF[name]` those of one cell. An option that only
draws initial values (`draws`) changes no equation: it is tried in the contracts, not against the oracles.
"""

import dataclasses

import pytest

from rnnx.cells import CELLS

EVERYWHERE = {
    "recurrent_init": ("orthogonal", "identity:0.5"),
    "input_init": ("lecun_normal",),
    "bias_init": ("uniform_units",),
    "c_init": ("uniform_units",),
    "forget_bias": (-2.0, 2.0),
    "forget_init": ("chrono:50", "uniform_gate"),
}

OF = {
    # simple
    "elman": {"nonlinearity": ("relu", "identity")},
    "scrn": {"context": (3,), "alpha": (0.5,), "adaptive": (True,)},
    "mrnn": {"factors": (1, 6)},
    # lstms
    "lstm": {"squashing": ("paper",)},
    "lstm_1997": {
        "block": (3,),
        "squashing": ("tanh", "identity"),
        "sees": ("cells", "nothing"),
        "output_gate": (False,),
        "forget": (True,),
        "bias": ("gates", "none"),
        "in_bias": (-1.0,),
        "in_bias_step": (-1.0,),
        "out_bias": (-1.0,),
        "out_bias_step": (-1.0,),
        "forget_bias_step": (1.0,),
    },
    "lstm_peephole": {"squashing": ("identity",), "out_bias": (2.0,), "peephole_init": ("zeros", "normal:0.1")},
    "lstm_coupled": {"peepholes": (True,), "peephole_init": ("normal:0.1",)},
    "lstm_projected": {
        "projection": (1, 4),
        "nonrecurrent": (2,),
        "peepholes": (True,),
        "projection_init": ("orthogonal",),
        "peephole_init": ("normal:0.1",),
    },
    "lstm_layer_norm": {"sums": ("gates", "none"), "carried": (True,), "epsilon": (0.1,)},
    "lstm_multiplicative": {"squashing": ("inside",)},
    # gated
    "ugrnn": {"nonlinearity": ("relu",)},
    "janet": {"beta": (0.0, 2.0), "forget_init": ("constant", "chrono:50", "uniform_gate")},
    "cfn": {"rest": (True,), "input_bias": (0.5,)},
    "minimalrnn": {"nonlinearity": ("relu", "identity")},
    "rhn": {"depth": (1, 2), "carry": ("free",)},
    "fastgrnn": {
        "nonlinearity": ("sigmoid", "relu"),
        "gate": ("tanh", "relu"),
        "rank_x": (2,),
        "rank_h": (2,),
        "zeta": (0.0,),
        "nu": (0.0,),
        "bias": (0.0,),
    },
    "fastrnn": {
        "nonlinearity": ("sigmoid", "relu"),
        "rank_x": (2,),
        "rank_h": (2,),
        "alpha": (0.0,),
        "beta": (0.0,),
        "bias": (0.0,),
    },
    # leaky
    "ctrnn": {
        "nonlinearity": ("relu", "sigmoid", "identity"),
        "form": ("currents",),
        "tau": (3.0,),
        "dt": (0.5,),
        "learned": (True,),
        "integrator": ("exponential",),
        "tau_init": ("uniform:1",),
    },
    "clockwork": {"groups": (1, 3), "base": (1, 3)},
    "antisymmetric": {"epsilon": (0.5,), "gamma": (1.0,)},
    "antisymmetric_gated": {"epsilon": (0.5,), "gamma": (1.0,)},
    "lipschitz": {
        "epsilon": (0.5,),
        "beta_a": (0.6,),
        "beta_w": (0.6,),
        "gamma_a": (0.5,),
        "gamma_w": (0.5,),
        "integrator": ("rk2",),
        "gated": (True,),
    },
    "plrnn": {"hidden": (7,), "clipped": (True,)},
    "rplrnn": {"share": (0.0, 1.0)},
    "esn": {
        "readouts": (2,),
        "radius": (1.25,),
        "leak": (0.7,),
        "input_scale": (0.1,),
        "bias_scale": (0.0,),
        "density": (0.5,),
        "nonlinearity": ("identity",),
        "seed": (7,),
        "readout_init": ("glorot_uniform",),
    },
    # oscillating
    "cornn": {"dt": (0.2,), "gamma": (66.0,), "epsilon": (0.3,), "implicit": (True,)},
    "unicornn": {"dt": (0.05,), "alpha": (0.7,), "control_init": ("normal:1",)},
    "lem": {"dt": (0.3,)},
    "ltc": {
        "unfolds": (1, 2),
        "dt": (0.3,),
        "nonlinearity": ("tanh", "relu"),
        "tau": (2.5,),
        "a_init": ("normal:1",),
    },
    "cfc": {
        "mode": ("no_gate", "pure"),
        "backbone_layers": (0, 2),
        "backbone_units": (5,),
        "activation": ("tanh", "relu", "silu", "gelu"),
        "offset": (False,),
        "dt": (0.3,),
        "kernel_init": ("lecun_normal",),
    },
    "lmu": {
        "order": (1, 5),
        "theta": (40.0,),
        "discretisation": ("euler",),
        "legendre": (True,),
        "memory_init": ("lecun_normal",),
        "encoder_init": ("normal:1",),
    },
    # unitary
    "urnn": {"seed": (1,)},
    "unitary": {"map": ("cayley",), "skew_init": ("henaff", "cayley")},
    "exprnn": {"map": ("cayley",), "skew_init": ("cayley", "haar")},
    "scornn": {"negative": (0.0, 0.3, 1.0), "skew_init": ("henaff", "haar")},
    "nnrnn": {"skew_init": ("cayley", "haar")},
    "eunn": {"capacity": (1, 5), "style": ("fft",)},
    "spectral": {
        "margin": (0.5, 1.0),
        "nonlinearity": ("relu", "identity"),
        "map": ("cayley",),
        "skew_init": ("henaff", "cayley"),
    },
    # linear
    "indrnn": {
        "nonlinearity": ("tanh", "identity"),
        "span": (1000.0,),
        "magnitude": (4.0,),
        "last": (True,),
    },
    "lru": {
        "states": (5,),
        "normalise": (False,),
        "r_min": (0.8,),
        "r_max": (0.9,),
        "max_phase": (0.3,),
    },
    "s4d": {
        "states": (2,),
        "discretisation": ("bilinear",),
        "real_part": ("relu", "none"),
        "poles": ("inv", "real"),
        "dt_min": (0.05,),
        "dt_max": (0.01,),
    },
    "s5": {
        "states": (6,),
        "discretisation": ("bilinear",),
        "conj_sym": (False,),
        "clip_eigs": (True,),
        "blocks": (4,),
        "dt_min": (0.05,),
        "dt_max": (0.01,),
        "output_init": ("normal:0.5",),
    },
    "rglru": {
        "blocks": (2,),
        "c": (4.0,),
        "a_min": (0.5,),
        "a_max": (0.95,),
        "gate_init": ("normal:0.5",),
    },
    "mingru": {"candidate": ("positive", "tanh")},
    "minlstm": {"candidate": ("positive", "tanh"), "normalise": (False,)},
    "sru": {
        "peephole": (True,),
        "nonlinearity": ("tanh", "relu"),
        "highway": (False,),
        "rescale": (False,),
        "highway_bias": (-2.0,),
    },
    "qrnn": {"pooling": ("f", "ifo"), "window": (2, 3)},
    # selective
    "s6": {
        "states": (1, 3),
        "dt_rank": (3,),
        "discretisation": ("zoh",),
        "dt_min": (0.01,),
        "dt_max": (1.0,),
    },
    "slstm": {
        "heads": (2,),
        "forget_gate": ("exponential",),
        "forget_spread": (20.0,),
        "forget_power": (1.0,),
    },
    "mlstm": {
        "heads": (2, 4),
        "forget_gate": ("exponential",),
        "forget_spread": (-2.0,),
        "gate_init": ("glorot_uniform",),
        "input_bias_init": ("zeros",),
    },
    "fastweights": {"heads": (2,), "kernel": ("linear",), "decay": (0.9,), "epsilon": (0.0,)},
    "gla": {"heads": (2,), "gate_rank": (3,), "temperature": (1.0,)},
    "deltanet": {
        "heads": (2, 4),
        "feature": ("elu", "identity"),
        "eigenvalues": ("signed",),
        "epsilon": (0.1,),
    },
    "gated_deltanet": {
        "heads": (2, 4),
        "feature": ("elu", "identity"),
        "eigenvalues": ("signed",),
        "epsilon": (0.1,),
        "dt_min": (0.01,),
        "dt_max": (0.5,),
    },
}

# The options that only draw initial values, beyond those whose name says so: a test holds them to it.
DRAWN = {
    "lstm_1997": ("in_bias", "in_bias_step", "out_bias", "out_bias_step", "forget_bias_step"),
    "lstm_peephole": ("out_bias",),
    "cfn": ("input_bias",),
    "fastgrnn": ("zeta", "nu", "bias"),
    "fastrnn": ("alpha", "beta", "bias"),
    "rplrnn": ("share",),
    "ltc": ("tau",),
    "lmu": ("legendre",),
    "indrnn": ("span", "magnitude", "last"),
    "lru": ("r_min", "r_max", "max_phase"),
    "s4d": ("poles", "dt_min", "dt_max"),
    "s5": ("blocks", "dt_min", "dt_max"),
    "rglru": ("a_min", "a_max"),
    "sru": ("rescale", "highway_bias"),
    "s6": ("dt_min", "dt_max"),
    "slstm": ("forget_spread", "forget_power"),
    "mlstm": ("forget_spread",),
    "gated_deltanet": ("dt_min", "dt_max"),
}


def one_of_each_room():
    """The names of CELLS as cases: one cell of each room for every run, all of them for the full one."""
    first = {build.__module__.split(".")[2]: name for name, build in reversed(CELLS.items())}
    return [pytest.param(n, id=n, marks=() if n in first.values() else pytest.mark.full) for n in CELLS]


def of(build, name):
    """{option: its other values} of the cell `name`, for those that are told."""
    known = EVERYWHERE | OF.get(name, {})
    return {field.name: known[field.name] for field in dataclasses.fields(build)[2:] if field.name in known}


def draws(name, option):
    """Whether an option of the cell `name` only says how initial values are drawn."""
    return option.endswith("_init") or option == "forget_bias" or option in DRAWN.get(name, ())
