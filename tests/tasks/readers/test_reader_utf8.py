"""Text files and the numbers in them."""

import pytest
from small_files import real, told

from rnnx.tasks.readers import BadFile, utf8


def test_characters_come_as_they_are(tmp_path):
    """Characters of one to four bytes, a byte-order mark, and line ends of every kind."""
    text = "\ufeffÆ\r\n中\r🙂\n\x00 end"
    (tmp_path / "a").write_bytes(text.encode())
    assert utf8.read(str(tmp_path / "a")) == text


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"", " is empty; write the path of one with something in it"),
        (b"abc\xe9 ", " is not UTF-8 at byte 3; convert it first, e.g. with iconv -t UTF-8"),
        ("é中".encode()[:-1], " is not UTF-8 at byte 2; convert it first, e.g. with iconv -t UTF-8"),
        (b"\xff\xfea\0", " is not UTF-8 at byte 0; convert it first, e.g. with iconv -t UTF-8"),
    ],
)
def test_a_bad_file_is_told_in_one_line(content, message, tmp_path):
    (tmp_path / "a").write_bytes(content)
    with pytest.raises(BadFile) as error:
        utf8.read(str(tmp_path / "a"))
    assert told(error, tmp_path / "a") == message


def test_numbers():
    assert utf8.finite(" -1.5e3 ") == -1500 and utf8.finite("7") == 7
    for word in ("", "?", "1_0", "0x10", "1,5", "abc"):
        with pytest.raises(ValueError, match="^is not a number$"):
            utf8.finite(word)
    for word in ("nan", "inf", "-Infinity", "1e999"):
        with pytest.raises(ValueError, match="^is not finite$"):
            utf8.finite(word)


def test_the_real_text():
    """65 different characters, as everybody counts."""
    text = utf8.read(real("tinyshakespeare.txt"))
    assert len(text) == 1_115_394 and len(set(text)) == 65
