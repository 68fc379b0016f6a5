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


MAPS = 30_000  # of this process's memory; Linux gives 65,530 to one, and XLA ends it when there are no more


def pytest_runtest_teardown(item, nextitem):
    """What was compiled for one file is dropped before the next, sooner if it is very much: a worker else grows to
    gigabytes, and every function compiled holds maps of memory."""
    if nextitem is None or nextitem.path != item.path or _maps() > MAPS:
        jax.clear_caches()


def _maps() -> int:
    try:
        with open("/proc/self/maps", "rb") as file:
            return sum(1 for _ in file)
    except OSError:  # not Linux
        return 0
