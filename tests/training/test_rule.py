"""Learning rates by hand, weight decay beside every optimizer, and noise of the variance it says."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from rnnx.training import OPTIMIZERS, Rule

PARAMS = {"a": jnp.array([1.0, -2.0]), "b": jnp.array([[3.0]])}
GRADIENTS = [
    {"a": jnp.array([0.3, -0.1]), "b": jnp.array([[-0.7]])},
    {"a": jnp.array([-0.2, 0.5]), "b": jnp.ones((1, 1))},
]
KEY = jax.random.key(0)


def by_hand(kind, n, peak=0.2, warmup=4, steps=12, end=0.1):
    if n < warmup:
        return peak * n / warmup
    s = min((n - warmup) / (steps - warmup), 1)
    share = {
        "constant": 1.0,
        "cosine": end + (1 - end) * (1 + np.cos(np.pi * s)) / 2,
        "linear": 1 + (end - 1) * s,
        "exponential": end**s,
    }
    return peak * share[kind]


@pytest.mark.parametrize("kind", ["constant", "cosine", "linear", "exponential"])
def test_rates(kind):
    """At every step of the warm-up, the schedule, and beyond its end; the other schedules are told apart."""
    rule = Rule(learning_rate=0.2, schedule=kind, warmup=4, steps=12, end=0.1)
    got = jax.vmap(rule.rate)(jnp.arange(20))
    np.testing.assert_allclose(got, [by_hand(kind, n) for n in range(20)], rtol=1e-6)
    for other in {"constant", "cosine", "linear", "exponential"} - {kind}:
        assert not np.allclose(got, [by_hand(other, n) for n in range(20)], rtol=1e-3)
    cold = Rule(learning_rate=0.2, schedule=kind, steps=12, end=0.1)
    np.testing.assert_allclose(cold.rate(0), 0.2, rtol=1e-6)
    np.testing.assert_allclose(cold.rate(7), by_hand(kind, 7, warmup=0), rtol=1e-6)
    assert got.dtype == jnp.float64


def test_to_zero():
    """`end` is 0 by default: cosine and line end there."""
    for kind in ("cosine", "linear"):
        np.testing.assert_allclose(Rule(schedule=kind, steps=9).rate(9), 0, atol=1e-18)


def moved(rule, rate, count=2):
    """The parameters after so many steps at a rate."""
    params, state = PARAMS, rule.init(PARAMS)
    for n in range(count):
        params, state = rule.apply(GRADIENTS[n], state, params, jnp.asarray(rate), KEY, jnp.asarray(n, jnp.int32))
    return params


@pytest.mark.parametrize("name", OPTIMIZERS)
def test_weight_decay_stands_beside_the_optimizer(name):
    """p - r (u + decay p), u that of optax without any decay: two steps, the second from where the first led."""
    decay, rate = 0.3, 0.1
    theirs = OPTIMIZERS[name](1.0, **({"weight_decay": 0.0} if name in ("adamw", "lion") else {}))
    params, state = PARAMS, theirs.init(PARAMS)
    for gradients in GRADIENTS:
        with jax.numpy_dtype_promotion("standard"):
            down, state = theirs.update(gradients, state, params)
        params = jax.tree.map(lambda p, u: p - rate * (decay * p - u), params, down)
    got = moved(Rule(name, weight_decay=decay), rate)
    jax.tree.map(lambda a, b: np.testing.assert_allclose(a, b, rtol=1e-12), got, params)
    plain = moved(Rule(name), rate)
    assert all(np.all(np.abs(a - b) > 1e-3) for a, b in zip(*map(jax.tree.leaves, (got, plain)), strict=True))


def test_sgd_with_decay_on_paper():
    """2 - 0.1 (0.5 + 0.3 * 2) = 1.89."""
    rule, one = Rule("sgd", weight_decay=0.3), {"a": jnp.array(2.0)}
    step = jnp.zeros((), jnp.int32)
    got, _ = rule.apply({"a": jnp.array(0.5)}, rule.init(one), one, jnp.asarray(0.1), KEY, step)
    np.testing.assert_allclose(got["a"], 1.89, rtol=1e-12)


def test_options_reach_optax():
    """Momentum by hand, v = 0.9 v + g; it is off by default."""
    a, b = (np.asarray(g["a"]) for g in GRADIENTS)
    got = moved(Rule("sgd", options=(("momentum", 0.9),)), 0.1)["a"]
    np.testing.assert_allclose(got, PARAMS["a"] - 0.1 * (a + 0.9 * a + b), rtol=1e-12)
    np.testing.assert_allclose(moved(Rule("sgd"), 0.1)["a"], PARAMS["a"] - 0.1 * (a + b), rtol=1e-12)


def test_the_variance_of_noise_decays():
    """noise / (1 + n)^0.55 at steps 0 and 99, of every leaf its own; the key repeats it."""
    rule, many = Rule("sgd", noise=0.04), {"a": jnp.zeros(20000), "b": jnp.zeros(20000)}
    zero, state = jax.tree.map(jnp.zeros_like, many), rule.init(many)

    def drawn(n, key):
        got, _ = rule.apply(zero, state, many, jnp.ones(()), key, jnp.asarray(n, jnp.int32))
        return np.stack([got["a"], got["b"]])

    for n in (0, 99):
        e, want = drawn(n, KEY), 0.04 / (1 + n) ** 0.55
        np.testing.assert_allclose(e.var(axis=1), want, rtol=0.05)
        assert np.all(np.abs(e.mean(axis=1)) < 5 * np.sqrt(want / 20000))
        assert abs(np.corrcoef(e)[0, 1]) < 0.04
        np.testing.assert_array_equal(e, drawn(n, KEY))
        assert not np.allclose(e, drawn(n, jax.random.key(1)))
    np.testing.assert_array_equal(moved(Rule("sgd", noise=0.0), 0.1)["a"], moved(Rule("sgd"), 0.1)["a"])


@pytest.mark.parametrize("dtype", [jnp.float32, jnp.bfloat16])
def test_dtypes_stay(dtype):
    """Also where rates are of another one than parameters."""
    params, gradients = jax.tree.map(lambda a: a.astype(dtype), (PARAMS, GRADIENTS[0]))
    rule = Rule("adam", weight_decay=0.1, noise=0.1)
    got, _ = rule.apply(gradients, rule.init(params), params, jnp.asarray(0.1), KEY, jnp.zeros((), jnp.int32))
    assert all(leaf.dtype == dtype for leaf in jax.tree.leaves(got))


@pytest.mark.parametrize(
    "how, says",
    [
        ({"schedule": "cosin", "steps": 3}, "Rule.schedule got 'cosin'; did you mean 'cosine'?"),
        ({"schedule": "linear", "warmup": 5, "steps": 5}, "Rule.steps is 5 with warmup=5; a linear schedule needs"),
        ({"schedule": "exponential", "steps": 5}, "Rule.end is 0.0; an exponential never reaches 0"),
        ({"options": (("bb2", 0.9),)}, "Rule.options: an option of adam got 'bb2'; did you mean 'b2'?"),
        ({"options": (("learning_rate", 0.9),)}, "Rule.options: an option of adam got 'learning_rate'"),
        ({"learning_rate": float("nan")}, "Rule.learning_rate is nan; write a number of at least 0"),
        ({"weight_decay": -0.1}, "Rule.weight_decay is -0.1"),
        ({"noise": -1.0}, "Rule.noise is -1.0"),
        ({"warmup": -1}, "Rule.warmup is -1"),
    ],
)
def test_refused(how, says):
    with pytest.raises(ValueError) as error:
        Rule(**how)
    assert says in str(error.value) and "\n" not in str(error.value)
