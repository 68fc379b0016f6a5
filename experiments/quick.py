"""How to compile what then runs for milliseconds. Imports no JAX."""

import importlib.metadata


def flags() -> str:
    """Flags for XLA_FLAGS that compile in a third of the time. XLA ends a process with a flag it does not know."""
    told = "--xla_backend_optimization_level=0 --xla_cpu_parallel_codegen_split_count=1"
    major, minor = map(int, importlib.metadata.version("jaxlib").split(".")[:2])
    if (major, minor) < (0, 11):
        told += " --xla_cpu_use_fusion_emitters=false"  # most of it; later versions have no other emitters
    return told
