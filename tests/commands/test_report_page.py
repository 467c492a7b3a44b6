"""The page of `unsee report` in a browser: filters, the viewer, difference pictures; and a page that can be moved."""

import re
import shutil
import subprocess
from pathlib import Path
from urllib.parse import urlencode

import numpy as np
import pytest
from PIL import Image

from unsee.tests.commands.running import unsee

CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser")
needs_browser = pytest.mark.skipif(CHROMIUM is None, reason="no Chromium is installed here")


@pytest.fixture(scope="module")
def folder(tmp_path_factory) -> Path:
    """A folder with photos/ (five squares and a damaged file), masks/, and two runs: one/ and two/."""
    place = tmp_path_factory.mktemp("pages")
    for name in ("photos", "masks"):
        (place / name).mkdir()
    random = np.random.default_rng(0)
    for number in range(5):
        pixels = random.integers(110, 125, (60, 90, 3)).astype(np.uint8)
        mask = np.zeros((60, 90), np.uint8)
        pixels[15:40, 10 * number : 10 * number + 30] = (200, 30, 30)
        mask[15:40, 10 * number : 10 * number + 30] = 255
        Image.fromarray(pixels).save(place / f"photos/{number}.png")
        Image.fromarray(mask).save(place / f"masks/{number}.png")
    (place / "photos/bad.png").write_bytes(b"no image")
    for output, method in (("one", "rbd"), ("two", "saliency-filters")):
        unsee("run", "photos", "-o", output, "--method", method, cwd=place, expect=3)
    unsee("report", "one", "--gt", "masks", cwd=place)
    unsee("report", "one", "--compare", "two", "--gt", "masks", "--output", "both.html", cwd=place)
    return place


def seen(page: Path, profile: Path, **chosen: str) -> str:
    """Return the page as a browser has it once its script has run."""
    assert CHROMIUM
    options = ["--headless", "--no-sandbox", "--disable-gpu", "--disable-background-networking", "--no-first-run"]
    command = [CHROMIUM, *options, "--virtual-time-budget=3000", f"--user-data-dir={profile}", "--dump-dom"]
    url = f"file://{page}#{urlencode(chosen)}"
    return subprocess.run([*command, url], capture_output=True, text=True, timeout=120, check=True).stdout


def cards(html: str) -> list[str]:
    """The paths of the images that are shown."""
    return re.findall(r'class="card">.*?<p>(.*?)</p>', html, re.DOTALL)


@needs_browser
@pytest.mark.parametrize(
    ("chosen", "expected"),
    [
        ({}, ["0.png", "1.png", "2.png", "3.png", "4.png", "bad.png"]),
        ({"status": "failed"}, ["bad.png"]),
        ({"status": "done", "search": "3"}, ["3.png"]),
        ({"figure": "f", "low": "0.5"}, ["0.png", "1.png", "2.png", "3.png", "4.png"]),
        ({"figure": "mass", "high": "0"}, []),
        ({"sort": "no such", "figure": "nothing"}, ["0.png", "1.png", "2.png", "3.png", "4.png", "bad.png"]),
    ],
    ids=str,
)
def test_what_is_chosen_in_the_address_is_shown(folder, tmp_path, chosen, expected):
    assert cards(seen(folder / "one/report.html", tmp_path, **chosen)) == expected


@needs_browser
def test_the_viewer_opens_at_an_image_and_shows_the_overlay(folder, tmp_path):
    html = seen(folder / "one/report.html", tmp_path, image="2.png")
    viewer = re.search(r'<dialog id="viewer" open="">(.*?)</dialog>', html, re.DOTALL)
    assert viewer and "3 of 6" in viewer[1] and "F up to" in viewer[1]
    assert re.search(r'class="over" style="opacity: 0.6;?"', viewer[1])


@needs_browser
def test_a_comparison_lays_one_map_against_the_other(folder, tmp_path):
    html = seen(folder / "both.html", tmp_path)
    assert len(cards(html)) == 5 and html.count('class="against"') == 5


def test_a_portable_page_holds_its_pictures(folder, tmp_path):
    unsee("report", "one", "--gt", "masks", "--portable", "--output", "moved.html", cwd=folder)
    page = Path(shutil.move(folder / "moved.html", tmp_path / "page.html"))
    text = page.read_text()
    assert text.count("data:image/png;base64,") == 10 and text.count("data:image/jpeg;base64,") == 5
    assert "photos/0.png" not in text.replace('"path"', "") and not list(tmp_path.glob("*_files"))
