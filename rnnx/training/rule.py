"""What is done with a gradient: an optimizer of optax by name, a schedule, weight decay, noise."""

import inspect
import math
from dataclasses import dataclass
from typing import Any

import jax
import jax.numpy as jnp
import optax
from jax import Array

from rnnx.types import one_of

OPTIMIZERS = {
    "adam": optax.adam,
    "adamw": optax.adamw,
    "nadam": optax.nadam,
    "rmsprop": optax.rmsprop,
    "sgd": optax.sgd,
    "adabelief": optax.adabelief,
    "adagrad": optax.adagrad,
    "adamax": optax.adamax,
    "amsgrad": optax.amsgrad,
    "lion": optax.lion,
    "radam": optax.radam,
    "yogi": optax.yogi,
}
SCHEDULES = ("constant", "cosine", "linear", "exponential")
NOISE_DECAY = 0.55  # gamma of Neelakantan et al.


@dataclass(frozen=True)
class Rule:
    """An optimizer by name, and how its learning rate goes with the step.

        p <- p - r(n) (u + weight_decay p),    u = optax's step for g + e, at a learning rate of 1
        e ~ N(0, noise / (1 + n)^0.55)         Neelakantan et al. 2015 (arXiv:1511.06807), eq. 1

    r rises from 0 over the first `warmup` steps to `learning_rate`, then goes by `schedule` to `learning_rate * end`
    at step `steps`: "constant" stays, "cosine" is half a wave, "linear" a line, "exponential" a constant factor a step
    (end > 0). Weight decay is decoupled (Loshchilov & Hutter 2019, arXiv:1711.05101) for every optimizer, in place of
    the one that adamw and lion bring along.
    `options` are further arguments of optax's function, as pairs: (("b2", 0.99),).

    >>> Rule("sgd", 0.1, schedule="cosine", steps=100, options=(("momentum", 0.9),)).rate(50).round(4).item()
    0.05
    """

    optimizer: str = "adam"
    learning_rate: float = 1e-3
    schedule: str = "constant"
    warmup: int = 0
    steps: int = 0
    end: float = 0.0
    weight_decay: float = 0.0
    noise: float = 0.0
    options: tuple[tuple[str, Any], ...] = ()

    def __post_init__(self):
        one_of("Rule.optimizer", self.optimizer, OPTIMIZERS)
        one_of("Rule.schedule", self.schedule, SCHEDULES)
        for name in ("learning_rate", "warmup", "end", "weight_decay", "noise"):
            got = getattr(self, name)
            if not (math.isfinite(got) and got >= 0):
                raise ValueError(f"Rule.{name} is {got}; write a number of at least 0")
        if self.schedule != "constant" and self.steps <= self.warmup:
            raise ValueError(
                f"Rule.steps is {self.steps} with warmup={self.warmup}; a {self.schedule} schedule needs to know its "
                "last step: write a larger one"
            )
        if self.schedule == "exponential" and not self.end > 0:
            raise ValueError(f"Rule.end is {self.end}; an exponential never reaches 0: write e.g. 0.01")
        for name, _ in self.options:
            one_of(f"Rule.options: an option of {self.optimizer}", name, sorted(self._known()))

    def init(self, params: Any) -> Any:
        return self._optax().init(params)

    def rate(self, step: Any) -> Array:
        """The learning rate of step n, []."""
        peak, left = self.learning_rate, self.steps - self.warmup
        after = {
            "constant": lambda: optax.constant_schedule(peak),
            "cosine": lambda: optax.cosine_decay_schedule(peak, left, self.end),
            "linear": lambda: optax.linear_schedule(peak, peak * self.end, left),
            "exponential": lambda: optax.exponential_decay(peak, left, self.end, end_value=peak * self.end),
        }[self.schedule]()
        if self.warmup:
            after = optax.join_schedules([optax.linear_schedule(0.0, peak, self.warmup), after], [self.warmup])
        with jax.numpy_dtype_promotion("standard"):
            return jnp.asarray(after(jnp.asarray(step, jnp.int32)), jnp.zeros(()).dtype)

    def apply(self, gradients: Any, state: Any, params: Any, rate: Array, key: Array, step: Array) -> tuple[Any, Any]:
        """(new parameters, new state of the optimizer) at a learning rate."""
        if self.noise:
            deviation = jnp.sqrt(self.noise / (1.0 + step.astype(rate.dtype)) ** NOISE_DECAY)
            leaves, tree = jax.tree.flatten(gradients)
            keys = jax.random.split(key, len(leaves))
            noisy = [g + deviation.astype(g.dtype) * jax.random.normal(k, g.shape, g.dtype)
                     for g, k in zip(leaves, keys, strict=True)]  # fmt: skip
            gradients = tree.unflatten(noisy)
        with jax.numpy_dtype_promotion("standard"):  # optax's adams add a float to a count
            updates, state = self._optax().update(gradients, state, params)

        def moved(p: Array, u: Array) -> Array:
            down = u - self.weight_decay * p if self.weight_decay else u
            return p + rate.astype(p.dtype) * down.astype(p.dtype)

        return jax.tree.map(moved, params, updates), state

    def _optax(self) -> optax.GradientTransformation:
        options = dict(self.options)
        if self.weight_decay and "weight_decay" in self._known():
            options.setdefault("weight_decay", 0.0)
        return OPTIMIZERS[self.optimizer](learning_rate=1.0, **options)

    def _known(self) -> set[str]:
        return set(inspect.signature(OPTIMIZERS[self.optimizer]).parameters) - {"learning_rate", "mask"}
