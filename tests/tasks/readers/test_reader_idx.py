"""IDX files, against bytes written by hand."""

import gzip

import numpy as np
import pytest
from small_files import idx as packed
from small_files import real, told

from rnnx.tasks.readers import BadFile, idx

IMAGES = bytes([0, 0, 8, 3, 0, 0, 0, 2, 0, 0, 0, 1, 0, 0, 0, 3]) + bytes([1, 2, 3, 250, 251, 255])
LABELS = bytes([0, 0, 8, 1, 0, 0, 0, 2]) + bytes([7, 0])


@pytest.mark.parametrize("pack", [bytes, gzip.compress], ids=["plain", "gzip"])
def test_bytes_are_told_apart(pack, tmp_path):
    """Two images of one row and three columns, and their labels; packed or not, whatever the name says."""
    (tmp_path / "images").write_bytes(pack(IMAGES))
    (tmp_path / "labels").write_bytes(pack(LABELS))
    images, labels = idx.labelled(str(tmp_path / "images"), str(tmp_path / "labels"))
    assert images.dtype == labels.dtype == np.uint8
    assert images.tolist() == [[[1, 2, 3]], [[250, 251, 255]]] and labels.tolist() == [7, 0]


AGAIN = "; fetch the file again"
BAD = {
    "empty": (b"", f" is empty{AGAIN}"),
    "cut in the magic number": (IMAGES[:2], f" ends at byte 2, within its header of 16{AGAIN}"),
    "cut in the header": (IMAGES[:11], f" ends at byte 11, within its header of 16{AGAIN}"),
    "cut in the pixels": (
        IMAGES[:-1],
        f" ends at byte 21: its header declares 2 x 1 x 3 images, 22 bytes, and there are 21{AGAIN}",
    ),
    "more than declared": (
        IMAGES + b"\0\0",
        f" goes on at byte 22: its header declares 2 x 1 x 3 images, 22 bytes, and there are 24{AGAIN}",
    ),
    "labels for images": (
        LABELS,
        " begins with bytes 00 00 08 01, but IDX images begin with 00 00 08 03; write the path of a file idx3-ubyte",
    ),
    "text": (
        b"<html>",
        " begins with bytes 3c 68 74 6d, but IDX images begin with 00 00 08 03; write the path of a file idx3-ubyte",
    ),
    "floats": (
        bytes([0, 0, 13, 3]) + IMAGES[4:],
        " begins with bytes 00 00 0d 03, but IDX images begin with 00 00 08 03; write the path of a file idx3-ubyte",
    ),
    "no image": (packed(np.zeros((0, 1, 3))), " declares 0 x 1 x 3 images, none; write the path of another"),
    "a huge declaration": (
        IMAGES[:4] + b"\xff" * 12,
        f" ends at byte 16: its header declares 4294967295 x 4294967295 x 4294967295 images, "
        f"{16 + (2**32 - 1) ** 3} bytes, and there are 16{AGAIN}",
    ),
    "gzip of nothing": (gzip.compress(b""), f" is empty once unpacked{AGAIN}"),
    "gzip cut": (
        gzip.compress(IMAGES)[:-9],
        " is damaged gzip (Compressed file ended before the end-of-stream marker was reached)" + AGAIN,
    ),
}


@pytest.mark.parametrize("case", BAD)
def test_a_bad_file_is_told_in_one_line(case, tmp_path):
    path = tmp_path / "images.gz"
    content, message = BAD[case]
    path.write_bytes(content)
    with pytest.raises(BadFile) as error:
        idx.images(str(path))
    assert told(error, path) == message


@pytest.mark.parametrize("at", [3, 12, -6])
def test_gzip_damaged_anywhere(at, tmp_path):
    """In its header, its data or its checksum."""
    content = bytearray(gzip.compress(IMAGES))
    content[at] ^= 0xFF
    (tmp_path / "images.gz").write_bytes(content)
    with pytest.raises(BadFile) as error:
        idx.images(str(tmp_path / "images.gz"))
    assert told(error, tmp_path / "images.gz").startswith(" is damaged gzip")


def test_counts_that_differ(tmp_path):
    """Labels of another file."""
    images, labels = tmp_path / "images", tmp_path / "labels"
    images.write_bytes(IMAGES)
    labels.write_bytes(packed(np.array([1, 2, 3])))
    with pytest.raises(BadFile) as error:
        idx.labelled(str(images), str(labels))
    assert told(error, labels) == f" has 3 labels, but {images} has 2 images; write files that belong together"


def test_a_missing_file_stays_the_systems_error(tmp_path):
    with pytest.raises(FileNotFoundError):
        idx.images(str(tmp_path / "none"))


def test_mnist():
    """10,000 test images, each class about a tenth; the first digits are the well-known 7, 2, 1, 0, 4."""
    paths = [real(f"mnist/t10k-{kind}-ubyte.gz") for kind in ("images-idx3", "labels-idx1")]
    images, labels = idx.labelled(*paths)
    assert images.shape == (10_000, 28, 28) and labels[:5].tolist() == [7, 2, 1, 0, 4]
    assert np.bincount(labels).tolist() == [980, 1135, 1032, 1010, 982, 892, 958, 1028, 974, 1009]
