"""Files as NumPy arrays: each reader is a function of a path, and refuses in one line what it cannot read whole."""

from rnnx.tasks.readers.bad_file import BadFile

__all__ = ["BadFile"]
