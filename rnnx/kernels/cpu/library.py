"""The compiled library: where it lies, whether it fits this jaxlib, and its names in XLA."""

import ctypes
import functools
import re
import sys
import warnings
from pathlib import Path

import jax

NAME = "librnnx_cpu.so"
TARGETS = ("rnnx_forward_f32", "rnnx_forward_f64", "rnnx_backward_f32", "rnnx_backward_f64")
ABSENT = (
    "the native kernel is absent; install a C++17 compiler (gcc or clang), then `pip install .` "
    "(or `pip install -e .`) again"
)


@functools.lru_cache(maxsize=1)
def missing() -> str | None:
    """None where the native kernel is ready, else why not and what to do. Loads and registers it the first time."""
    path = _path()
    if path is None:
        return ABSENT
    try:
        library = ctypes.CDLL(str(path))
        built, here = (library.rnnx_ffi_major(), library.rnnx_ffi_minor()), _runtime_version()
    except (OSError, AttributeError) as error:
        return _warned(f"{path} cannot be loaded ({error}); install rnnx again")
    if here is None or built[0] != here[0] or built[1] > here[1]:
        names = ["unknown" if v is None else f"{v[0]}.{v[1]}" for v in (built, here)]
        return _warned(f"{path} was built for XLA FFI {names[0]}, this jaxlib has {names[1]}; install rnnx again")
    for name in TARGETS:
        jax.ffi.register_ffi_target(name, jax.ffi.pycapsule(getattr(library, name)), platform="cpu")
    library.rnnx_instructions.restype = ctypes.c_char_p
    return None


def instructions() -> str:
    """The instruction set that runs here: "avx512", "avx2" or "portable"."""
    library = ctypes.CDLL(str(_path()))
    library.rnnx_instructions.restype = ctypes.c_char_p
    return library.rnnx_instructions().decode()


def _path() -> Path | None:
    """Beside this file in an installed package; of an editable one, in a folder of its own (CMakeLists.txt)."""
    import importlib.metadata  # slow to import, and read once

    candidates = [Path(__file__).with_name(NAME)]
    for entry in sys.path:
        try:
            found = importlib.metadata.distributions(name="rnnx", path=[entry])
            candidates += [Path(str(d.locate_file(f"rnnx_native/{NAME}"))) for d in found]
        except OSError:
            continue
    return next((path for path in candidates if path.is_file()), None)


def _runtime_version() -> tuple[int, int] | None:
    """(major, minor) of the FFI of the jaxlib that is installed, from the header it ships."""
    header = Path(jax.ffi.include_dir()) / "xla/ffi/api/c_api.h"
    text = header.read_text() if header.is_file() else ""
    found = [re.search(rf"#define XLA_FFI_API_{part} (\d+)", text) for part in ("MAJOR", "MINOR")]
    return (int(found[0][1]), int(found[1][1])) if found[0] and found[1] else None


def _warned(reason: str) -> str:
    warnings.warn(f"rnnx: the native kernel is off: {reason}", RuntimeWarning, stacklevel=3)
    return reason
