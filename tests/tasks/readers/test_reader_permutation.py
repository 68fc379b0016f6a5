"""Orders of pixels."""

import numpy as np
import pytest
from small_files import told

from rnnx.tasks.readers import BadFile, permutation


def test_bit_reversal():
    """By hand for 8; for 6 the same without 6 and 7; an order of all indices for any size."""
    assert permutation.bit_reversal(8).tolist() == [0, 4, 2, 6, 1, 5, 3, 7]
    assert permutation.bit_reversal(6).tolist() == [0, 4, 2, 1, 5, 3]
    assert permutation.bit_reversal(1).tolist() == [0] and permutation.bit_reversal(2).tolist() == [0, 1]
    for size in (3, 64, 100, 784):
        assert sorted(permutation.bit_reversal(size)) == list(range(size))
    folded = np.arange(1024).reshape((2,) * 10).transpose(range(9, -1, -1)).ravel()  # axes reversed are bits reversed
    np.testing.assert_array_equal(permutation.bit_reversal(784), folded[folded < 784])


def test_seeded_is_that_of_the_studies():
    """The same at every call, in an order that is not the identity; the generator is NumPy's Mersenne twister."""
    order = permutation.seeded(784)
    np.random.seed(92916)
    np.testing.assert_array_equal(order, np.random.permutation(784))
    assert sorted(order) == list(range(784)) and order[:3].tolist() != [0, 1, 2]


def test_files(tmp_path):
    """A text with commas, spaces and lines, and an array of NumPy's."""
    (tmp_path / "a.txt").write_text("2, 0\n\n3 1\n")
    np.save(tmp_path / "a.npy", np.array([2, 0, 3, 1], np.uint8))
    for name in ("a.txt", "a.npy"):
        assert permutation.read(str(tmp_path / name), 4).tolist() == [2, 0, 3, 1]


ONCE = "; write each of 0 to 3 once"


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ("", " is empty; write the path of one with something in it"),
        ("\n", f" holds an array of shape (0,), not [4]{ONCE}"),
        ("0 1 2", f" holds an array of shape (3,), not [4]{ONCE}"),
        ("0 1\n2 x", ":2 has 'x', which is no position; write one of 0, 1, ..."),
        ("0 1 2 3.0", ":1 has '3.0', which is no position; write one of 0, 1, ..."),
        ("0 -1 2 3", ":1 has '-1', which is no position; write one of 0, 1, ..."),
        ("1 2 3 4", f" has 4 at position 3{ONCE}"),
        ("0 1 2 99999999999999999999", ":1 has '99999999999999999999', which is no position; write one of 0, 1, ..."),
        ("0 1 1 3", f" has 1 2 times{ONCE}"),
    ],
)
def test_a_bad_text_is_told_in_one_line(content, message, tmp_path):
    path = tmp_path / "order.txt"
    path.write_text(content)
    with pytest.raises(BadFile) as error:
        permutation.read(str(path), 4)
    assert told(error, path) == message


@pytest.mark.parametrize(
    ("array", "message"),
    [
        (np.array([0.0, 1, 2, 3]), " holds float64 values, not whole numbers; save an array of int"),
        (np.array([[0, 1], [2, 3]]), f" holds an array of shape (2, 2), not [4]{ONCE}"),
        (np.array([0, 1, -2, 3]), f" has -2 at position 2{ONCE}"),
        (np.array([0, 1, 2, 2**64 - 1], np.uint64), f" has 18446744073709551615 at position 3{ONCE}"),
    ],
)
def test_a_bad_array_is_told_in_one_line(array, message, tmp_path):
    path = tmp_path / "order.npy"
    np.save(path, array)
    with pytest.raises(BadFile) as error:
        permutation.read(str(path), 4)
    assert told(error, path) == message


@pytest.mark.parametrize("content", [b"", b"0 1 2 3", b"\x93NUMPY\x01\x00"])
def test_what_numpy_cannot_read(content, tmp_path):
    """Nothing that it could only unpickle, which would run code, either."""
    path = tmp_path / "order.npy"
    path.write_bytes(content)
    with pytest.raises(BadFile) as error:
        permutation.read(str(path), 4)
    assert told(error, path).startswith(" is no array of NumPy's (")
    np.save(path, np.array([0, {}], object))
    with pytest.raises(BadFile, match="is no array of NumPy's"):
        permutation.read(str(path), 4)
