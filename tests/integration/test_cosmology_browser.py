"""The page of a fit in a real browser: what stands in the document, how it is laid out, and what is painted."""

from __future__ import annotations

import json
import re
import subprocess
from collections.abc import Callable
from html import unescape
from pathlib import Path
from typing import Any

import matplotlib.image
import numpy as np
import pytest

from running import campaign

pytestmark = pytest.mark.chromium

FLAGS = (
    "--headless", "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run", "--disable-sync",
    "--disable-background-networking", "--disable-component-update", "--hide-scrollbars",
    "--force-color-profile=srgb", "--force-prefers-color-scheme=light", "--window-size=900,3000",
    "--virtual-time-budget=3000",
)  # fmt: skip
SLACK = 3.0  # pixels that the box of a text is larger than its letters
MEASURE = """
<pre id="measured"></pre><script>
const box = e => { const b = e.getBoundingClientRect(); return [b.left, b.top, b.width, b.height] };
document.getElementById("measured").textContent = JSON.stringify({
  bars: [...new Set([...document.querySelectorAll("svg rect")].map(r => getComputedStyle(r).fill))],
  page: [document.documentElement.scrollWidth, document.documentElement.clientWidth],
  drawings: [...document.querySelectorAll("svg")].map(s => ({
    label: s.getAttribute("aria-label"), box: box(s),
    shapes: [...s.querySelectorAll("rect, text, polyline")].map(box) })),
  tables: [...document.querySelectorAll("table")].map(t => ({
    box: box(t), cells: [...t.rows].map(r => [...r.cells].map(c => c.textContent)) })),
  headings: [...document.querySelectorAll("h1, h2, h3")].map(h => h.textContent) });
</script>
"""


@pytest.fixture(scope="module")
def page(tmp_path_factory) -> Path:
    """The page of a joint fit with its pulls and a profile."""
    folder = tmp_path_factory.mktemp("page")
    file = folder / "fit.html"
    done = campaign(
        *("cosmology", "fit-joint", "--datasets", "cmb,bao_ani", "--optimize", "H0,Om0,Obh2", "--profile", "H0"),
        *("--html", file),
        CAMPAIGN_DEFAULTS=str(folder / "defaults"),
    )
    assert done.returncode == 0, done.stderr
    return file


@pytest.fixture
def browse(chromium: str, tmp_path: Path) -> Callable[..., str]:
    """Open a file in the browser; gives what it writes to standard output."""

    def run(file: Path, *options: str) -> str:
        command = [chromium, *FLAGS, f"--user-data-dir={tmp_path / 'profile'}", *options, file.as_uri()]
        done = subprocess.run(command, capture_output=True, text=True, timeout=120)
        assert done.returncode == 0, done.stderr[-2000:]
        return done.stdout

    return run


@pytest.fixture
def measured(page: Path, browse: Callable[..., str], tmp_path: Path) -> dict[str, Any]:
    """What a script that is added to a copy of the page measures."""
    copy = tmp_path / "measured.html"
    copy.write_text(page.read_text(encoding="utf-8").replace("</body>", MEASURE + "</body>"), encoding="utf-8")
    found = re.search(r'<pre id="measured">(.*?)</pre>', browse(copy, "--dump-dom"), re.DOTALL)
    assert found is not None
    return json.loads(unescape(found[1]))


def test_the_browser_shows_every_number_and_every_drawing(measured):
    assert all(word in measured["headings"][0] for word in ("lcdm", "cmb", "bao_ani"))
    fitted = {row[0]: row for row in measured["tables"][0]["cells"]}
    assert 60 < float(fitted["H0"][2]) < 80
    assert fitted["H0"][3].startswith("± ")
    assert {"cmb", "bao_ani"} < {row[0] for row in measured["tables"][1]["cells"]}
    labels = "\n".join(drawing["label"] for drawing in measured["drawings"]).lower()
    assert [words in labels for words in ("pulls of cmb", "pulls of bao_ani", "profile of h0")] == [True] * 3


def test_nothing_overflows_and_nothing_lies_outside_its_drawing(measured):
    scroll, client = measured["page"]
    assert scroll <= client
    for drawing in measured["drawings"]:
        left, top, width, height = drawing["box"]
        assert width > 400, drawing["label"]
        assert height > 50, drawing["label"]
        assert drawing["shapes"]
        for x, y, w, h in drawing["shapes"]:
            assert left - SLACK <= x, drawing["label"]
            assert x + w <= left + width + SLACK, drawing["label"]
            assert top - SLACK <= y, drawing["label"]
            assert y + h <= top + height + SLACK, drawing["label"]


def test_the_bars_are_painted(page, measured, browse, tmp_path):
    picture = tmp_path / "fit.png"
    browse(page, f"--screenshot={picture}")
    pixels = np.round(255 * matplotlib.image.imread(picture)[..., :3]).astype(int)
    assert pixels.shape == (3000, 900, 3)
    assert (pixels == 255).all(axis=-1).mean() > 0.5  # white paper
    assert measured["bars"]
    for colour in measured["bars"]:  # "rgb(54, 105, 156)"
        bar = [int(value) for value in re.findall(r"\d+", colour)]
        assert (pixels == bar).all(axis=-1).sum() > 200, colour


def test_the_page_loads_nothing_and_runs_nothing(page, browse):
    """The document after loading is the document that was written: no script has touched it."""
    written = page.read_text(encoding="utf-8")
    shown = browse(page, "--dump-dom")
    assert "<script" not in shown
    assert not re.search(r"""(src|href)\s*=|@import|url\(""", shown)
    for tag in ("<table", "<svg", "<rect", "<tr"):
        assert shown.count(tag) == written.count(tag), tag
