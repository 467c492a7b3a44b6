"""What `unsee eval` refuses before any work: places that hold something else, options that do not fit, hostile lists."""

import json
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from PIL import Image
from typer.testing import CliRunner

from unsee.cli.app import app
from unsee.tests.commands.running import bytes_below


def invoke(*arguments):
    return CliRunner().invoke(app, ["eval", *arguments])


@pytest.fixture
def small(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The working folder: a mask, a map, and files that evaluations did not make."""
    mask = Image.fromarray(np.array([[0, 255, 255], [0, 0, 255]], np.uint8))
    for name in ("gt/a.png", "pred/a.png", "photo.jpg"):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        mask.save(tmp_path / name)
    (tmp_path / "own.json").write_text(json.dumps({"config": "mine"}))
    pq.write_table(pa.table({"key": ["a"]}), tmp_path / "own.parquet")
    monkeypatch.chdir(tmp_path)
    return tmp_path


@pytest.mark.parametrize(
    ("options", "code", "said"),
    [
        (("--json", "gt/a.png"), 2, "gt/a.png is there already"),
        (("--per-image", "pred/a.png"), 2, "pred/a.png is there already"),
        (("--curves", "pred/a.png"), 2, "pred/a.png is there already"),
        (("--json", "own.json"), 2, "own.json is there already"),
        (("--per-image", "own.parquet"), 2, "own.parquet is there already"),
        (("--curves", "photo.jpg"), 2, "photo.jpg is there already"),
        (("--json", "gt"), 2, "gt is a folder"),
        (("--json", "x", "--per-image", "x"), 2, "the same"),
        (("--json", "photo.jpg/x"), 1, "cannot be written"),
        (("--curves", "/proc/x.png"), 1, "cannot be written"),
        (("--curves", "c.png", "--metrics", "mae"), 2, "fmeasure"),
        (("--metrics", "nothing"), 2, "choose from"),
        (("--gt", "nowhere"), 2, "nowhere is not a folder"),
        (("--gt", "photo.jpg"), 2, "photo.jpg is not a folder"),
    ],
)
def test_places_that_are_not_ours_are_refused_before_any_work(small, options, code, said):
    before = bytes_below(small)
    done = invoke("--pred", "pred", "--gt", "gt", *options)
    assert (done.exit_code, len(done.stderr.strip().splitlines())) == (code, 1), done.stderr
    assert said in done.stderr
    assert bytes_below(small) == before


DATASETS = '{"D": {"mask": {"path": "gt"}}}'


@pytest.mark.parametrize(
    ("datasets", "methods"),
    [
        ("[" * 200000, "{}"),
        ("null", "{}"),
        ("[1, 2]", "{}"),
        (DATASETS, '{"M": {"D": 5}}'),
        (DATASETS, '{"M": {"D": {"path": 5}}}'),
        (DATASETS, '{"M": {"D": {"path": "pred", "prefix": 7}}}'),
        (DATASETS, '{"M": {"D": {"path": null}}}'),
        (DATASETS, '{"M": {"D": {"path": "a\\u0000b"}}}'),
        (DATASETS, '{"M\\ud800": {"D": {"path": "pred"}}}'),
        ('{"D": {"masks": {}}}', '{"M": {"D": {"path": "pred"}}}'),
        (DATASETS, '{"M": {"E": {"path": "pred"}}}'),
    ],
)
def test_hostile_lists_of_the_toolkit_are_one_line(small, datasets, methods):
    (small / "d.json").write_text(datasets)
    (small / "m.json").write_text(methods)
    done = invoke("--dataset-json", "d.json", "--method-json", "m.json")
    assert (done.exit_code, len(done.stderr.strip().splitlines())) == (2, 1), done.stderr


def test_maps_that_are_their_own_masks_are_a_warning(small):
    (small / "d.json").write_text(DATASETS)
    (small / "m.json").write_text('{"M": {"D": {"path": "./gt"}}}')
    for options in (("--dataset-json", "d.json", "--method-json", "m.json"), ("--pred", "gt", "--gt", "gt/../gt")):
        done = invoke(*options, "--metrics", "mae", "--strict")
        assert done.exit_code == 3
        assert "warning: maps that are their own masks: 1 (a)" in done.stderr


def test_a_folder_inside_the_other_is_no_part_of_it(small):
    done = invoke("--pred", ".", "--gt", "gt", "--metrics", "mae", "--strict")
    assert done.exit_code == 0, done.stderr
    assert "note: files of the other folder, which lies inside, left out: 1 (a.png)" in done.stderr


def test_links_to_folders_are_followed_once(small):
    (small / "data").mkdir()
    (small / "data/linked").symlink_to(small / "gt")
    (small / "data/back").symlink_to(small / "data")
    assert invoke("--pred", "pred", "--gt", "data", "--metrics", "mae", "--strict").exit_code == 0
