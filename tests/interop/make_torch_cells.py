"""Draws torch's cells and layers and stores what they compute, in torch_cells.npz beside this file.

Run by hand, once, where torch is installed: `python tests/interop/make_torch_cells.py` (torch 2.13, CPU, float64).
The tests read the stored numbers and need no torch. Layers have both directions, so that each holds two cells.
"""

from pathlib import Path

import numpy as np

D, N, T = 3, 2, 4
STORED = Path(__file__).with_name("torch_cells.npz")
# case: (torch's class, its options, the cell's name in rnnx, gates, directions)
CASES = {
    "rnn_cell_tanh": ("RNNCell", {"nonlinearity": "tanh"}, "elman", 1, 1),
    "rnn_cell_relu": ("RNNCell", {"nonlinearity": "relu"}, "elman", 1, 1),
    "lstm_cell": ("LSTMCell", {}, "lstm", 4, 1),
    "gru_cell": ("GRUCell", {}, "gru", 3, 1),
    "rnn_layer": ("RNN", {"bidirectional": True}, "elman", 1, 2),
    "lstm_layer": ("LSTM", {"bidirectional": True}, "lstm", 4, 2),
    "gru_layer": ("GRU", {"bidirectional": True}, "gru", 3, 2),
}


def suffixes(case):
    """What stands behind torch's names, for each direction."""
    return [""] if "cell" in case else ["_l0", "_l0_reverse"]


def layout(case):
    """Name and shape of every array of a case, in the order in which they are stored, flat, one behind the other."""
    _, _, name, gates, directions = CASES[case]
    states = ["h", "c"] if name == "lstm" else ["h"]
    learned = {}
    for suffix in suffixes(case):
        learned |= {f"weight_ih{suffix}": (gates * N, D), f"weight_hh{suffix}": (gates * N, N)}
        learned |= {f"bias_ih{suffix}": (gates * N,), f"bias_hh{suffix}": (gates * N,)}
    given = learned | {"xs": (T, D)} | {f"first_{s}": (directions, N) for s in states}
    made = {"ys": (T, directions * N)} | {f"final_{s}": (directions, N) for s in states}
    return given | made | {f"gradient of {key}": shape for key, shape in given.items()}


def unpacked(case, flat):
    """The arrays of a case by name."""
    shapes = layout(case)
    ends = np.cumsum([int(np.prod(shape)) for shape in shapes.values()])
    parts = np.split(flat, ends)
    assert parts[-1].size == 0
    return {key: part.reshape(shape) for (key, shape), part in zip(shapes.items(), parts, strict=False)}


def ruler(shape):
    """The cotangent of everything a case puts out: a different number for each entry."""
    return np.cos(np.arange(np.prod(shape))).reshape(shape)


def computed(case):
    import torch

    kind, options, name, _, directions = CASES[case]
    module = getattr(torch.nn, kind)(D, N, dtype=torch.float64, **options)
    arrays = dict(module.named_parameters())
    with torch.no_grad():
        for parameter in arrays.values():
            parameter.normal_()
    drawn = {key: shape for key, shape in layout(case).items() if key == "xs" or key.startswith("first")}
    arrays |= {key: torch.randn(shape, dtype=torch.float64, requires_grad=True) for key, shape in drawn.items()}
    first = (arrays["first_h"], arrays["first_c"]) if name == "lstm" else arrays["first_h"]
    if directions == 2:
        ys, final = module(arrays["xs"], first)
    else:
        state = tuple(s[0] for s in first) if name == "lstm" else first[0]
        ys = []
        for x in arrays["xs"]:
            state = module(x, state)
            ys.append(state[0] if name == "lstm" else state)
        ys, final = torch.stack(ys), tuple(s[None] for s in state) if name == "lstm" else state[None]
    made = {"ys": ys} | dict(zip(("final_h", "final_c"), final if name == "lstm" else (final,), strict=False))
    sum(torch.sum(out * torch.from_numpy(ruler(out.shape))) for out in made.values()).backward()
    everything = arrays | made | {f"gradient of {key}": array.grad for key, array in arrays.items()}
    assert {key: tuple(array.shape) for key, array in everything.items()} == layout(case)
    return np.concatenate([everything[key].detach().numpy().reshape(-1) for key in layout(case)])


def main():
    import torch

    torch.manual_seed(0)
    np.savez_compressed(STORED, **{case: computed(case) for case in CASES})


if __name__ == "__main__":
    main()
