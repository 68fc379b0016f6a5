"""IDX, the format of MNIST: a big-endian header, then unsigned bytes; gzip or plain, told by the content."""

import gzip
import math
import pathlib
import struct
import zlib

import numpy as np

from rnnx.tasks.readers.bad_file import BadFile

UBYTE = 0x08  # the type of the values, third byte of the magic number
FETCH = "fetch the file again"


def images(path: str) -> np.ndarray:
    """Images, uint8 [M, height, width], of a file "idx3-ubyte". Raises BadFile."""
    return _read(path, 3, "images")


def labels(path: str) -> np.ndarray:
    """Classes, uint8 [M], of a file "idx1-ubyte". Raises BadFile."""
    return _read(path, 1, "labels")


def labelled(images_path: str, labels_path: str) -> tuple[np.ndarray, np.ndarray]:
    """(images uint8 [M, height, width], labels uint8 [M]). Raises BadFile, also if there are not as many."""
    pictures, classes = images(images_path), labels(labels_path)
    if len(pictures) != len(classes):
        raise BadFile(
            f"file {labels_path} has {len(classes)} labels, but {images_path} has {len(pictures)} images; "
            "write files that belong together"
        )
    return pictures, classes


def _read(path: str, dimensions: int, what: str) -> np.ndarray:
    raw = _content(path)
    head = 4 + 4 * dimensions
    magic = bytes([0, 0, UBYTE, dimensions])
    if raw[:4] != magic[: len(raw)]:
        raise BadFile(
            f"file {path} begins with bytes {raw[:4].hex(' ')}, but IDX {what} begin with {magic.hex(' ')}; "
            f"write the path of a file idx{dimensions}-ubyte"
        )
    if len(raw) < head:
        raise BadFile(f"file {path} ends at byte {len(raw)}, within its header of {head}; {FETCH}")
    shape = struct.unpack(f">{dimensions}I", raw[4:head])
    size = head + math.prod(shape)
    if len(raw) != size:
        told = " x ".join(map(str, shape))
        how = "ends" if len(raw) < size else "goes on"
        raise BadFile(
            f"file {path} {how} at byte {min(len(raw), size)}: its header declares {told} {what}, "
            f"{size} bytes, and there are {len(raw)}; {FETCH}"
        )
    if 0 in shape:
        raise BadFile(f"file {path} declares {' x '.join(map(str, shape))} {what}, none; write the path of another")
    return np.frombuffer(raw, np.uint8, offset=head).reshape(shape)


def _content(path: str) -> bytes:
    """The bytes of a file, unpacked."""
    raw = pathlib.Path(path).read_bytes()
    if not raw:
        raise BadFile(f"file {path} is empty; {FETCH}")
    if raw[:2] != b"\x1f\x8b":
        return raw
    try:
        raw = gzip.decompress(raw)
    except (EOFError, gzip.BadGzipFile, zlib.error, struct.error) as error:
        raise BadFile(f"file {path} is damaged gzip ({error}); {FETCH}") from None
    if not raw:
        raise BadFile(f"file {path} is empty once unpacked; {FETCH}")
    return raw
