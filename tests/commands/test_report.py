"""`unsee report` links to what is there wherever it is called, scores what the run made, and replaces nothing else."""

import json
import os
import re
import shutil
from pathlib import Path
from urllib.parse import unquote_to_bytes

import numpy as np
import pytest
from PIL import Image
from typer.testing import CliRunner

from unsee.cli.app import app
from unsee.tests.commands.running import FAST, bytes_below, unsee

NAMES = [b"a b.jpg", b"caf\xe9.jpg", b"100%#1?&c.png", b"x\x1b[31m.png", b"<script>alert(1)<!--.png", b"z:y.png"]
"""Six photographs, more than a shard of `FAST` takes."""


@pytest.fixture(scope="module")
def finished(tiny_model: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder in which a run was started, with relative paths: photos, masks, and the run directory out."""
    folder = tmp_path_factory.mktemp("start")
    random = np.random.default_rng(0)
    for name in ("photos", "masks"):
        (folder / name).mkdir()
    for name in NAMES:
        pixels = random.integers(0, 90, (40, 60, 3), np.uint8)
        pixels[10:30, 20:40] = 250, 40, 40
        Image.fromarray(pixels).save(os.fsencode(folder / "photos") + b"/" + name)
        mask = os.fsencode(folder / "masks") + b"/" + name.rsplit(b".", 1)[0] + b".png"
        Image.fromarray(np.where(pixels[..., 0] == 250, 255, 0).astype(np.uint8)).save(mask)
    (folder / "photos/empty.jpg").touch()
    options = ("--method", "gradient", "--model", tiny_model, "--output-folder", "out", *FAST)
    unsee("run", "photos", *options, cwd=folder, expect=3)
    return folder


@pytest.fixture
def copied(finished: Path, tmp_path: Path) -> Path:
    """A copy of the folder in which the run was started."""
    folder = Path(shutil.copytree(finished, tmp_path / "copy"))
    start(folder / "out", folder)
    return folder


def change(run: Path, **values: object) -> None:
    """Change values of a run's plan; None removes one."""
    plan = {**json.loads((run / "plan.json").read_text()), **values}
    (run / "plan.json").write_text(json.dumps({name: value for name, value in plan.items() if value is not None}))


def start(run: Path, folder: Path) -> None:
    change(run, started_in=str(folder))


def rows_in(page: Path) -> list[dict]:
    return json.loads(re.search(r'type="application/json">(.*?)</script>', page.read_text(), re.DOTALL)[1])


def linked(page: Path, link: str) -> Path:
    """The file that a browser opens for a link of a page."""
    assert not re.search(r"[^A-Za-z0-9_.~/%-]", link)
    return page.parent / os.fsdecode(unquote_to_bytes(link))


def invoke(*arguments: object):
    return CliRunner().invoke(app, [str(argument) for argument in arguments])


def test_a_page_made_elsewhere_links_to_photographs_maps_and_masks(copied, tmp_path):
    (tmp_path / "o[").mkdir()
    run = Path(shutil.copytree(copied / "out", tmp_path / "o[/x]"))
    done = unsee("report", "../o[/x]", "--gt", copied / "masks", "--output", "../p/page.html", cwd=copied)
    assert done.out.strip() == "../p/page.html"
    page = tmp_path / "p/page.html"
    rows = rows_in(page)
    assert len(rows) == len(NAMES) + 1
    for row in rows:
        assert linked(page, row["image"]).is_file(), row
        if not row["failed"]:
            assert linked(page, row["maps"][0]).is_file()
            assert linked(page, row["mask"]).parent.samefile(copied / "masks")
            assert row["mae"] is not None
    names = {os.fsencode(linked(page, row["image"]).name) for row in rows}
    assert names == {*NAMES, b"empty.jpg"}
    assert "<script>alert" not in page.read_text()
    assert not (run / "report.html").exists()


def test_a_run_keeps_where_it_was_started(finished, tmp_path):
    unsee("report", finished / "out", "--output", tmp_path / "page.html", cwd=tmp_path)
    rows = rows_in(tmp_path / "page.html")
    assert len(rows) == len(NAMES) + 1
    assert all(linked(tmp_path / "page.html", row["image"]).is_file() for row in rows)


def test_photographs_that_are_not_found_are_said(copied, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    change(copied / "out", started_in=None)
    done = invoke("report", copied / "out")
    assert done.exit_code == 0
    assert "run unsee report in the folder in which the run was started" in done.stderr
    monkeypatch.chdir(copied)
    done = invoke("report", "out")
    assert (done.exit_code, done.stderr) == (0, "")
    shutil.move(copied / "photos", copied / "moved")
    start(copied / "out", copied)
    assert f"not below {copied}" in invoke("report", "out").stderr


def test_only_maps_of_the_run_are_scored(copied):
    for name in ("stale", "more"):
        Image.new("L", (60, 40), 255).save(copied / f"masks/{name}.png")
        Image.new("L", (60, 40), 9).save(copied / f"out/{name}.png")
    shutil.copy(copied / "out/a b.png", copied / "out/a b.mask.png")
    unsee("report", "out", cwd=copied)
    done = unsee("eval", "--pred", "out", "--gt", "masks", "--json", "r.json", "--metrics", "mae", cwd=copied, expect=3)
    result = json.loads((copied / "r.json").read_text())["results"][0]
    assert (result["images"], result["missing"], result["extra"]) == (len(NAMES), ["more", "stale"], 0)
    assert "images that the run did not make left out: 2 (more.png, stale.png)" in done.err


def test_a_comparison_scores_both_runs(copied):
    other = Path(shutil.copytree(copied / "out", copied / "other"))
    for path in other.glob("*.png"):
        Image.fromarray(255 - np.asarray(Image.open(path))).save(path)
    start(other, copied)
    unsee("report", "out", "--compare", "other", "--gt", "masks", cwd=copied)
    page = copied / "out/compare.html"
    rows = rows_in(page)
    assert len(rows) == len(NAMES)
    for row in rows:
        assert re.search(r"; error \d\.\d{3} / \d\.\d{3}$", row["text"])
        assert row["gain"] == pytest.approx(2 * row["mae"] - 1, abs=1e-6)  # the second map is the first upside down
        assert linked(page, row["mask"]).is_file()
    text = page.read_text()
    assert "scores of the first" in text and "scores of the second" in text


@pytest.mark.parametrize(
    ("arguments", "code", "said"),
    [
        (("photos",), 2, "not a run directory"),
        (("out", "--compare", "photos"), 2, "not a run directory"),
        (("out", "--compare", "npy"), 2, "keeps its maps as npy"),
        (("npy", "--compare", "out", "--gt", "masks"), 2, "keeps its maps as npy"),
        (("npy", "--gt", "masks"), 2, "--output-format files"),
        (("out", "--gt", "nowhere"), 2, "nowhere is not a folder"),
        (("out", "--gt", "photos/a b.jpg"), 2, "is not a folder"),
        (("out", "--output", "photos/a b.jpg"), 2, "is there already"),
        (("out", "--output", "masks/a b.png", "--gt", "masks"), 2, "is there already"),
        (("out", "--output", "own.html"), 2, "is there already"),
        (("out", "--output", "out"), 2, "is a folder"),
        (("out", "--output", "own.html/page.html"), 1, "cannot be written"),
        (("out", "--output", "/proc/page.html"), 1, "name another place"),
    ],
)
def test_what_cannot_be_is_one_line_and_changes_nothing(copied, monkeypatch, arguments, code, said):
    monkeypatch.chdir(copied)
    shutil.copytree(copied / "out", copied / "npy")
    plan = json.loads((copied / "npy/plan.json").read_text())
    change(copied / "npy", identity={**plan["identity"], "output_format": "npy"})
    (copied / "own.html").write_text("<!doctype html><title>mine</title>")
    before = bytes_below(copied)
    done = invoke("report", *arguments)
    assert (done.exit_code, len(done.stderr.strip().splitlines())) == (code, 1), done.stderr
    assert said in done.stderr
    assert bytes_below(copied) == before


def test_a_page_may_be_made_again_and_compares_a_run_with_itself(copied, monkeypatch):
    monkeypatch.chdir(copied)
    for _ in range(2):
        assert invoke("report", "out").exit_code == 0
        done = invoke("report", "out", "--compare", "out")
        assert (done.exit_code, done.stderr) == (0, "note: out is compared with itself\n")


@pytest.mark.parametrize("started", [None, "/where/the/photographs/were"])
def test_images_of_runs_started_elsewhere_are_the_same(copied, monkeypatch, started):
    monkeypatch.chdir(copied)
    shutil.copytree(copied / "out", copied / "other")
    change(copied / "other", started_in=started)
    done = invoke("report", "out", "--compare", "other")
    assert done.exit_code == 0, done.stderr
    assert len(rows_in(copied / "out/compare.html")) == len(NAMES)


def test_an_unfinished_run_is_said_to_be(copied, monkeypatch):
    monkeypatch.chdir(copied)
    (copied / "out/00001_stats.json").unlink()
    assert "note: out is not finished: 1 of 2 shards are done" in invoke("report", "out").stderr
    assert len(rows_in(copied / "out/report.html")) == 4
    done = invoke("eval", "--pred", "out", "--gt", "masks", "--metrics", "mae")
    assert done.exit_code == 3
    assert "shards of 2 that the run in out has yet to do: 1 (00001)" in done.stderr
    (copied / "out/00000_stats.json").unlink()
    assert invoke("report", "out").exit_code == 0


def test_masks_that_cannot_be_read_leave_a_page_without_scores(copied, monkeypatch):
    monkeypatch.chdir(copied)
    for path in (copied / "masks").iterdir():
        path.write_bytes(b"no image")
    done = invoke("report", "out", "--gt", "masks")
    assert done.exit_code == 0
    assert "mask: not_an_image" in done.stderr
    assert (
        "no pair could be scored; 0 masks without a map, 6 pairs unreadable" in (copied / "out/report.html").read_text()
    )


def test_missing_jinja2_is_said_before_any_work(copied, tmp_path):
    hide = tmp_path / "hidden"
    hide.mkdir()
    (hide / "jinja2.py").write_text("raise ModuleNotFoundError('hidden', name='jinja2')")
    env = {"PYTHONPATH": os.pathsep.join((str(hide), os.environ.get("PYTHONPATH", "")))}
    done = unsee("report", "out", "--gt", "masks", cwd=copied, env=env, expect=5)
    assert "unsee[report]" in done.err
    assert not (copied / "out/report.html").exists()
