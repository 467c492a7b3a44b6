"""The class for Ray Data: on batches as Ray hands them over, and within a pipeline of two actors."""

import io

import numpy as np
import pytest
from PIL import Image

from unsee.engine.detector import Detector
from unsee.engine.ray_data import Maps
from unsee.errors import UnseeError
from unsee.tests.commands.running import unsee


@pytest.fixture(scope="module")
def maps(tiny_bundle):
    return Maps(str(tiny_bundle), device="cpu")


def as_column(values):
    column = np.empty(len(values), object)
    column[:] = values
    return column


def test_rows_hold_the_maps_that_a_detector_makes(maps, tiny_bundle, photographs):
    paths = sorted(photographs.glob("*.*g"))[:3]
    batch = {
        "bytes": as_column([path.read_bytes() for path in paths]),
        "path": as_column([str(path) for path in paths]),
    }
    found = maps(batch)
    expected = Detector(tiny_bundle, device="cpu")(paths)
    assert set(found) == {
        *("path", "png", "status", "error_message", "width", "height", "box", "label_name", "score"),
    }
    for place, one in enumerate(expected):
        assert np.array_equal(np.asarray(Image.open(io.BytesIO(found["png"][place]))), one.map)
        assert (found["height"][place], found["width"][place]) == one.map.shape
        assert (found["box"][place], found["label_name"][place], found["score"][place]) == (
            one.box,
            one.label,
            one.score,
        )
    arrays = np.stack([np.asarray(Image.open(path).convert("RGB").resize((40, 30))) for path in paths])
    assert [len(png) > 60 for png in maps({"image": arrays})["png"]] == [True] * 3
    by_path = maps({"path": batch["path"]})
    assert by_path["png"].tolist() == found["png"].tolist() and "path" not in by_path


def test_failed_images_are_rows(maps, photographs):
    whole = (photographs / "00.jpg").read_bytes()
    found = maps({"bytes": as_column([whole[:200], whole, b""])})
    assert found["status"].tolist() == ["failed", "success", "failed"]
    assert found["png"][0] is None and "empty" in found["error_message"][2]


def test_a_batch_without_images_is_one_error(maps):
    with pytest.raises(UnseeError, match="rows have no column bytes or image or path, but text: name it with column="):
        maps({"text": as_column(["x"])})


def test_columns_are_named_and_kept(tiny_bundle, photographs):
    named = Maps(str(tiny_bundle), column="photo", keep=True, device="cpu")
    found = named({"photo": as_column([(photographs / "01.png").read_bytes()]), "n": np.array([7])})
    assert found["photo"][0][:4] == b"\x89PNG" and found["n"].tolist() == [7]


@pytest.mark.ray
def test_a_pipeline_of_two_actors(tiny_bundle, photographs, tmp_path):
    ray = pytest.importorskip("ray", reason="ray is not installed (the ray extra)")
    data = pytest.importorskip("ray.data")

    (tmp_path / "in").mkdir()
    for path in sorted(photographs.glob("*.*g")):
        (tmp_path / "in" / path.name).write_bytes(path.read_bytes())
    (tmp_path / "in/cut.jpg").write_bytes((photographs / "00.jpg").read_bytes()[:200])
    ray.init(num_cpus=4, include_dashboard=False, log_to_driver=False, logging_level="ERROR")
    try:
        data.DataContext.get_current().enable_progress_bars = False
        rows = data.read_binary_files(str(tmp_path / "in"), include_paths=True).map_batches(
            Maps, batch_size=4, concurrency=2, fn_constructor_kwargs={"model": str(tiny_bundle), "device": "cpu"}
        )
        found = {row["path"].rpartition("/")[2]: row for row in rows.take_all()}
    finally:
        ray.shutdown()
    assert len(found) == 11 and found["cut.jpg"]["status"] == "failed"
    unsee("run", tmp_path / "in", "--model", tiny_bundle, "-o", tmp_path / "out", "--device", "cpu", expect=3)
    for path in (tmp_path / "out").glob("*.png"):
        row = next(row for name, row in found.items() if name.startswith(path.stem))
        assert row["png"] == path.read_bytes()
