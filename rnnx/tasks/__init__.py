"""Data and its loss as pure functions of a key."""

from rnnx.tasks.adding import Adding
from rnnx.tasks.agreement import Agreement
from rnnx.tasks.copy import Copy
from rnnx.tasks.delayed_xor import DelayedXor
from rnnx.tasks.digits import Digits
from rnnx.tasks.images import Images
from rnnx.tasks.memorisation import Memorisation
from rnnx.tasks.multiplication import Multiplication
from rnnx.tasks.music import Music
from rnnx.tasks.parity import Parity
from rnnx.tasks.recordings import Recordings
from rnnx.tasks.sentiment import Sentiment
from rnnx.tasks.series import Series
from rnnx.tasks.task import Criterion, Dataset, Task, any_example, batch, last_scored, solved
from rnnx.tasks.temporal_order import TemporalOrder
from rnnx.tasks.text import Text

TASKS = {
    "adding": Adding,
    "multiplication": Multiplication,
    "copy": Copy,
    "memorisation": Memorisation,
    "temporal_order": TemporalOrder,
    "parity": Parity,
    "delayed_xor": DelayedXor,
    "sentiment": Sentiment,
    "agreement": Agreement,
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
    "Agreement",
    "Copy",
    "Criterion",
    "Dataset",
    "DelayedXor",
    "Digits",
    "Memorisation",
    "Multiplication",
    "Parity",
    "Sentiment",
    "Images",
    "Music",
    "Recordings",
    "Series",
    "Task",
    "TemporalOrder",
    "Text",
    "any_example",
    "batch",
    "last_scored",
    "solved",
]
