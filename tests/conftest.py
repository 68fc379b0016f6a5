"""Float64 for exactness, nothing promoted by accident, on the CPU."""

import os

os.environ["JAX_PLATFORMS"] = "cpu"  # before jax is imported, here and in every program that a test runs

import jax  # noqa: E402


def pytest_configure(config):
    """`pytest -m full` is the whole product, what runs by default included."""
    if config.option.markexpr == "full":
        config.option.markexpr = ""


jax.config.update("jax_enable_x64", True)
jax.config.update("jax_numpy_dtype_promotion", "strict")
jax.config.update("jax_numpy_rank_promotion", "raise")
