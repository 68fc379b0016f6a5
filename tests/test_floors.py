"""The house rules that can be read from the source: which floor may import which, and what nobody may call."""

import ast
import pathlib
import sys

import pytest

ROOT = pathlib.Path(__file__).parents[1]
FLOORS = {
    **dict.fromkeys(("types", "kernels"), 0),
    "cells": 1,
    "scans": 2,
    **dict.fromkeys(("gradients", "diagnostics", "tasks", "networks"), 3),
    "training": 4,
    "interop": 5,
    "testing": 6,
}
EVERYBODY = {"jax", "numpy"}
EXTRA = {"networks": {"flax"}, "training": {"optax", "orbax"}, "interop": {"flax", "optax", "orbax"}}
EXTRA["testing"] = {"optax", "orbax"}
LATE = {"sklearn", "scipy"}  # only inside the function that needs it


def imports(tree: ast.AST, late: bool = False):
    """(line, full name, whether inside a function) of every import."""
    for node in ast.iter_child_nodes(tree):
        inside = late or isinstance(node, (ast.FunctionDef, ast.AsyncFunctionDef, ast.Lambda))
        if isinstance(node, ast.Import):
            yield from ((node.lineno, alias.name, inside) for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            stem = "." * node.level + (node.module or "")
            yield from ((node.lineno, f"{stem}.{alias.name}", inside) for alias in node.names)
        yield from imports(node, inside)


def import_offences(package: pathlib.Path):
    """Every import in `package` that goes up, sideways, or to a library that its floor may not know."""
    for path in sorted(package.rglob("*.py")):
        where = path.relative_to(package)
        room = where.parts[0].removesuffix(".py")
        if room == "__init__":
            continue
        if room not in FLOORS:
            yield f"{where}: {room} has no floor; give it one here and in the design"
            continue
        for line, name, late in imports(ast.parse(path.read_text())):
            reason = refusal(room, name, late)
            if reason:
                yield f"{where}:{line}: {reason}"


def refusal(room: str, name: str, late: bool) -> str | None:
    """Why a module of `room` may not import `name`."""
    top, *rest = name.split(".")
    if not top:
        return f"{name} is a relative import; write the full name"
    if top == "rnnx":
        other = rest[0] if rest else ""
        allowed = other == room or FLOORS.get(other, 99) < FLOORS[room]
        return None if allowed else f"{room} (floor {FLOORS[room]}) imports {name} (floor {FLOORS.get(other, '?')})"
    if top in sys.stdlib_module_names or top in EVERYBODY | EXTRA.get(room, set()) or (late and top in LATE):
        return None
    return f"{room} imports {name}" + (", which belongs inside the function that needs it" if top in LATE else "")


def call_offences(folder: pathlib.Path, pickles: tuple[str, ...] = ()):
    """Every call by which data could run as code; files below `pickles` may pickle."""
    for path in sorted(folder.rglob("*.py")):
        where = path.relative_to(folder)
        for node in ast.walk(ast.parse(path.read_text())):
            if isinstance(node, (ast.Import, ast.ImportFrom)):
                names = [node.module or ""] if isinstance(node, ast.ImportFrom) else [a.name for a in node.names]
                called = [name.split(".")[0] for name in names]
                bad = {"pickle", "dill", "cloudpickle", "shelve", "marshal"}.intersection(called)
            elif isinstance(node, ast.Call):
                bad = {ast.unparse(node.func)} & {"eval", "exec", "yaml.load", "os.system", "os.popen"}
                if any(k.arg == "shell" and not isinstance(k.value, ast.Constant) for k in node.keywords):
                    bad.add("shell=")
                if any(k.arg in ("shell", "allow_pickle") and getattr(k.value, "value", 0) for k in node.keywords):
                    bad.add("shell=True or allow_pickle=True")
            else:
                continue
            if bad and not (bad == {"pickle"} and where.parts[0].startswith(pickles or ("/",))):
                yield f"{where}:{node.lineno}: {', '.join(sorted(bad))}"


def test_a_module_imports_lower_floors_only():
    """What lets other research code take a cell without the rest of the house."""
    assert list(import_offences(ROOT / "rnnx")) == []


@pytest.mark.parametrize("folder", ["rnnx", "experiments"])
def test_no_data_runs_as_code(folder):
    """A checkpoint or a flag from a stranger must not be a program; `rnnx.testing` pickles what it made itself."""
    assert list(call_offences(ROOT / folder, ("testing",) if folder == "rnnx" else ())) == []


BAD_IMPORTS = {
    "cells/up.py": "from rnnx.scans import scan",
    "cells/late.py": "def f():\n    import rnnx.tasks.adding",
    "tasks/sideways.py": "if True:\n    from rnnx import diagnostics",
    "scans/relative.py": "from . import door",
    "gradients/optimiser.py": "class A:\n    import optax",
    "training/flags.py": "from absl import flags",
    "interop/figure.py": "def f():\n    def g():\n        import matplotlib.pyplot",
    "training/network.py": "from flax import nnx",
    "tasks/early.py": "from sklearn.datasets import load_digits",
    "types.py": "import chex",
    "cells/whole.py": "import rnnx",
    "attic/new.py": "import jax",
}
GOOD_IMPORTS = {
    "__init__.py": "from rnnx import training",
    "cells/down.py": "from rnnx.types import cell\nimport jax.numpy as jnp, numpy, math",
    "cells/own.py": "from rnnx.cells.parts import step",
    "tasks/late.py": "def f():\n    from sklearn.datasets import load_digits",
    "networks/nnx.py": "from flax import nnx",
    "training/update.py": "import optax\nfrom rnnx.gradients import BPTT",
    "interop/weights.py": "import flax.linen",
    "testing/laws.py": "from rnnx.interop import weights",
}


def written(folder: pathlib.Path, files: dict[str, str]) -> pathlib.Path:
    for name, text in files.items():
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
    return folder


def test_the_import_rule_sees_every_kind_of_offence(tmp_path):
    """The control: one offence a file, each told with its place, and none in the files that obey."""
    told = list(import_offences(written(tmp_path / "bad", BAD_IMPORTS)))
    assert sorted(line.split(":")[0] for line in told) == sorted(BAD_IMPORTS), told
    assert "cells/late.py:2: cells (floor 1) imports rnnx.tasks.adding (floor 3)" in told
    assert list(import_offences(written(tmp_path / "good", GOOD_IMPORTS))) == []


BAD_CALLS = {
    "a.py": "import pickle",
    "b.py": "def f(x):\n    from pickle import loads",
    "c.py": "eval('1')",
    "d.py": "def f(x): exec(x)",
    "e.py": "import yaml\nyaml.load('a')",
    "f.py": "import subprocess\nsubprocess.run('ls', shell=True)",
    "g.py": "import subprocess\nsubprocess.run('ls', shell=bool(1))",
    "h.py": "import numpy\nnumpy.load('a', allow_pickle=True)",
    "i.py": "import os\nos.system('ls')",
}


def test_the_call_rule_sees_every_kind_of_offence(tmp_path):
    """The control again; what only looks alike is let through."""
    told = list(call_offences(written(tmp_path / "bad", BAD_CALLS)))
    assert sorted(line.split(":")[0] for line in told) == sorted(BAD_CALLS), told
    good = {"a.py": "import yaml, subprocess\nyaml.safe_load('a')\nsubprocess.run(['ls'], shell=False)\nmodel.eval()"}
    good["testing/laws.py"] = "import pickle\npickle.loads(pickle.dumps(1))"
    assert list(call_offences(written(tmp_path / "good", good), ("testing",))) == []
    assert len(list(call_offences(tmp_path / "good"))) == 1
