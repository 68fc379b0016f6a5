"""Data and its loss as pure functions of a key."""

from rnnx.tasks.adding import Adding
from rnnx.tasks.copy import Copy
from rnnx.tasks.digits import Digits
from rnnx.tasks.task import Criterion, Dataset, Task, any_example, batch, last_scored, solved
from rnnx.tasks.text import Text

TASKS = {
    "adding": Adding,
    "copy": Copy,
    "digits": Digits,
    "text": Text,
}

__all__ = [
    "TASKS",
    "Adding",
    "Copy",
    "Criterion",
    "Dataset",
    "Digits",
    "Task",
    "Text",
    "any_example",
    "batch",
    "last_scored",
    "solved",
]
