"""The report as one HTML file that needs nothing else, and as Markdown. Every string is a stranger's."""

import base64
import shlex
from collections.abc import Sequence
from html import escape
from typing import Any

from experiments import tables
from experiments.report.options import shown
from experiments.report.read import Run
from experiments.report.sections import FIGURES, Section

POLICY = "default-src 'none'; style-src 'unsafe-inline'; img-src data:; base-uri 'none'; form-action 'none'"
TITLE = "Report on runs"
STYLE = """
:root { color-scheme: light dark; --ink: #1b1b1b; --paper: #fff; --faint: #666; --line: #d5d5d5; --wrong: #b00020; }
@media (prefers-color-scheme: dark) {
  :root { --ink: #e6e6e6; --paper: #16181b; --faint: #a0a0a0; --line: #3c4045; --wrong: #ff8a80; }
}
body { margin: 0 auto; padding: 1rem; max-width: 64rem; color: var(--ink); background: var(--paper);
       font: 1rem/1.5 system-ui, sans-serif; overflow-wrap: anywhere; }
h1 { font-size: 1.6rem; } h2 { font-size: 1.3rem; margin-top: 2.5rem; border-bottom: 1px solid var(--line); }
h3 { font-size: 1rem; margin-bottom: .4rem; } a { color: inherit; }
.box { overflow-x: auto; }
table { border-collapse: collapse; font-size: .85rem; font-variant-numeric: tabular-nums; }
th, td { padding: .2rem .7rem; border-bottom: 1px solid var(--line); text-align: right; white-space: nowrap; }
th:first-child, td:first-child { text-align: left; }
table.facts th, table.facts td { text-align: left; vertical-align: top; white-space: normal; font-weight: normal; }
table.facts th { color: var(--faint); white-space: nowrap; }
code { font-size: .85rem; } figure { margin: 1.5rem 0; } figcaption { color: var(--faint); font-size: .85rem; }
figure img { max-width: 100%; height: auto; background: #fff; }
.wrong { color: var(--wrong); font-weight: bold; } .remark { color: var(--faint); }
summary { cursor: pointer; font-weight: bold; margin-top: 1rem; }
@media print {
  :root { --ink: #000; --paper: #fff; --faint: #444; --line: #999; --wrong: #b00020; }
  body { max-width: none; padding: 0; font-size: 10pt; } nav { display: none; }
  .box { overflow: visible; } th, td { white-space: normal; padding: .1rem .4rem; }
  figure, tr { break-inside: avoid; } h2, h3, summary { break-after: avoid; }
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
            told = FIGURES[name.removesuffix(".png")]
            data = base64.b64encode(content).decode()
            parts.append(f'<figure><img alt="{told}" src="data:image/png;base64,{data}"><figcaption>{told}</figcaption>'
                         "</figure>")  # fmt: skip
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
    head = "".join(f'<th scope="col">{escape(cell)}</th>' for cell in table.header)
    body = "".join("<tr>" + "".join(f"<td>{escape(cell)}</td>" for cell in row) + "</tr>" for row in table.rows)
    return f'<div class="box"><table><thead><tr>{head}</tr></thead><tbody>{body}</tbody></table></div>'


def _fact(name: str, value: str, wrong: bool) -> str:
    mark = ' class="wrong"' if wrong else ""
    return f'<tr><th scope="row">{escape(name)}</th><td{mark}>{escape(value)}</td></tr>'


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
        ("devices", ", ".join([*record.get("devices", []), str(record.get("backend") or "")]).strip(", ")),
        ("precision", f"{record.get('matmul_precision')}, x64 {str(record.get('x64')).lower()}"),
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
