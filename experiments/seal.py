"""A record that tells whether it is the one that was written: its own digest is one of its fields."""

import hashlib
import json
from typing import Any

from experiments.tables import to_json

SEAL = "record_sha256"


def sealed(record: dict[str, Any]) -> dict[str, Any]:
    """The record with the SHA-256 of its other fields, as JSON with sorted names."""
    plain = json.loads(to_json({name: value for name, value in record.items() if name != SEAL}))
    return record | {SEAL: _digest(plain)}


def intact(record: dict[str, Any]) -> bool:
    """Whether a record that was read is as it was sealed."""
    return record.get(SEAL) == _digest({name: value for name, value in record.items() if name != SEAL})


def _digest(plain: dict[str, Any]) -> str:
    return hashlib.sha256(json.dumps(plain, sort_keys=True).encode(errors="surrogatepass")).hexdigest()
