"""The literal names of the flags are the registries', in the same order where the order says something."""

import importlib

from experiments import names
from rnnx.cells import CELLS
from rnnx.networks import POOLS
from rnnx.scans import METHODS
from rnnx.tasks import TASKS
from rnnx.training import OPTIMIZERS, SCHEDULES


def test_names_are_the_registries():
    assert names.CELLS == tuple(CELLS)
    assert names.TASKS == tuple(TASKS)
    assert names.METHODS == ("auto", *METHODS)
    assert names.OPTIMIZERS == tuple(OPTIMIZERS)
    assert names.SCHEDULES == SCHEDULES and names.POOLS == POOLS


def test_variants_are_the_tasks():
    assert set(names.VARIANTS) == set(TASKS)
    for task, variants in names.VARIANTS.items():
        table = getattr(importlib.import_module(f"rnnx.tasks.{task}"), "VARIANTS", variants)
        assert variants == tuple(table), "where a task keeps a table of them, all of it"
        assert [TASKS[task](8, variant).variant for variant in variants] == list(variants)
        assert TASKS[task](8).variant == variants[0], "the default is the first"
