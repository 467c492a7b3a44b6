"""The report's page: what it says, and that a browser can sort, search and page it without a network."""

import json
import re
import shutil
import subprocess

import pytest
from PIL import Image

from unsee.bench.report import compare, report
from unsee.engine.config import RunConfig
from unsee.engine.presets import PRESETS, Preset
from unsee.engine.run import run
from unsee.engine.sharding import Sharding
from unsee.engine.sources import Sources
from unsee.errors import UnseeError
from unsee.export.config import DescentConfig

CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser")


def finished_run(folder, photographs, model, iterations=2, output_format="files"):
    preset = Preset("reference", DescentConfig(iterations=iterations), PRESETS["reference"].post)
    sources = Sources((str(photographs),))
    run(
        RunConfig(
            sources,
            str(folder),
            str(model),
            preset=preset,
            device="cpu",
            output_format=output_format,
            shards=Sharding(5),
        )
    )
    return folder


@pytest.fixture(scope="module")
def inputs(photographs, tmp_path_factory):
    folder = shutil.copytree(photographs, tmp_path_factory.mktemp("report") / "in")
    (folder / "bad <script>.jpg").touch()
    return folder


@pytest.fixture(scope="module")
def finished(inputs, tiny_model, tmp_path_factory):
    return finished_run(tmp_path_factory.mktemp("finished") / "out", inputs, tiny_model)


def rows_of(page):
    return json.loads(re.search(r'type="application/json">(.*?)</script>', page.read_text(), re.DOTALL)[1])


def test_page_holds_every_row_and_links_that_exist(finished):
    page = report(finished)
    rows = rows_of(page)
    assert len(rows) == 13
    assert [row["failed"] for row in rows].count(True) == 1
    for row in rows:
        assert (page.parent / row["image"].replace("%20", " ").replace("%3C", "<").replace("%3E", ">")).exists()
        assert all((page.parent / link).exists() for link in row["maps"])
        assert len(row["maps"]) == (0 if row["failed"] else 1)
    text = page.read_text()
    assert "13 of 13 done, 1 failed" in text
    assert "empty_file" in text
    assert not re.search(r'(src|href)="(https?:)?//', text)


def test_masks_add_curves_and_scores(finished, tmp_path):
    for path in finished.rglob("*.png"):
        mask = Image.open(path).point(lambda level: 255 * (level > 100))
        target = tmp_path / "masks" / path.relative_to(finished)
        target.parent.mkdir(parents=True, exist_ok=True)
        mask.save(target)
    page = report(finished, tmp_path / "page.html", tmp_path / "masks")
    assert "precision and recall" in page.read_text()
    assert all(row["mask"] for row in rows_of(page) if not row["failed"])


def test_maps_in_archives_are_copied_beside_the_page(inputs, tiny_model, tmp_path):
    folder = finished_run(tmp_path / "out", inputs, tiny_model, output_format="webdataset")
    page = report(folder)
    links = [link for row in rows_of(page) for link in row["maps"]]
    assert len(links) == 12
    assert all((folder / link).exists() for link in links)
    with pytest.raises(UnseeError, match="masks need a run whose maps are files"):
        report(folder, masks=inputs)


def test_comparison_shows_the_largest_difference_first(finished, inputs, tiny_model, tmp_path):
    other = finished_run(tmp_path / "other", inputs, tiny_model, iterations=9)
    rows = rows_of(compare(finished, other, most=7))
    assert len(rows) == 7
    differences = [row["difference"] for row in rows]
    assert differences == sorted(differences, reverse=True)
    assert all(len(row["maps"]) == 2 for row in rows)
    same = rows_of(compare(finished, finished, tmp_path / "same.html"))
    assert {row["difference"] for row in same} == {0}


DRIVE = """<script>
  byId("sort").value = "error:down"; byId("sort").dispatchEvent(new Event("change"));
  const first = document.querySelector(".card p").textContent;
  byId("search").value = "more/"; byId("search").dispatchEvent(new Event("input"));
  const found = byId("place").textContent;
  byId("search").value = ""; byId("search").dispatchEvent(new Event("input"));
  byId("next").click();
  document.title = JSON.stringify([first, found, byId("place").textContent, document.querySelectorAll(".card").length]);
</script>"""


@pytest.mark.slow
@pytest.mark.skipif(not CHROMIUM, reason="chromium is not installed")
def test_browser_sorts_searches_pages_and_draws(finished, tmp_path):
    page = report(finished)
    driven = page.with_name("driven.html")
    driven.write_text(
        page.read_text().replace("const PAGE = 24", "const PAGE = 10").replace("</html>", DRIVE + "</html>")
    )
    flags = ["--headless", "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run", "--disable-sync"]
    flags += [
        "--disable-background-networking",
        "--disable-component-update",
        f"--user-data-dir={tmp_path / 'browser'}",
    ]
    picture = tmp_path / "page.png"
    dumped = subprocess.run(
        [CHROMIUM, *flags, "--virtual-time-budget=3000", "--dump-dom", f"file://{driven}"],
        capture_output=True,
        text=True,
    ).stdout
    title = re.search("<title>(.*?)</title>", dumped)[1].replace("&lt;", "<").replace("&gt;", ">")
    first, found, place, cards = json.loads(title)
    assert first.endswith("bad <script>.jpg")
    assert found == "page 1 of 1, 2 images"
    assert (place, cards) == ("page 2 of 2, 13 images", 3)
    subprocess.run([CHROMIUM, *flags, f"--screenshot={picture}", f"file://{page}"], capture_output=True, check=True)
    assert len(set(Image.open(picture).convert("L").tobytes())) > 20


@pytest.mark.slow
def test_100_000_rows_make_a_page_that_pages(finished, tmp_path):
    page = report(finished)
    rows = rows_of(page) * 7700
    text = page.read_text()
    large = tmp_path / "large.html"
    start, end = text.index('json">') + 6, text.index("</script>")
    large.write_text(text[:start] + json.dumps(rows).replace("<", "\\u003c") + text[end:])
    assert large.stat().st_size < 60e6
    if not CHROMIUM:
        pytest.skip("chromium is not installed")
    flags = ["--headless", "--no-sandbox", "--disable-gpu", f"--user-data-dir={tmp_path / 'browser'}"]
    dumped = subprocess.run([CHROMIUM, *flags, "--dump-dom", f"file://{large}"], capture_output=True, text=True).stdout
    assert "page 1 of 4171, 100100 images" in dumped
