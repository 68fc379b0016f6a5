"""Draws the cells of other libraries many times and stores what is seen, in preset_facts.json beside this file.

Run by hand, once, where they are installed: `KERAS_BACKEND=jax python tests/cells/make_preset_facts.py` (torch 2.13,
Keras 3.15, Flax 0.12.8, Haiku 0.0.17, Equinox 0.13.8). For each array of the parameters, as rnnx.interop.weights reads
them, and each gate: mean, standard deviation and largest size of the entries, and of a square matrix its largest and
smallest singular value and its spectral radius. Each is told as mean and standard deviation over the draws.
"""

import json
from pathlib import Path

import numpy as np

D, N, SEEDS = 16, 64, 24
STORED = Path(__file__).with_name("preset_facts.json")
MOMENTS = ("mean", "deviation", "largest")
SPECTRUM = ("norm", "least", "radius")  # the largest and the smallest singular value, the spectral radius


def statistics(params):
    """{array: [gates, statistics]} of one draw."""
    found = {}
    for key, array in params._asdict().items():
        if array is not None:
            array = np.asarray(array, np.float64)
            if key.startswith("w_"):
                gates = array.swapaxes(0, 1) if array.ndim == 3 else array[None]
            else:
                gates = np.atleast_2d(array)
            found[key] = np.array([_numbers(gate) for gate in gates])
    return found


def _numbers(gate):
    numbers = [gate.mean(), gate.std(), np.abs(gate).max()]
    if gate.shape == (N, N):
        values = np.linalg.svd(gate, compute_uv=False)
        numbers += [values[0], values[-1], np.abs(np.linalg.eigvals(gate)).max()]
    return numbers


def summary(draws):
    """{array: (mean, standard deviation), each [gates, statistics]} over many draws."""
    found = [statistics(params) for params in draws]
    stacks = {key: np.stack([one[key] for one in found]) for key in found[0]}
    return {key: (stack.mean(0), stack.std(0, ddof=1)) for key, stack in stacks.items()}


# ------------------------------------------------------------------------------------------- what libraries draw


def torch_draw(kind, seed, **options):
    import torch

    torch.manual_seed(seed)
    module = getattr(torch.nn, kind)(D, N, **options)
    return {key: a.numpy() for key, a in module.state_dict().items()}


def keras_draw(kind, seed, **options):
    import keras

    keras.utils.set_random_seed(seed)
    layer = getattr(keras.layers, kind)(N, **options)
    layer.build((1, 1, D))
    return layer.get_weights()


def linen_draw(kind, seed, **options):
    import jax
    from flax import linen

    cell, x = getattr(linen, kind)(N, **options), np.zeros(D, np.float32)
    return cell.init(jax.random.key(seed), cell.initialize_carry(jax.random.key(0), x.shape), x)["params"]


def nnx_draw(kind, seed):
    from flax import nnx

    return nnx.to_pure_dict(nnx.state(getattr(nnx, kind)(D, N, rngs=nnx.Rngs(seed)), nnx.Param))


def haiku_draw(kind, seed):
    import haiku
    import jax

    def one(x):
        core = getattr(haiku, kind)(N)
        return core(x, core.initial_state(None))

    return haiku.transform(one).init(jax.random.key(seed), np.zeros(D, np.float32))


def equinox_draw(kind, seed):
    import equinox
    import jax

    return vars(getattr(equinox.nn, kind)(D, N, key=jax.random.key(seed)))


# (library, cell): how it is drawn, and where the reader is told to look
SUFFIX = {"suffix": "_l0"}
DRAWS = {
    ("torch", "elman"): (lambda seed: torch_draw("RNN", seed), SUFFIX),
    ("torch", "lstm"): (lambda seed: torch_draw("LSTM", seed), SUFFIX),
    ("torch", "lstm_projected"): (lambda seed: torch_draw("LSTM", seed, proj_size=N // 2), SUFFIX),
    ("torch", "gru"): (lambda seed: torch_draw("GRU", seed), SUFFIX),
    ("keras", "elman"): (lambda seed: keras_draw("SimpleRNN", seed), {}),
    ("keras", "lstm"): (lambda seed: keras_draw("LSTM", seed), {}),
    ("keras", "gru"): (lambda seed: keras_draw("GRU", seed), {}),
    ("keras", "gru_before"): (lambda seed: keras_draw("GRU", seed, reset_after=False), {}),
    ("linen", "elman"): (lambda seed: linen_draw("SimpleCell", seed), {}),
    ("linen", "lstm"): (lambda seed: linen_draw("LSTMCell", seed), {}),
    ("linen", "gru"): (lambda seed: linen_draw("GRUCell", seed), {}),
    ("linen", "ugrnn"): (lambda seed: linen_draw("MGUCell", seed, reset_gate=False), {}),
    ("nnx", "elman"): (lambda seed: nnx_draw("SimpleCell", seed), {}),
    ("nnx", "lstm"): (lambda seed: nnx_draw("LSTMCell", seed), {}),
    ("nnx", "gru"): (lambda seed: nnx_draw("GRUCell", seed), {}),
    ("nnx_optimized", "lstm"): (lambda seed: nnx_draw("OptimizedLSTMCell", seed), {}),
    ("haiku", "elman"): (lambda seed: haiku_draw("VanillaRNN", seed), {}),
    ("haiku", "lstm"): (lambda seed: haiku_draw("LSTM", seed), {}),
    ("haiku", "gru_before"): (lambda seed: haiku_draw("GRU", seed), {}),
    ("equinox", "lstm"): (lambda seed: equinox_draw("LSTMCell", seed), {}),
    ("equinox", "gru"): (lambda seed: equinox_draw("GRUCell", seed), {}),
}


def facts():
    """{(library, cell): summary}, as stored."""
    stored = json.loads(STORED.read_text())
    return {
        tuple(key.split()): {name: tuple(np.array(a) for a in pair) for name, pair in arrays.items()}
        for key, arrays in stored.items()
    }


def main():
    from rnnx.interop.weights import from_library

    lines = []
    for (library, cell), (draw, place) in DRAWS.items():
        draws = [from_library(library.partition("_")[0], cell, draw(seed), **place) for seed in range(SEEDS)]
        arrays = []
        for key, pair in summary(draws).items():
            told = [[[float(f"{number:.6g}") for number in gate] for gate in table] for table in pair]
            arrays.append(f'  "{key}": {json.dumps(told, separators=(",", ":"))}')
        lines.append(f'"{library} {cell}": {{\n' + ",\n".join(arrays) + "\n}")
    STORED.write_text("{\n" + ",\n".join(lines) + "\n}\n")


if __name__ == "__main__":
    main()
