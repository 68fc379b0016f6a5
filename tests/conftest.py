"""Float64 for exactness, nothing promoted by accident, on the CPU, and compiled quickly."""

import os

os.environ["JAX_PLATFORMS"] = "cpu"  # before jax is imported, here and in every program that a test runs
os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")  # its threads wait by spinning: every core is a worker's already

import jax  # noqa: E402

from experiments import quick  # noqa: E402


def pytest_configure(config):
    """`pytest -m full` is the whole product, what runs by default included, compiled as users compile."""
    if config.option.markexpr == "full":
        config.option.markexpr = ""
    else:
        os.environ.setdefault("XLA_FLAGS", quick.flags())  # read when JAX first meets the device


jax.config.update("jax_enable_x64", True)
jax.config.update("jax_numpy_dtype_promotion", "strict")
jax.config.update("jax_numpy_rank_promotion", "raise")


def pytest_runtest_teardown(item, nextitem):
    """What was compiled for one file is dropped before the next: a worker else grows to gigabytes."""
    if nextitem is None or nextitem.path != item.path:
        jax.clear_caches()
