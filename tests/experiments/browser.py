"""A browser without a window, where one is installed: what it makes of a page, says, and asks the network for."""

import json
import pathlib
import re
import shutil
import socket
import subprocess
import tempfile
import threading
from typing import NamedTuple
from urllib.parse import unquote

import pytest

NAMES = ("chromium", "chromium-browser", "google-chrome")
FLAGS = ("--headless", "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run", "--disable-sync",
         "--disable-background-networking", "--disable-component-update", "--hide-scrollbars",
         "--enable-logging=stderr", "--proxy-bypass-list=<-loopback>")  # fmt: skip
OWN = ("google.com", "googleapis.com", "gstatic.com", "gvt1.com")  # what it asks for itself, whatever the page
MEASURE = """<script>addEventListener("load", () => {
  const wide = e => e.getBoundingClientRect().right > innerWidth + 1 && !e.closest(".box");
  const said = {width: innerWidth, scroll: document.documentElement.scrollWidth, title: document.title,
                scripts: document.scripts.length, text: document.body.innerText,
                cut: [...document.querySelectorAll("body *")].filter(wide).map(e => e.outerHTML.slice(0, 80)),
                images: [...document.images].map(e => [e.naturalWidth, e.width])};
  parent.postMessage(JSON.stringify(said), "*");
})</script>"""
AROUND = """<!DOCTYPE html><meta charset="utf-8"><body style="margin: 0">
<iframe src="%s" style="width: %dpx; height: %dpx; border: 0"></iframe><pre></pre>
<script>onmessage = e => { document.querySelector("pre").textContent = encodeURIComponent(e.data) }</script>"""


class Seen(NamedTuple):
    dom: str
    console: list[str]
    asked: list[str]  # of the network


def find() -> str:
    """Its path; skips the test where there is none."""
    path = next(filter(None, map(shutil.which, NAMES)), None)
    if path is None:
        pytest.skip(f"no browser is installed; {' or '.join(NAMES)} is looked for")
    return path


def look(page: pathlib.Path, *flags: str) -> Seen:
    """Open a page. What it would ask for goes to a proxy here that answers nothing."""
    asked: list[str] = []

    def listen() -> None:
        while True:
            try:
                caller, _ = proxy.accept()
            except OSError:  # closed
                return
            with caller:
                asked.append(caller.recv(300).split(b"\r\n")[0].decode("latin-1"))

    with socket.create_server(("127.0.0.1", 0)) as proxy, tempfile.TemporaryDirectory() as folder:
        threading.Thread(target=listen, daemon=True).start()
        command = [find(), *FLAGS, f"--proxy-server=127.0.0.1:{proxy.getsockname()[1]}", f"--user-data-dir={folder}"]
        command += [*(flags or ["--dump-dom", "--virtual-time-budget=2000"]), page.as_uri()]
        done = subprocess.run(command, capture_output=True, text=True, timeout=60, check=True)
        proxy.shutdown(socket.SHUT_RDWR)
    host = [(line, re.split(r"[/ ]+", line)[2 if "://" in line else 1].split(":")[0]) for line in asked if " " in line]
    return Seen(
        done.stdout,
        [line for line in done.stderr.splitlines() if ":CONSOLE" in line],
        [line for line, name in host if not name.endswith(OWN)],
    )


def framed(page: pathlib.Path, width: int, height: int) -> pathlib.Path:
    """A page around it, for a browser's own window has a least width."""
    around = page.with_name(f"{page.stem}_{width}.html")
    around.write_text(AROUND % (page.name, width, height))
    return around


def measured(page: pathlib.Path, width: int, change: tuple[str, str] = ("", "")) -> dict:
    """What a script finds in a copy of a page that lets scripts run, at a width; `change` makes the copy another."""
    text = re.sub(r'<meta http-equiv="Content-Security-Policy"[^>]*>', "", page.read_text())
    assert "Content-Security-Policy" not in text and change[0] in text
    copy = page.with_name(f"{page.stem}_measured.html")
    copy.write_text(text.replace(*change, 1).replace("</body>", f"{MEASURE}</body>"))
    said = re.search("<pre>(.+?)</pre>", look(framed(copy, width, 844)).dom)
    assert said, "the page said nothing"
    return json.loads(unquote(said[1]))
