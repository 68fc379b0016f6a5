"""The .ts files of the archives."""

import pathlib
import re

import numpy as np
import pytest
from small_files import HEADER, real, told

from rnnx.tasks.readers import BadFile, ts


def read(tmp_path, text: str, like=None):
    (tmp_path / "a.ts").write_bytes(text.encode())
    return ts.read(str(tmp_path / "a.ts"), like)


def header(**changes: str | None) -> str:
    """A small header; None leaves a keyword out."""
    told = {"problemName": "Made", "timeStamps": "false", "univariate": "true", "classLabel": "true a b"} | changes
    return "".join(f"@{word} {value}\n" for word, value in told.items() if value is not None) + "@data\n"


def test_cases_of_two_dimensions_and_any_lengths(tmp_path):
    """Comments anywhere, blanks, line ends of both kinds, a label that is last."""
    text = HEADER + "1,2,3:4,5,6:right\r\n# between\n\n -1.5 , 2e1 : 0,0 : left \n7:8:right"
    cases = read(tmp_path, text)
    assert cases.classes == ("left", "right") and cases.labels.dtype == np.int32
    assert [case.tolist() for case in cases.series] == [[[1, 4], [2, 5], [3, 6]], [[-1.5, 0], [20, 0]], [[7, 8]]]
    assert cases.labels.tolist() == [1, 0, 1] and cases.series[0].dtype == np.float64


def test_univariate_and_keywords_in_any_case(tmp_path):
    """Nothing said of dimensions: the first case tells."""
    cases = read(tmp_path, "@CLASSLABEL TRUE 0 1\n@Univariate true\n@DATA\n1,2:1\n3:0\n")
    assert [case.shape for case in cases.series] == [(2, 1), (1, 1)] and cases.labels.tolist() == [1, 0]
    assert read(tmp_path, "@classLabel true a\n@data\n1:2:3:a\n").series[0].tolist() == [[1, 2, 3]]


def test_the_test_split_has_the_classes_of_training(tmp_path):
    """In the order of training, whatever its own header says."""
    train = read(tmp_path, header() + "1:a\n2:b\n")
    test = read(tmp_path, header(classLabel="true b a") + "1:b\n2:a\n", like=train)
    assert test.classes == ("a", "b") and test.labels.tolist() == [1, 0]
    with pytest.raises(BadFile) as error:
        read(tmp_path, header(classLabel="true a c") + "1:a\n1:c\n", like=train)
    assert told(error, tmp_path / "a.ts") == ":7 has the unknown class 'c'; write one of a, b"
    with pytest.raises(BadFile) as error:
        read(tmp_path, HEADER + "1:2:left\n", like=train)
    assert told(error, tmp_path / "a.ts").startswith(":9 has 2 dimensions and a class, not 1 dimensions;")


WHOLE = "; complete the line, or fetch the file again"
NUMBER = "; write a number there"
UNLABELLED = " has no @classLabel true, and only labelled cases are read; write another path"
BAD = [
    ("", " is empty; write the path of one with something in it"),
    ("# only a comment\n", " has no line @data; write the path of a whole .ts file"),
    (header()[:-7], " has no line @data; write the path of a whole .ts file"),
    (header(), " has no case after @data; fetch the file again"),
    ("1,2:a\n" + header(), ":1 has '1,2:a' before @data; begin the line with @ or #"),
    (
        header(timeStamps="true") + "(0,1):a\n",
        ":2 has @timeStamps true, and values with times are not read; write the path of a file without",
    ),
    (header(univariate="yes") + "1:a\n", ":3: @univariate got 'yes'; write one of true, false"),
    (header(classLabel=None) + "1:a\n", UNLABELLED),
    (header(classLabel="false") + "1\n", UNLABELLED),
    (
        header(classLabel="true") + "1:a\n",
        ":4 lists the classes '' after @classLabel true; list at least one, and each once",
    ),
    (
        header(classLabel="true a a") + "1:a\n",
        ":4 lists the classes 'a a' after @classLabel true; list at least one, and each once",
    ),
    (
        header(univariate="false", dimension="two") + "1:a\n",
        ":5 has 'two' after @dimension; write a number of at least 1",
    ),
    (
        HEADER + "1,2:3,4:left\n1,2:3:left\n",
        ":10 has 1 values in dimension 2 and 2 in dimension 1; give every dimension as many",
    ),
    (HEADER + "1:2:left\n1:2:3:left\n", f":10 has 3 dimensions and a class, not 2 dimensions{WHOLE}"),
    (HEADER + "1:2:left\n1:left\n", f":10 has 1 dimensions and a class, not 2 dimensions{WHOLE}"),
    (HEADER + "1:2:left\n1,2,3", f":10 has 0 dimensions and a class, not 2 dimensions{WHOLE}"),
    (HEADER + "1:2:left\n1:2:le", ":10 has the unknown class 'le'; write one of left, right"),
    (header() + "1,?:a\n", f":6 has '?' in dimension 1, which is not a number{NUMBER}"),
    (HEADER + "1,2:1,nan:left\n", f":9 has 'nan' in dimension 2, which is not finite{NUMBER}"),
    (header() + "1,,2:a\n", f":6 has '' in dimension 1, which is not a number{NUMBER}"),
    (header() + ":a\n", f":6 has '' in dimension 1, which is not a number{NUMBER}"),
    (header() + "1,x:a\n", f":6 has 'x' in dimension 1, which is not a number{NUMBER}"),
    (header() + "1:c\n", ":6 has the unknown class 'c'; write one of a, b"),
    (
        header(equalLength="true", seriesLength="3") + "1,2,3:a\n1,2:a\n",
        ":9 has 2 values a dimension, not 3 as all (@equalLength true); complete the line, or write @equalLength false",
    ),
    (
        header(equalLength="true") + "1,2:a\n1,2,3:a\n",
        ":8 has 3 values a dimension, not 2 as all (@equalLength true); complete the line, or write @equalLength false",
    ),
]  # fmt: skip


@pytest.mark.parametrize(("text", "message"), BAD)
def test_a_bad_file_is_told_in_one_line(text, message, tmp_path):
    with pytest.raises(BadFile) as error:
        read(tmp_path, text)
    assert told(error, tmp_path / "a.ts") == message


@pytest.mark.parametrize(
    ("name", "counts", "shape", "classes"),
    [("JapaneseVowels", (270, 370), (7, 29, 12), 9), ("ItalyPowerDemand", (67, 1029), (24, 24, 1), 2)],
)
def test_real_files(name, counts, shape, classes):
    """As many cases, lengths, channels and classes as the archive says; the first line by a reader of its own."""
    train = ts.read(real(f"series/{name}_TRAIN.ts"))
    test = ts.read(real(f"series/{name}_TEST.ts"), like=train)
    assert (len(train.series), len(test.series)) == counts and len(train.classes) == classes
    lengths = [len(case) for case in train.series + test.series]
    assert (min(lengths), max(lengths), train.series[0].shape[1]) == shape
    raw = pathlib.Path(real(f"series/{name}_TRAIN.ts")).read_text().split("@data\n")[1].split("\n")[0]
    numbers = [float(word) for word in re.findall(r"-?[\d.]+", raw.rpartition(":")[0])]
    assert train.series[0].T.ravel().tolist() == numbers


def test_a_real_file_cut_anywhere_in_a_line_is_refused(tmp_path):
    """Cut in the middle of its first, its last and a middle case."""
    text = pathlib.Path(real("series/JapaneseVowels_TRAIN.ts")).read_text()
    whole = len(text)
    for cut in (whole // 7, whole // 2 + 3, whole - 40):
        with pytest.raises(BadFile) as error:
            read(tmp_path, text[:cut])
        assert re.match(r":\d+ has \d+ dimensions", told(error, tmp_path / "a.ts"))
