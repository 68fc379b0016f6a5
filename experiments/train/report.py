"""What tables of losses have in common, of training and of evaluation."""

import math
from collections.abc import Sequence
from typing import Any

NUMBERS = ("loss", "loss of a step", "accuracy")


def numbers(row: dict[str, Any]) -> list[str]:
    """The columns `NUMBERS` of a row."""
    found = (row[name] for name in ("loss", "step_loss", "accuracy"))
    return ["nan" if number is None else f"{number:.5g}" for number in found]


def mean(rows: Sequence[dict[str, float]]) -> dict[str, float]:
    """Of every number, over seeds."""
    return {name: math.fsum(row[name] for row in rows) / len(rows) for name in rows[0]}


def bits(step_loss: float) -> float:
    """Of a symbol, from a loss in nats."""
    return step_loss / math.log(2)


def goal(chance_loss: float, criterion: dict[str, Any]) -> str:
    """What knowing nothing costs, and when the task counts as solved."""
    quantity, bound, _, source = criterion.values()
    how = "below" if quantity == "loss" else "at least"
    return f"chance: loss {chance_loss:.4g}; solved: {quantity} {how} {bound:.4g} ({source})"
