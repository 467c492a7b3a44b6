"""Columns of COCO in the rows, and indexes of a run, read by the libraries whose formats they are."""

import json
import tarfile

import numpy as np
import pyarrow.parquet as pq
import pytest
from PIL import Image
from pycocotools import mask as coco_masks
from pycocotools.coco import COCO

from unsee.tests.commands.running import FAST, bytes_below, rows_of, unsee

WITH = ("--rows-with", "rle,box")
LIGHT = ("--method", "rbd", "--number-sample-per-shard", 5)


@pytest.fixture(scope="module")
def finished(photographs, tmp_path_factory):
    """A run with all columns, one of whose images is damaged; maps in the rows."""
    folder = tmp_path_factory.mktemp("index")
    (folder / "photos").mkdir()
    for path in sorted(photographs.glob("*.*g")):
        (folder / "photos" / path.name).write_bytes(path.read_bytes())
    Image.new("RGB", (40, 30), (9, 9, 9)).save(folder / "photos/flat.png")
    (folder / "photos/cut.jpg").write_bytes((photographs / "00.jpg").read_bytes()[:200])
    words = ("--output-format", "parquet", "--output-folder", "rows", *WITH, *LIGHT)
    unsee("run", "photos", *words, cwd=folder, expect=3)
    return folder


def test_columns_are_those_of_the_mask(finished, tmp_path):
    unsee("run", finished / "photos", "-o", "masks", "--output-kind", "mask", *LIGHT, cwd=tmp_path, expect=3)
    for row in rows_of(finished / "rows"):
        if row["status"] != "success":
            assert (row["segmentation"], row["area"], row["bbox"]) == (None, None, None)
            continue
        mask = np.asarray(Image.open(tmp_path / "masks" / f"{row['output']}.png")) > 0
        assert np.array_equal(coco_masks.decode(row["segmentation"]), mask)
        assert row["area"] == mask.sum()
        if row["output"] == "flat":
            assert (row["area"], row["bbox"]) == (0, [0, 0, 0, 0])
            continue
        rows, columns = np.nonzero(mask)
        left, top = columns.min(), rows.min()
        assert row["bbox"] == [left, top, columns.max() + 1 - left, rows.max() + 1 - top]


def test_only_what_is_asked_for_is_there(photographs, tmp_path):
    for words, names in (((), set()), (("--rows-with", "box"), {"area", "bbox"})):
        folder = tmp_path / f"out{len(words)}"
        unsee("run", photographs, "-o", folder, *words, *LIGHT)
        found = set(pq.read_schema(folder / "00000.parquet").names)
        assert found & {"area", "bbox", "segmentation"} == names
    said = unsee("run", photographs, "-o", tmp_path / "x", "--rows-with", "polygon", *LIGHT, expect=2).err
    assert "rows come with rle or box, not with 'polygon'" in said
    said = unsee("run", photographs, "-o", tmp_path / "out0", *WITH, *LIGHT, expect=2).err
    assert "another configuration" in said


def test_a_resumed_and_a_retried_run_keep_the_columns(photographs, tmp_path):
    (tmp_path / "in").mkdir()
    for path in sorted(photographs.glob("*.*g")):
        (tmp_path / "in" / path.name).write_bytes(path.read_bytes())
    (tmp_path / "in/cut.jpg").write_bytes((photographs / "00.jpg").read_bytes()[:200])
    words = ("run", "in", "-o", "out", "--output-format", "webdataset", *WITH, *LIGHT)
    unsee(*words, cwd=tmp_path, expect=3)
    whole = bytes_below(tmp_path / "out")
    (tmp_path / "out/00001_stats.json").unlink()
    unsee(*words, cwd=tmp_path, expect=3)
    assert bytes_below(tmp_path / "out")["00001.parquet"] == whole["00001.parquet"]
    unsee(*words, "--retry-errors", "all", cwd=tmp_path, expect=3)
    assert bytes_below(tmp_path / "out")["00001.tar"] == whole["00001.tar"]
    unsee("verify", "out", cwd=tmp_path)
    with tarfile.open(tmp_path / "out/00000.tar") as archive:
        said = json.loads(archive.extractfile(next(one for one in archive if one.name.endswith(".json"))).read())
    assert said["segmentation"]["counts"] and said["bbox"]


def test_coco_reads_the_index(finished, capsys):
    unsee("index", "rows", "--as", "coco", "--images", "photos", cwd=finished)
    index = COCO(finished / "rows/labels.json")
    capsys.readouterr()
    rows = {row["output"]: row for row in rows_of(finished / "rows")}
    images = index.loadImgs(index.getImgIds())
    assert [image["file_name"] for image in images] == sorted(
        path.name for path in (finished / "photos").iterdir() if path.name != "cut.jpg"
    )
    for image in images:
        name = image["file_name"].split(".")[0]
        assert (image["width"], image["height"]) == (rows[name]["width"], rows[name]["height"])
        annotations = index.loadAnns(index.getAnnIds(image["id"]))
        assert len(annotations) == (name != "flat")
        for one in annotations:
            assert index.annToMask(one).sum() == one["area"] == rows[name]["area"]
            assert one["bbox"] == rows[name]["bbox"] and one["iscrowd"] == 0


def test_datasets_reads_the_rows(finished, monkeypatch, tmp_path):
    monkeypatch.setenv("HF_HOME", str(tmp_path))
    datasets = pytest.importorskip("datasets")
    unsee("index", "rows", "--as", "huggingface", cwd=finished)
    found = datasets.load_dataset(str(finished / "rows"), cache_dir=str(tmp_path / "cache"))["train"]
    rows = rows_of(finished / "rows")
    assert len(found) == len(rows) == 12
    for one, row in zip(found, rows, strict=True):
        assert (one["path"], one["status"], one["bbox"]) == (row["path"], row["status"], row["bbox"])
        if row["status"] == "success":
            assert one["png"].size == (row["width"], row["height"])
            assert one["segmentation"] == row["segmentation"]
        else:
            assert one["png"] is None


def test_names_are_seen_from_where_the_run_was_started(finished, tmp_path):
    unsee("index", finished / "rows", "--as", "coco", "--images", finished / "photos", cwd=tmp_path)
    images = json.loads((finished / "rows/labels.json").read_text())["images"]
    assert images[0]["file_name"] == "00.jpg"


def test_files_of_somebody_else_are_left_alone(finished):
    (finished / "rows/README.md").write_text("# my notes\n")
    said = unsee("index", "rows", "--as", "huggingface", cwd=finished, expect=2).err
    assert "README.md is there, and not of unsee: move it away" in said
    assert (finished / "rows/README.md").read_text() == "# my notes\n"
    (finished / "rows/README.md").unlink()
    unsee("index", "rows", "--as", "huggingface", cwd=finished)
    unsee("index", "rows", "--as", "huggingface", cwd=finished)  # over our own


def test_the_order_of_words_decides_nothing(photographs, tmp_path):
    words = ("run", photographs / "01.png", "-o", tmp_path / "out", *LIGHT)
    unsee(*words, "--rows-with", "rle,box")
    assert "nothing left to do" in unsee(*words, "--rows-with", "box,rle,box").err


def test_what_has_no_index_says_so(photographs, tiny_bundle, tmp_path):
    unsee("run", photographs, "--model", tiny_bundle, "-o", tmp_path / "out", *FAST)
    said = unsee("index", tmp_path / "out", "--as", "coco", expect=2).err
    assert "its rows have no box and no rle: run it with --rows-with rle,box" in said
    assert (
        "--images belongs to --as coco"
        in unsee("index", tmp_path / "out", "--as", "huggingface", "--images", "x", expect=2).err
    )
    (tmp_path / "out/00000_stats.json").unlink()
    unsee("index", tmp_path / "out", "--as", "huggingface")  # another shard is done
    unsee("index", tmp_path, "--as", "coco", expect=2)
