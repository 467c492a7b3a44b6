"""The report's page: what it says, and that a browser can sort, search and page it without a network."""

import html
import json
import re
import shutil
import subprocess

import numpy as np
import pytest
from PIL import Image

from unsee.bench.pages.comparison import compare
from unsee.bench.pages.html import common_folder
from unsee.bench.pages.run_page import report
from unsee.engine.cleanup.presets import PRESETS, Preset
from unsee.engine.inputs.sources import Sources
from unsee.engine.outputs.layout import Sharding
from unsee.engine.run import run
from unsee.engine.run_config import RunConfig
from unsee.errors import UnseeError
from unsee.export.bundles.descent_config import DescentConfig

CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser")


def finished_run(folder, photographs, model, iterations=2, output_format="files"):
    preset = Preset("reference", DescentConfig(iterations=iterations), PRESETS["reference"].post)
    sources = Sources((str(photographs),))
    run(
        RunConfig(
            sources,
            str(folder),
            model=str(model),
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
    assert {row["path"] for row in rows} >= {"00.jpg", "more/10.jpg", "bad <script>.jpg"}
    for row in rows:
        assert (page.parent / row["image"].replace("%20", " ").replace("%3C", "<").replace("%3E", ">")).exists()
        assert all((page.parent / link).exists() for link in row["maps"])
        assert len(row["maps"]) == (0 if row["failed"] else 1)
    text = page.read_text()
    assert "13 of 13 done, 1 failed" in text
    assert "empty_file" in text
    assert "default-src 'none'" in text
    assert not re.search(r'(src|href)="(https?:)?//', text)


def test_masks_add_curves_and_scores(finished, tmp_path):
    for path in finished.rglob("*.png"):
        mask = Image.open(path).point(lambda level: 255 * (level > 100))
        target = tmp_path / "masks" / path.relative_to(finished)
        target.parent.mkdir(parents=True, exist_ok=True)
        mask.save(target)
    page = report(finished, tmp_path / "page.html", tmp_path / "masks")
    text = page.read_text()
    assert all(
        title in text for title in ("precision and recall", "errors of images", "largest error against the mask")
    )
    for row in rows_of(page):
        if row["failed"]:
            assert "mask" not in row
        else:
            saliency, mask = (
                np.asarray(Image.open(page.parent / link), float) for link in (row["maps"][0], row["mask"])
            )
            scaled = (saliency - saliency.min()) / np.ptp(saliency)  # as PySODMetrics does
            assert row["mae"] == pytest.approx(np.abs(scaled - mask / 255).mean())
            assert row["text"].endswith(f", error {row['mae']:.3f}, F up to {row['f']:.3f}")


def test_common_folder_ends_where_paths_part():
    assert common_folder(["/a/b/c.jpg", "/a/bd/e.jpg", "/a/b/f/g.jpg"]) == "/a/"
    assert common_folder(["s3://bucket/x/1.jpg", "s3://bucket/x/2.jpg"]) == "s3://bucket/x/"
    assert common_folder(["x/1.jpg"]) == "x/"
    assert common_folder(["1.jpg", "x/2.jpg"]) == common_folder([]) == ""


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
  const order = (key) => {
    byId("sort").value = key; byId("sort").dispatchEvent(new Event("change"));
    return [...document.querySelectorAll(".card p:first-of-type")].map((path) => path.textContent);
  };
  const find = (words) => { byId("search").value = words; byId("search").dispatchEvent(new Event("input")); };
  addEventListener("load", () => {
    const plan = order("plan"), failures = order("error:down"), scores = order("score:down");
    const worst = byId("sort").querySelector("[value='mae:down']") ? order("mae:down") : [];
    order("plan");
    find("more/");
    const found = byId("place").textContent;
    find("");
    byId("next").click();
    const second = byId("place").textContent, cards = document.querySelectorAll(".card").length;
    byId("previous").click();
    const broken = [...document.images].filter((image) => image.complete && !image.naturalWidth).length;
    const fetched = performance.getEntriesByType("resource").map((entry) => entry.name);
    const asked = fetched.filter((name) => !name.startsWith("file:"));
    const images = document.images.length;
    document.title = JSON.stringify({ plan, failures, scores, worst, found, second, cards, broken, images, asked });
  });
</script>"""


def browse(page, tmp_path, *flags):
    """Open a page in headless Chromium, which finds no host; return what it wrote."""
    quiet = ["--headless", "--no-sandbox", "--disable-gpu", "--no-first-run", "--host-resolver-rules=MAP * ~NOTFOUND"]
    command = [CHROMIUM, *quiet, f"--user-data-dir={tmp_path / 'browser'}", *flags, f"file://{page}"]
    return subprocess.run(command, capture_output=True, text=True, check=True).stdout


def driven(page, tmp_path, **constants):
    """Sort, search and turn pages in a browser, with constants of the page's script changed; return what was seen."""
    text = page.read_text().replace("</html>", DRIVE + "</html>")
    for name, value in constants.items():
        text = re.sub(f"const {name} = .*;", f"const {name} = {value};", text)
    copy = page.with_name("driven.html")
    copy.write_text(text)
    written = browse(copy, tmp_path, "--virtual-time-budget=5000", "--dump-dom")
    return json.loads(html.unescape(re.search("<title>(.*?)</title>", written)[1]))


@pytest.mark.slow
@pytest.mark.skipif(not CHROMIUM, reason="chromium is not installed")
def test_browser_sorts_searches_pages_and_draws(finished, tmp_path):
    page = report(finished)
    found = driven(page, tmp_path, PAGE=10)
    rows = rows_of(page)
    assert found["plan"] == [row["path"] for row in rows[:10]]
    assert found["failures"][0] == "bad <script>.jpg"
    scored = sorted((row for row in rows if row["score"] is not None), key=lambda row: -row["score"])
    assert found["scores"] == [row["path"] for row in scored[:10]]
    assert found["found"] == "page 1 of 1, 2 images"
    assert (found["second"], found["cards"]) == ("page 2 of 2, 13 images", 3)
    assert found["worst"] == found["asked"] == []


@pytest.mark.proof
@pytest.mark.slow
@pytest.mark.skipif(not CHROMIUM, reason="chromium is not installed")
def test_page_of_250_photographs_with_masks_makes_a_picture(shared, tmp_path):
    """The page of which docs/ shows a picture: every visible photograph, map and mask is drawn, nothing is fetched."""
    data = shared / "data/ecssd-dev"
    page = report(finished_run(tmp_path / "maps", data / "images", "unsee-small", iterations=1), masks=data / "masks")
    found = driven(page, tmp_path)
    assert (found["second"], found["cards"], found["broken"]) == ("page 2 of 11, 250 images", 24, 0)
    assert found["images"] == 24 * 5  # the photograph twice, the map twice, the mask
    assert found["asked"] == []
    errors = {row["path"]: row["mae"] for row in rows_of(page)}
    assert [errors[path] for path in found["worst"]] == sorted(errors.values(), reverse=True)[:24]
    picture = tmp_path / "page.png"
    browse(page, tmp_path, f"--screenshot={picture}", "--window-size=1280,1500")
    drawn = np.asarray(Image.open(picture).convert("RGB")).astype(int)
    assert drawn.shape == (1500, 1280, 3)
    colorful = (np.ptp(drawn, axis=2) > 40).mean(1)
    assert colorful[1000:].max() > 0.1  # photographs


@pytest.mark.proof
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
    assert "page 1 of 4171, 100100 images" in browse(large, tmp_path, "--dump-dom")
