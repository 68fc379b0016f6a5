"""The report as one HTML file that needs nothing else, and as Markdown. Every string is a stranger's."""

import base64
import collections
import re
import shlex
from collections.abc import Sequence
from html import escape
from typing import Any

from experiments import plotting, tables
from experiments.report.options import shown
from experiments.report.read import Run
from experiments.report.sections import FIGURES, Section

POLICY = "default-src 'none'; style-src 'unsafe-inline'; img-src data:; base-uri 'none'; form-action 'none'"
TITLE = "Report on runs"
SHEET, NAME = 105, 20  # characters across a sheet of paper, and of these for the first column
TYPED = ("command", "flags")  # facts that stand as one types them
STYLE = """
:root { color-scheme: light dark; --ink: #1b1b1b; --paper: #fff; --faint: #666; --line: #d5d5d5; --wrong: #b00020;
        --edge: #0004; }
@media (prefers-color-scheme: dark) {
  :root { --ink: #e6e6e6; --paper: #16181b; --faint: #a0a0a0; --line: #3c4045; --wrong: #ff8a80; --edge: #fff5; }
}
body { margin: 0 auto; padding: 1rem; max-width: 64rem; color: var(--ink); background: var(--paper);
       font: 1rem/1.5 system-ui, sans-serif; overflow-wrap: anywhere; }
h1 { font-size: 1.6rem; } h2 { font-size: 1.3rem; margin-top: 2.5rem; border-bottom: 1px solid var(--line); }
h3 { font-size: 1rem; margin-bottom: .4rem; } a { color: inherit; }
.box { overflow-x: auto; background: /* a shadow where more is to the left or right */
         linear-gradient(to right, var(--paper) 40%, transparent) left / 2.5rem 100% local,
         linear-gradient(to left, var(--paper) 40%, transparent) right / 2.5rem 100% local,
         linear-gradient(to right, var(--edge), transparent) left / .7rem 100% scroll,
         linear-gradient(to left, var(--edge), transparent) right / .7rem 100% scroll;
       background-repeat: no-repeat; }
table { border-collapse: collapse; font-size: .85rem; font-variant-numeric: tabular-nums; }
th, td { padding: .2rem .7rem; border-bottom: 1px solid var(--line); text-align: right; overflow-wrap: normal; }
th:first-child, td:first-child { text-align: left; padding-left: 0; }
table.facts th, table.facts td { text-align: left; vertical-align: top; font-weight: normal; }
table.facts th { color: var(--faint); width: 11rem; } table.facts td { overflow-wrap: anywhere; }
table + table { margin-top: 1rem; }
table.facts span { display: inline-block; word-break: break-all; } code { font-size: .8rem; }
figure { margin: 1.5rem 0; } figcaption { color: var(--faint); font-size: .85rem; margin-top: .4rem; }
figure img { display: block; width: calc(var(--inches) * 6.5rem); max-width: 100%; height: auto; background: #fff;
             border-radius: .3rem; }
.wrong { color: var(--wrong); font-weight: bold; } .remark { color: var(--faint); }
summary { cursor: pointer; font-weight: bold; margin-top: 1rem; }
@media (max-width: 36rem) { /* a phone: one panel of a figure fills it */
  figure img { width: calc(var(--inches) * 5rem); max-width: none; border-radius: 0; }
  figcaption::after { content: " It goes on to the right."; } th, td { padding: .2rem .4rem; }
  table.facts th, table.facts td { display: block; width: auto; padding-left: 0; }
  table.facts th { border: 0; padding-bottom: 0; } table.facts td { padding-top: 0; }
}
@media print {
  :root { --ink: #000; --paper: #fff; --faint: #444; --line: #999; --wrong: #b00020; font-size: 9.5pt; }
  body { max-width: none; padding: 0; } nav { display: none; } h2 { margin-top: 1.5rem; }
  .box { overflow: visible; background: none; } th, td { padding: .1rem .4rem; }
  th:first-child, td:first-child { min-width: 7rem; overflow-wrap: anywhere; }
  figure, tr { break-inside: avoid; } h2, h3, summary { break-after: avoid; }
  figure img { width: calc(var(--inches) * 1in); max-width: 100%; } figcaption::after { content: none; }
}
"""


def html(sections: Sequence[Section], runs: Sequence[Run], warnings: Sequence[str]) -> str:
    parts = [f"<h1>{TITLE}</h1>", _nav(sections)]
    parts += [f'<p class="wrong">{escape(warning)}</p>' for warning in warnings]
    for section in sections:
        parts.append(f'<section id="{section.program}"><h2>{section.title}</h2>')
        parts += [f'<p class="remark">{escape(remark)}</p>' for remark in section.remarks]
        for table in section.tables:
            parts.append(f"<h3>{escape(table.title)}</h3>{_table(table)}")
        for name, content in section.figures.items():
            parts.append(_figure(FIGURES[name.removesuffix(".png")], content))
        parts.append("</section>")
    parts.append('<section id="runs"><h2>Where the numbers came from</h2>')
    for run in runs:
        rows = "".join(_fact(name, value, wrong) for name, value, wrong in facts(run))
        parts.append(f"<details open><summary>{escape(shown(run.path))}</summary>"
                     f'<div class="box"><table class="facts">{rows}</table></div></details>')  # fmt: skip
    parts.append("</section>")
    head = (
        '<!DOCTYPE html>\n<html lang="en"><head><meta charset="utf-8">\n'
        f'<meta http-equiv="Content-Security-Policy" content="{POLICY}">\n'
        '<meta name="viewport" content="width=device-width, initial-scale=1">\n'
        f"<title>{TITLE}</title>\n<style>{STYLE}</style></head>\n<body>\n"
    )
    return head + "\n".join(parts) + "\n</body></html>\n"


def _nav(sections: Sequence[Section]) -> str:
    places = [(section.program, section.title) for section in sections] + [("runs", "Where the numbers came from")]
    return "<nav>" + " · ".join(f'<a href="#{place}">{title}</a>' for place, title in places) + "</nav>"


def _table(table: tables.Table) -> str:
    """A table; one too wide for a sheet of paper is several, each with the first column."""
    parts = []
    whole = [[line[0], *map(_glued, line[1:])] for line in (table.header, *table.rows)]
    for columns in _sheets(whole):
        lines = [[line[i] for i in columns] for line in whole]
        head = "".join(f'<th scope="col">{escape(cell)}</th>' for cell in lines[0])
        body = "".join(f"<tr>{''.join(f'<td>{_breakable(cell)}</td>' for cell in line)}</tr>" for line in lines[1:])
        parts.append(f"<table><thead><tr>{head}</tr></thead><tbody>{body}</tbody></table>")
    return f'<div class="box">{"".join(parts)}</div>'


def _breakable(text: str) -> str:
    """A cell's options may stand on lines of their own."""
    return re.sub(r"(?<=[(,])(?!\s)", "<wbr>", escape(text))


def _glued(text: str) -> str:
    """A range and a rate stay on a line."""
    return re.sub("(?<=[,@]) | (?=@)", "\xa0", text)


def _sheets(lines: list[list[str]]) -> list[list[int]]:
    """The columns of each part: as many as fit when what stands in them is broken at spaces."""
    parts, used = [[0]], NAME
    for i in range(1, len(lines[0])):
        width = 2 + max(len(word) for line in lines for word in line[i].split(" "))
        if used + width > SHEET and len(parts[-1]) > 1:
            parts.append([0])
            used = NAME
        parts[-1].append(i)
        used += width
    return parts


def _figure(told: str, png: bytes) -> str:
    inches = int.from_bytes(png[16:20]) / plotting.DPI  # its width stands there
    data = base64.b64encode(png).decode()
    image = f'<img alt="{told}" style="--inches: {inches:.2f}" src="data:image/png;base64,{data}">'
    return f'<figure><div class="box">{image}</div><figcaption>{told}</figcaption></figure>'


def _fact(name: str, value: str, wrong: bool) -> str:
    mark = ' class="wrong"' if wrong else ""
    told = escape(value)
    if name in TYPED:
        words = re.split(" (?=--)", value)  # a line ends between flags, not within one
        told = f"<code>{' '.join(f'<span>{escape(word)}</span>' for word in words)}</code>"
    return f'<tr><th scope="row">{escape(name)}</th><td{mark}>{told}</td></tr>'


def facts(run: Run) -> list[tuple[str, str, bool]]:
    """(what, how it was, whether it is wrong): enough to trace every number back."""
    record = run.record
    git = record.get("git")
    commit = f"{git['commit']}{', with changes (source.diff)' if git['dirty'] else ''}" if git else "unknown"
    found: list[tuple[str, Any]] = [
        ("command", " ".join(["python -m", f"experiments.{run.program}", *map(_quoted, record.get("argv", []))])),
        ("status", record["status"]),
        ("started", record.get("started")),
        ("ended", record.get("ended")),
        ("flags", " ".join(f"--{name}={_quoted(value)}" for name, value in run.flags.items())),
        ("commit", commit),
        ("versions", ", ".join(f"{name} {v}" for name, v in record.get("packages", {}).items() if v)),
        ("python", record.get("python")),
        ("machine", ", ".join(filter(None, (record.get("processor"), record.get("os"))))),
        ("devices", _devices(record)),
        ("precision of products", record.get("matmul_precision")),
        ("64-bit numbers", {True: "on", False: "off", None: None}[record.get("x64")]),
        ("SHA-256 of the data", record.get("data_sha256")),
        ("SHA-256 of the state", record.get("state_sha256")),
    ]
    told = [(name, str(value), False) for name, value in found if value]
    for name, (recorded, there) in run.digests.items():
        compared = f", but run.json says {recorded}" if recorded != there else ", as recorded"
        told.append((f"SHA-256 of {name}", there + compared, recorded != there))
    if not run.digests:
        told.append(("SHA-256 of results", "none recorded", False))
    return told


def _devices(record: dict[str, Any]) -> str:
    """How many of each kind, and what they are to JAX where the kind does not say it."""
    counts = collections.Counter(record.get("devices", []))
    told = ", ".join(f"{count} x {kind}" if count > 1 else kind for kind, count in counts.items())
    backend = record.get("backend")
    return told if not backend or backend in counts else f"{told} ({backend})" if told else backend


def _quoted(text: str) -> str:
    """As a shell takes it."""
    return shlex.quote(text)


def markdown(sections: Sequence[Section], runs: Sequence[Run], warnings: Sequence[str]) -> str:
    parts = [f"# {TITLE}\n"] + [f"**{tables.md_text(warning)}**\n" for warning in warnings]
    for section in sections:
        parts.append(f"## {section.title}\n")
        parts += [f"*{tables.md_text(remark)}*\n" for remark in section.remarks]
        parts += [f"{tables.md_text(table.title)}\n\n{tables.md(table.header, table.rows)}" for table in section.tables]
        parts += [f"![{FIGURES[name.removesuffix('.png')]}]({name})\n" for name in section.figures]
    parts.append("## Where the numbers came from\n")
    for run in runs:
        rows = [[name, f"**{value}**" if wrong else value] for name, value, wrong in facts(run)]
        parts.append(f"### {tables.md_text(shown(run.path))}\n\n{tables.md(['what', 'how it was'], rows)}")
    return "\n".join(parts)
