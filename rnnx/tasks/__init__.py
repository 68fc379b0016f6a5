"""Data and its loss as pure functions of a key."""

from rnnx.tasks.adding import Adding
from rnnx.tasks.copy import Copy
from rnnx.tasks.digits import Digits
from rnnx.tasks.images import Images
from rnnx.tasks.music import Music
from rnnx.tasks.recordings import Recordings
from rnnx.tasks.series import Series
from rnnx.tasks.task import Criterion, Dataset, Task, any_example, batch, last_scored, solved
from rnnx.tasks.text import Text

TASKS = {
    "adding": Adding,
    "copy": Copy,
    "digits": Digits,
    "text": Text,
    "images": Images,
    "series": Series,
    "recordings": Recordings,
    "music": Music,
}

__all__ = [
    "TASKS",
    "Adding",
    "Copy",
    "Criterion",
    "Dataset",
    "Digits",
    "Images",
    "Music",
    "Recordings",
    "Series",
    "Task",
    "Text",
    "any_example",
    "batch",
    "last_scored",
    "solved",
]
