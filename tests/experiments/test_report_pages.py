"""The pages of a report need nothing, do nothing, and show what a stranger wrote as text."""

import csv
import html.parser
import re

import pytest
from programs import report, tree
from runs_by_hand import EVIL, edit, norms, training

from experiments import plotting


class Page(html.parser.HTMLParser):
    """What a browser would make of it."""

    def __init__(self, text: str):
        super().__init__()
        self.tags, self.open, self.faults, self.boxes, self.policy, self.words = [], [], [], [], "", []
        self.feed(text)
        self.close()
        self.faults += [f"<{tag}> is not closed" for tag in self.open]

    def handle_starttag(self, tag, attrs):
        given = dict(attrs)
        self.tags.append(tag)
        if tag not in ("meta", "img", "wbr"):
            self.open.append(tag)
        if tag in ("script", "iframe", "object", "embed", "link", "base", "form", "svg"):
            self.faults.append(f"<{tag}>")
        for name, value in given.items():
            if name.startswith("on"):
                self.faults.append(name)
            if name in ("src", "href") and not (value or "").startswith(("data:image/png;base64,", "#")):
                self.faults.append(f"{name}={value}")
        if given.get("http-equiv") == "Content-Security-Policy":
            self.policy = given["content"]
        if tag == "table" and "box" not in self.boxes[-1:]:
            self.faults.append("a table that does not scroll")
        if tag == "div":
            self.boxes.append(given.get("class"))

    def handle_endtag(self, tag):
        if not self.open or self.open.pop() != tag:
            self.faults.append(f"</{tag}> closes nothing")

    def handle_data(self, data):
        if not self.open or self.open[-1] != "style":
            self.words.append(data)


def test_the_page_needs_nothing_and_does_nothing(tmp_path):
    norms(tmp_path / "a")
    training(tmp_path / "b")
    training(tmp_path / "c", cell="gru")
    assert report(tmp_path / "a", tmp_path / "b", tmp_path / "c", f"--out={tmp_path / 'out'}") == 0
    text = (tmp_path / "out" / "report.html").read_text()
    page = Page(text)
    assert page.faults == [] and page.tags.count("img") == 3 and page.tags.count("table") == 6
    assert "default-src 'none'" in page.policy and "script" not in page.policy
    assert not re.search(r"https?://|<script|@import|url\(", re.sub(r"base64,[^\"]*", "", text))
    for words in ('name="viewport"', "@media print", "prefers-color-scheme: dark", "overflow-x: auto"):
        assert words in text
    for words in ("c0ffee, with changes", "jax 0.10.1", "3.11.9", "--units=8", "2026-01-02", "'--a=b c'"):
        assert any(words in one for one in page.words), words


@pytest.mark.parametrize(
    "bad",
    ["<p><script></script></p>", '<img src="http://e.vil/a.png">', '<p onclick="x">a</p>', "<p>", "</p>",
     '<a href="javascript:x">a</a>', "<table></table>"],
)  # fmt: skip
def test_the_page_reader_sees_faults(bad):
    """The control."""
    assert Page(bad).faults and not Page("<p>a &lt;script&gt;</p>").faults


def test_what_a_stranger_wrote_is_text(tmp_path, capsys):
    """A cell, a flag, a word of the command, a directory: markup, formulas and mathematics are shown, not obeyed."""
    path = norms(tmp_path / f"a&{EVIL.replace('/', '')}", cells=(EVIL, "=1+1"), task=EVIL, variant="+v")
    edit(path, argv=["--x=" + EVIL], python=EVIL)
    training(tmp_path / "b", cell=EVIL, variant="@v")
    training(tmp_path / "c", cell="-c", variant="@v")
    assert report(path, tmp_path / "b", tmp_path / "c", f"--out={tmp_path / 'out'}") == 0
    capsys.readouterr()
    text = (tmp_path / "out" / "report.html").read_text()
    page = Page(text)
    assert page.faults == [] and "script" not in page.tags and any(EVIL in words for words in page.words)
    told = (tmp_path / "out" / "report.md").read_text()
    assert "<script" not in told and "](u)" not in told and "&lt;script" in told
    with open(tmp_path / "out" / "report.csv", newline="") as file:
        rows = list(csv.DictReader(file))
    assert {"'=1+1", EVIL, "'-c"} <= {row["cell"] for row in rows} and {row["variant"] for row in rows} == {
        "'+v",
        "'@v",
    }
    assert not any(value and value[0] in "=@+" for row in rows for value in row.values())
    assert (tmp_path / "out" / "gradient_norms.png").stat().st_size > 10_000
    for form in ("text", "md", "csv", "json"):
        assert report(path, f"--format={form}") == 0
        out = capsys.readouterr().out
        assert ("<script" in out) == (form != "md")


def test_the_same_runs_are_the_same_report(tmp_path):
    norms(tmp_path / "a")
    training(tmp_path / "b")
    for name in ("one", "two"):
        assert report(tmp_path / "a", tmp_path / "b", f"--out={tmp_path / name}") == 0
    assert tree(tmp_path / "one") == tree(tmp_path / "two")


def test_a_table_too_wide_for_paper_is_several_with_the_first_column(tmp_path):
    """Nothing is lost: every length stands once over the page's tables of each quantity."""
    steps = tuple(range(4, 24))
    norms(tmp_path / "a", lengths=steps)
    assert report(tmp_path / "a", f"--out={tmp_path / 'out'}") == 0
    page = (tmp_path / "out" / "report.html").read_text()
    heads = re.findall("<thead>(.*?)</thead>", page)
    assert len(heads) > 2 and all(head.startswith('<tr><th scope="col">cell</th>') for head in heads)
    assert [int(n) for n in re.findall("T=([0-9]+)<", "".join(heads))] == [*steps] * 2


def test_lengths_close_together_do_not_run_into_each_other():
    pyplot = pytest.importorskip("matplotlib.pyplot")
    figure, axis = pyplot.subplots()
    plotting.length_ticks(axis, [4, 6, 7, 100, 101, 102, 1000])
    assert [label.get_text() for label in axis.get_xticklabels()] == ["4", "6", "", "100", "", "", "1000"]
    plotting.length_ticks(axis, [7])
    assert [label.get_text() for label in axis.get_xticklabels()] == ["7"]
    pyplot.close(figure)
