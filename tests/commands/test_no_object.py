"""A flat image has an empty map, and rows say where there may be no object."""

import io

import numpy as np
import pytest
from PIL import Image

from unsee.tests.commands.running import FAST, rows_of, unsee
from unsee.tests.pictures import encoded, picture

FLAT = {
    "black.png": encoded(Image.new("RGB", (50, 40)), "PNG"),
    "white.jpg": encoded(Image.new("RGB", (50, 40), "white"), "JPEG"),
    "coffee.bmp": encoded(Image.new("RGB", (33, 70), (111, 78, 55)), "BMP"),
    "transparent.png": encoded(Image.new("RGBA", (50, 40), (9, 200, 30, 0)), "PNG"),
    "grey16.tif": encoded(Image.fromarray(np.full((20, 30), 31000, np.uint16)), "TIFF"),
    "pixel.gif": encoded(Image.new("P", (1, 1), 7), "GIF"),
}
MODELLESS = (("--method", "rbd"), ("--method", "rc"), ("--method", "saliency-filters"))


@pytest.fixture(scope="module")
def photographs_and_flats(tmp_path_factory):
    folder = tmp_path_factory.mktemp("flat")
    for name, data in {**FLAT, "disk.png": encoded(picture(), "PNG")}.items():
        (folder / name).write_bytes(data)
    return folder


def found(folder, out, *options):
    """Run, and return the rows and the maps by the name of their input."""
    unsee("run", folder, "--output-folder", out, *options, "--output-format", "parquet")
    rows = {row["path"].rsplit("/", 1)[-1]: row for row in rows_of(out)}
    return {name: (row, np.asarray(Image.open(io.BytesIO(row["png"])))) for name, row in rows.items()}


def assert_flats_are_empty(results):
    for name in FLAT:
        row, saliency = results[name]
        assert (row["status"], row["raw_max"], row["objectness"], row["has_object"]) == ("success", 0, 0, False), name
        assert saliency.max() == 0, name


@pytest.mark.parametrize("method", MODELLESS)
def test_flat_images_have_empty_maps_by_methods_without_a_network(photographs_and_flats, tmp_path, method):
    results = found(photographs_and_flats, tmp_path / "out", *method)
    assert_flats_are_empty(results)
    row, saliency = results["disk.png"]
    assert saliency.max() > 200
    assert row["has_object"] == (row["objectness"] >= 0.05)
    if method[1] != "saliency-filters":
        assert row["objectness"] > 0.2


@pytest.mark.parametrize("options", [(), ("--refine", "ultrametric")])
def test_flat_images_have_empty_maps_by_a_network(photographs_and_flats, tiny_bundle, tmp_path, options):
    results = found(photographs_and_flats, tmp_path / "out", "--model", tiny_bundle, *FAST, *options)
    assert_flats_are_empty(results)
    assert results["disk.png"][0]["raw_max"] > 0


def tinted_texture(random, size=160):
    """A cut from a texture of scikit-image, in a tint of its own."""
    data = pytest.importorskip("skimage.data")
    grey = np.asarray(getattr(data, ("brick", "grass", "gravel")[random.integers(3)])())
    top, left = random.integers(0, 512 - size, 2)
    return (grey[top : top + size, left : left + size, None] * random.uniform(0.4, 1, 3)).astype(np.uint8)


@pytest.mark.proof
def test_photographs_are_told_from_noise_and_textures(shared, tmp_path):
    random = np.random.default_rng(5)
    negatives = [random.integers(0, 256, (160, 160, 3), np.uint8) for _ in range(8)]
    negatives += [tinted_texture(random) for _ in range(24)]
    for number, pixels in enumerate(negatives):
        Image.fromarray(pixels).save(tmp_path / f"negative-{number}.png")
    photographs = sorted((shared / "data/ecssd-dev/images").glob("*.jpg"))[1::8]
    unsee("run", *photographs, *sorted(tmp_path.glob("*.png")), "--output-folder", tmp_path / "out", "--preset", "best")
    says = {row["path"]: row["has_object"] for row in rows_of(tmp_path / "out")}
    negative = [says[str(path)] for path in tmp_path.glob("*.png")]
    positive = [says[str(path)] for path in photographs]
    assert np.mean(positive) > 0.8
    assert np.mean(negative) < 0.15
