"""CSV files of numbers."""

import numpy as np
import pytest
from small_files import series as written
from small_files import told, waves

from rnnx.tasks.readers import BadFile, series


def read(tmp_path, text: str, columns: str = ""):
    (tmp_path / "a.csv").write_bytes(text.encode())
    names, values = series.read(str(tmp_path / "a.csv"), columns)
    assert values.dtype == np.float64 and values.shape[1] == len(names)
    return names, values.tolist()


@pytest.mark.parametrize(
    ("text", "names", "values"),
    [
        ("1,2\n3,4\n", ("1", "2"), [[1, 2], [3, 4]]),
        ("5\n6", ("1",), [[5], [6]]),
        ("x\n6\n7\n", ("x",), [[6], [7]]),
        ("date,a,b\n2020-01-01,1,2\n2020-01-02,3,4\n", ("a", "b"), [[1, 2], [3, 4]]),
        ("2020-01-01,1,2\n2020-01-02,3,4\n", ("2", "3"), [[1, 2], [3, 4]]),
        ("a,b\r\n1,2\r\n", ("a", "b"), [[1, 2]]),
        (",a,b\n0,1,2\n1,3,4\n", ("a", "b"), [[1, 2], [3, 4]]),  # an index without a name
        ("date,0,1,OT\nd,1,2,3\n", ("0", "1", "OT"), [[1, 2, 3]]),
        ('"the day","a, b"\n"x, y","1"\n', ("a, b",), [[1]]),
        ("\ufeffa,b\n 1 , -2e1\n\n\n", ("a", "b"), [[1, -20]]),
        ("-1,.5\n1e3,+7\n", ("1", "2"), [[-1, 0.5], [1000, 7]]),
    ],
)
def test_what_is_read(text, names, values, tmp_path):
    """With and without a header, dates, an index, quotes, a byte-order mark, blank lines at the end."""
    assert read(tmp_path, text) == (names, values)


def test_columns_by_name(tmp_path):
    """In the order asked for; what is not chosen need not be numbers; a number names one where no header does."""
    text = "date,a,b,who\nd1,1,2,me\nd2,3,4,\n"
    assert read(tmp_path, text, "b, a") == (("b", "a"), [[2, 1], [4, 3]])
    assert read(tmp_path, "1,2\n3,4\n", "2") == (("2",), [[2], [4]])
    for columns, message in (
        ("c", f"columns of file {tmp_path}/a.csv got 'c'; write one of date, a, b, who"),
        ("a,a", f"columns of file {tmp_path}/a.csv got 'a' twice; write it once"),
    ):
        with pytest.raises(ValueError) as error:
            read(tmp_path, text, columns)
        assert str(error.value) == message


MANY = "; give every row as many"
NUMBER = "; write a number there, or choose other columns"


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", " is empty; write the path of one with something in it"),
        ("\n\n", " is blank; write the path of one with something in it"),
        ("date,a,b\n", " has a header and no row of values; write the path of another"),
        ("date,a\nd,1\nd\n", f":3 has 1 values where line 1 has 2{MANY}"),
        ("date,a\nd,1\nd,2,3\n", f":3 has 3 values where line 1 has 2{MANY}"),
        ("1,2\n\n3,4\n", f":2 has 0 values where line 1 has 2{MANY}"),
        ("date,a,b\nd,1,2\nd,1,abc\n", f":3 has 'abc' in column 'b', which is not a number{NUMBER}"),
        ("date,a\nd,\nd,1\n", f":2 has '' in column 'a', which is not a number{NUMBER}"),
        ("1,2\n3,?\n", f":2 has '?' in column '2', which is not a number{NUMBER}"),
        ("1,?\n3,4\n", f":1 has '?' in column '2', which is not a number{NUMBER}"),
        ("?,1\n3,4\n", f":1 has '?' in column '1', which is not a number{NUMBER}"),
        ("a,b\n1,NaN\n", f":2 has 'NaN' in column 'b', which is not finite{NUMBER}"),
        ("1,inf\n", f":1 has 'inf' in column '2', which is not finite{NUMBER}"),
        ("a\n1e999\n", f":2 has '1e999' in column 'a', which is not finite{NUMBER}"),
        ("a\n1_000\n", f":2 has '1_000' in column 'a', which is not a number{NUMBER}"),
        ("a;b\n1;2\n", f":2 has '1;2' in column 'a;b', which is not a number{NUMBER}"),
        ("a,a\n1,2\n", ":1 names two columns 'a'; give every column its own name"),
        ('a,b\n1,"2', ":2 is no CSV (unexpected end of data); write the path of a CSV file"),
        ('a,b\n1,"2\n\n"3\n', ":4 is no CSV (',' expected after '\"'); write the path of a CSV file"),
    ],
)
def test_a_bad_file_is_told_in_one_line(text, message, tmp_path):
    with pytest.raises(BadFile) as error:
        read(tmp_path, text)
    assert told(error, tmp_path / "a.csv") == message


def test_not_utf8(tmp_path):
    (tmp_path / "a.csv").write_bytes(b"a,\xe9\n")
    with pytest.raises(BadFile) as error:
        series.read(str(tmp_path / "a.csv"))
    assert told(error, tmp_path / "a.csv").startswith(" is not UTF-8 at byte 2;")


def test_numbers_come_back_whole(tmp_path):
    """Written by repr, every bit; NumPy's own reader as the oracle."""
    path = written(tmp_path)
    names, values = series.read(path)
    assert names == ("a", "b")
    np.testing.assert_array_equal(values, waves())
    np.testing.assert_array_equal(values, np.genfromtxt(path, delimiter=",", skip_header=1)[:, 1:])
