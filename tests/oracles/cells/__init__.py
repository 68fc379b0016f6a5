"""Every cell a second time, in NumPy, from its source: `ORACLES[name](cell, p, s, x) -> (new state, y)`, one step.

`cell` tells the options, `p` are the parameters, `s` the state, both in rnnx's containers but of NumPy arrays, which
may be complex (complex_step.py). An oracle reads each matrix in the orientation of the paper, W [N, D] and U [N, N]
multiplying from the left, computes what the paper says, whatever it costs, and knows nothing of rnnx's code.
"""

from cells import gated, leaky, linear, lstms, oscillating, selective, simple, unitary

ORACLES = {
    **simple.ORACLES,
    **lstms.ORACLES,
    **gated.ORACLES,
    **leaky.ORACLES,
    **oscillating.ORACLES,
    **unitary.ORACLES,
    **linear.ORACLES,
    **selective.ORACLES,
}
