"""The page of a report in a browser: quiet, still, whole on a telephone, and text where a stranger wrote markup."""

import browser
import numpy as np
import pytest
from programs import report
from runs_by_hand import EVIL, lengths, norms, training

from experiments.report.page import TITLE

INJECTED = (EVIL, "<script>document.title='x'</script>", "<img src=x onerror=document.title='x'>", "</style></table>")
WIDE = ("elman(nonlinearity=relu,init=identity)", "lstm(forget_bias=1)", *INJECTED)


@pytest.fixture(scope="module")
def page(tmp_path_factory):
    """A report with much in it, and a stranger's strings wherever one can write."""
    root = tmp_path_factory.mktemp("report")
    browser.find()
    norms(root / "a", cells=WIDE, lengths=tuple(range(4, 24)), task=INJECTED[1])
    lengths(root / "b", lengths=tuple(range(4, 40, 2)), variant=INJECTED[2], record={"python": INJECTED[1]})
    training(root / "c", cell=INJECTED[2], record={"argv": [f"--x={each}" for each in INJECTED]})
    training(root / ("long" * 40), cell=INJECTED[1])
    assert report(*sorted(root.iterdir()), f"--out={root / 'out'}") == 0
    return root / "out" / "report.html"


def test_it_opens_without_a_word_and_asks_for_nothing(page):
    seen = browser.look(page)
    assert TITLE in seen.dom and seen.console == [] and seen.asked == []


def test_the_control_is_heard(page):
    """A page that does what it should not, in the same browser."""
    control = page.with_name("control.html")
    control.write_text("<img src='http://e.vil/a.png'><script>console.error('oh'); nothing.there</script>")
    seen = browser.look(control)
    assert len(seen.console) == 2 and any("http://e.vil/a.png" in line for line in seen.asked)


@pytest.mark.parametrize("width", [390, 1200])
def test_it_fits_and_what_was_injected_is_text(page, width):
    """In a copy that would let scripts run; tables and figures may be wider, in boxes that scroll."""
    found = browser.measured(page, width)
    assert found["width"] == width and found["scroll"] <= width and found["cut"] == []
    assert found["title"] == TITLE and found["scripts"] == 1, "the one that measures"
    for each in INJECTED:
        assert each in found["text"], each
    assert len(found["images"]) == 4
    for pixels, shown in found["images"]:
        assert 9 / 72 * 200 / pixels * shown > 9, "text of a figure, in pixels: nobody reads less"


@pytest.mark.parametrize(
    ("change", "seen"),
    [
        ((".box { overflow-x: auto", ".box { overflow-x: visible"), lambda found: found["scroll"] > 390),
        (("</h1>", "</h1><div style='width: 500px'>wide</div>"), lambda found: found["cut"]),
        (("</h1>", f"</h1>{INJECTED[1]}"), lambda found: found["title"] == "x" and found["scripts"] == 2),
    ],
)
def test_the_control_is_seen(page, change, seen):
    """Boxes that do not scroll, something wide, something injected."""
    assert seen(browser.measured(page, 390, change))


@pytest.mark.parametrize("width", [390, 1200])
def test_a_picture_of_it(page, width):
    pyplot = pytest.importorskip("matplotlib.pyplot")
    shot = page.with_name(f"{width}.png")
    browser.look(browser.framed(page, width, 844), f"--window-size={max(width, 500)},844", f"--screenshot={shot}")
    picture = pyplot.imread(shot)[:, :width, :3]
    assert picture.shape == (844, width, 3)
    ink = (np.abs(picture - picture[0, 0]).max(axis=-1) > 0.3).mean()
    assert 0.01 < ink < 0.5 and len(np.unique(picture.reshape(-1, 3), axis=0)) > 100


def test_it_prints(page):
    """On paper: more than one sheet, and no more than it needs."""
    paper = page.with_name("report.pdf")
    browser.look(page, f"--print-to-pdf={paper}", "--no-pdf-header-footer")
    data = paper.read_bytes()
    assert data.startswith(b"%PDF-") and 2 < data.count(b"/Type /Page\n") < 15
