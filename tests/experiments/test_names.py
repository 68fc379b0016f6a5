"""The literal names of the flags are the registries', in the same order where the order says something."""

import dataclasses
import importlib

import pytest
import small_files

from experiments import names
from experiments.gradient_norms.settings import LENGTHS
from rnnx.cells import CELLS
from rnnx.networks import POOLS
from rnnx.scans import METHODS
from rnnx.tasks import TASKS
from rnnx.training import NONFINITE, OPTIMIZERS, SCHEDULES


@pytest.fixture(scope="module")
def files(tmp_path_factory) -> dict[str, str]:
    """By task, where it cannot do without."""
    return small_files.of_all(tmp_path_factory.mktemp("files"))


def test_names_are_the_registries():
    assert names.CELLS == tuple(CELLS)
    assert names.TASKS == tuple(TASKS)
    assert names.METHODS == ("auto", *METHODS)
    assert names.OPTIMIZERS == tuple(OPTIMIZERS)
    assert names.SCHEDULES == SCHEDULES and names.POOLS == POOLS and names.NONFINITE == NONFINITE


def test_files_are_what_tasks_read(files):
    """Those with a field for it; every task has lengths to begin with."""
    assert set(names.FILES) == {
        name for name, task in TASKS.items() if "file" in {f.name for f in dataclasses.fields(task)}
    }
    assert set(files) == set(names.FILES) - {"text"}
    assert set(LENGTHS) == set(names.TASKS)


def test_variants_are_the_tasks(files):
    assert set(names.VARIANTS) == set(TASKS)
    for task, variants in names.VARIANTS.items():
        table = getattr(importlib.import_module(f"rnnx.tasks.{task}"), "VARIANTS", variants)
        assert variants == tuple(table), "where a task keeps a table of them, all of it"
        file = {"file": files[task]} if task in files else {}
        assert [TASKS[task](8, variant, **file).variant for variant in variants] == list(variants)
        assert TASKS[task](8, **file).variant == variants[0], "the default is the first"
