"""Output formats: what each stores, that equal runs give equal bytes, and that verify notices every fault."""

import io
import json
import re
import shutil
import tarfile

import numpy as np
import pyarrow.parquet as pq
import pytest
from PIL import Image

from unsee.engine.cleanup.presets import PRESETS, Preset
from unsee.engine.inputs.sources import Sources
from unsee.engine.outputs.layout import Sharding
from unsee.engine.outputs.output_formats import map_reader
from unsee.engine.outputs.plan import read_plan
from unsee.engine.outputs.sink import stored_rows
from unsee.engine.run import run
from unsee.engine.run_config import Resumption, RunConfig
from unsee.engine.verify import faults
from unsee.export.bundles.descent_config import DescentConfig


def png_of(image):
    buffer = io.BytesIO()
    image.save(buffer, "PNG")
    return buffer.getvalue()


FORMATS = ("files", "webdataset", "parquet", "npy", "dummy")
GOOD = png_of(Image.new("RGB", (10, 10), "red"))
BAD = b"x" * len(GOOD)  # a plan notices a file of another size
QUICK = Preset("reference", DescentConfig(iterations=2), PRESETS["reference"].post)


@pytest.fixture(scope="module")
def mixed(photographs, tmp_path_factory):
    """The photographs and two files that are none, in the middle."""
    folder = shutil.copytree(photographs, tmp_path_factory.mktemp("mixed") / "in")
    (folder / "02b.jpg").touch()
    (folder / "05b.jpg").write_bytes(BAD)
    return folder


def all_rows(folder):
    return [row for shard in range(3) for row in stored_rows(folder, shard)]


def configured(mixed, folder, model, output_format, **options):
    return RunConfig(
        Sources((str(mixed),)), str(folder), model=str(model), preset=QUICK, device="cpu", batch_size=3,
        shards=Sharding(5), output_format=output_format, **options,
    )  # fmt: skip


@pytest.fixture(scope="module")
def runs(mixed, tiny_model, tmp_path_factory):
    """One run of every format."""
    folders = {name: tmp_path_factory.mktemp(name) for name in FORMATS}
    for name, folder in folders.items():
        run(configured(mixed, folder, tiny_model, name))
    return folders


def test_rows_are_the_same_in_every_format_but_for_the_digest_of_the_map(runs):
    def rows(name):
        return [row.__dict__ | {"map_sha256": None} for row in all_rows(runs[name])]

    assert len(rows("files")) == 14
    assert all(rows(name) == rows("files") for name in FORMATS)


def test_tar_holds_map_and_row_of_every_success(runs):
    with tarfile.open(runs["webdataset"] / "00000.tar") as archive:
        infos = archive.getmembers()
        names = [info.name for info in infos]
        assert names == [f"00000000{place}.{kind}" for place in (0, 1, 2, 4) for kind in ("png", "json")]
        assert {(info.mtime, info.uid, info.gid) for info in infos} == {(0, 0, 0)}
        row = json.load(archive.extractfile("000000001.json"))
        assert row == stored_rows(runs["webdataset"], 0)[1].printed()


def test_parquet_holds_the_png(runs):
    table = pq.read_table(runs["parquet"] / "00000.parquet").to_pylist()
    for row in table:
        if row["status"] == "success":
            assert Image.open(io.BytesIO(row["png"])).size == (row["width"], row["height"])
        else:
            assert row["png"] is None


def test_array_is_aligned_with_the_rows(runs):
    maps, rows = np.load(runs["npy"] / "00000.npy"), stored_rows(runs["npy"], 0)
    assert maps.shape == (5, 48, 48)
    assert maps.dtype == np.float32
    assert [bool(saliency.any()) for saliency in maps] == [row.status == "success" for row in rows]
    assert maps.max() == pytest.approx(1)


def test_maps_are_the_same_in_files_tar_and_parquet(runs):
    plan = read_plan(runs["files"])
    readers = [
        [map_reader(runs[name], shard, name) for shard in range(3)] for name in ("files", "webdataset", "parquet")
    ]
    for shard in range(3):
        for planned in plan.rows(shard):
            first, *others = [reader[shard](planned) for reader in readers]
            assert all(other == first for other in others)


@pytest.mark.parametrize("name", FORMATS)
def test_equal_runs_give_equal_bytes(runs, mixed, tiny_model, tmp_path, name):
    run(configured(mixed, tmp_path, tiny_model, name, workers=4))
    for path in runs[name].rglob("*"):
        if path.is_file() and "_stats" not in path.name:
            assert (tmp_path / path.relative_to(runs[name])).read_bytes() == path.read_bytes(), path


@pytest.mark.parametrize("name", FORMATS)
def test_failures_are_tried_again_and_the_rest_is_kept(runs, mixed, tiny_model, tmp_path, name):
    folder, config = (
        shutil.copytree(runs[name], tmp_path / "out"),
        configured(mixed, tmp_path / "out", tiny_model, name),
    )
    before = all_rows(folder)
    try:
        (mixed / "05b.jpg").write_bytes(GOOD)
        run(config, resumption=Resumption(retry=frozenset({"timeout"})))
        assert all_rows(folder) == before
        run(config, resumption=Resumption(retry=frozenset({"timeout", "not_an_image"})))
    finally:
        (mixed / "05b.jpg").write_bytes(BAD)
    changed = [(old, new) for old, new in zip(before, all_rows(folder), strict=True) if old != new]
    assert [(old.error_code, new.status) for old, new in changed] == [("not_an_image", "success")]
    assert list(faults(folder)) == []


@pytest.mark.parametrize("name", FORMATS)
def test_verify_finds_nothing_wrong_with_a_good_run(runs, name):
    assert list(faults(runs[name])) == []


def flip_last_byte(path):
    data = bytearray(path.read_bytes())
    data[-1] ^= 1
    path.write_bytes(data)


def miscount(path):
    path.write_text(json.dumps(json.loads(path.read_text()) | {"successes": 99}))


@pytest.mark.parametrize(
    ("damage", "message"),
    [
        (lambda folder: (folder / "01.png").unlink(), "the map of .*01.png is missing"),
        (lambda folder: flip_last_byte(folder / "01.png"), "is not the one that was written"),
        (lambda folder: (folder / "00001_stats.json").unlink(), "shard 00001: not done"),
        (lambda folder: (folder / "00001.parquet").write_bytes(b"PAR1"), "shard 00001: .*00001.parquet cannot be read"),
        (lambda folder: shutil.copy(folder / "00000.parquet", folder / "00001.parquet"), "or other keys"),
        (lambda folder: miscount(folder / "00001_stats.json"), "counts of the done-mark"),
    ],
)
def test_verify_names_every_fault(runs, tmp_path, damage, message):
    folder = shutil.copytree(runs["files"], tmp_path / "out")
    damage(folder)
    found = "\n".join(faults(folder))
    assert re.search(message, found), found
