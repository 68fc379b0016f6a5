"""A sealed record tells every other record from itself."""

import json
import math

import pytest

from experiments.seal import SEAL, intact, sealed
from experiments.tables import to_json

RECORD = {
    "flags": {"units": "8"},
    "loss": 0.1,
    "steps": 3,
    "none": None,
    "name": "\u00fc \U0001f600",
    "list": [1, {"a": 2.5e-9}],
}


def read(record: dict) -> dict:
    return json.loads(to_json(record, indent=1))


def test_it_is_known_again_after_writing():
    assert intact(read(sealed(RECORD)))
    assert intact(read(sealed(RECORD | {"nan": math.nan, "deep": {"inf": -math.inf}})))
    assert sealed(sealed(RECORD)) == sealed(RECORD)


@pytest.mark.parametrize("name", [*RECORD, SEAL])
def test_any_other_is_not(name):
    record = read(sealed(RECORD))
    for other in (0, "x", None if name != "none" else 1, [record[name]]):
        assert not intact(record | {name: other})
    assert not intact(record | {"more": 1})
    assert not intact({n: value for n, value in record.items() if n != name})
