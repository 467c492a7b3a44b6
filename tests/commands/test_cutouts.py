"""`unsee run --output-kind`: masks, cut-outs and crops in every format, and the object's box in the rows."""

import io
import tarfile

import numpy as np
import pyarrow.parquet as pq
import pytest
from PIL import Image

from unsee.engine.outputs.rows import MAP_COLUMN
from unsee.tests.commands.running import rows_of, unsee

QUICK = ("--method", "rbd")
"""A method that needs no model."""


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """A working folder with in/: a red square on grey, upright and turned by EXIF, transparent, and a flat picture."""
    corpus = tmp_path_factory.mktemp("cutouts")
    (corpus / "in").mkdir()
    pixels = np.random.default_rng(0).integers(110, 125, (90, 160, 3)).astype(np.uint8)
    pixels[30:60, 40:90] = (200, 30, 30)
    picture = Image.fromarray(pixels)
    picture.save(corpus / "in/square.png")
    exif = Image.Exif()
    exif[0x0112] = 6  # shown turned by a quarter to the right
    picture.save(corpus / "in/turned.jpg", exif=exif, quality=95)
    Image.new("RGB", (50, 40), "teal").save(corpus / "in/flat.png")
    return corpus


@pytest.fixture(scope="module")
def outputs(folder):
    """The output folder of each kind, made by the real command."""
    kinds = ("map", "mask", "cutout", "crop")
    for kind in kinds:
        run(folder, kind, "--output-kind", kind)
        assert "every row and map is there" in unsee("verify", kind, cwd=folder).out
    return {kind: folder / kind for kind in kinds}


def run(folder, output, *options, expect=0):
    return unsee("run", "in", "--output-folder", output, *QUICK, *options, cwd=folder, expect=expect).err


def boxes(output):
    return {row["output"]: row["box"] for row in rows_of(output)}


def test_rows_hold_the_box_of_the_object_and_its_share(outputs):
    rows = {row["output"]: row for row in rows_of(outputs["map"])}
    left, top, width, height = rows["square"]["box"]
    assert abs(left - 40) < 5 and abs(top - 30) < 5 and abs(width - 50) < 9 and abs(height - 30) < 9
    assert rows["square"]["object_share"] == pytest.approx(50 * 30 / (90 * 160), rel=0.2)
    left, top, width, height = rows["turned"]["box"]  # as it is displayed: 90 wide, 160 high
    assert abs(left - 30) < 5 and abs(top - 40) < 5 and abs(width - 30) < 9 and abs(height - 50) < 9
    assert rows["flat"]["box"] is None and rows["flat"]["object_share"] == 0


def test_a_mask_is_black_and_white(outputs):
    mask = np.asarray(Image.open(outputs["mask"] / "square.png"))
    assert mask.shape == (90, 160) and set(np.unique(mask)) == {0, 255}
    assert mask[45, 65] == 255 and mask[5, 5] == 0
    assert not np.asarray(Image.open(outputs["mask"] / "flat.png")).any()


def test_a_cutout_is_the_photograph_where_the_mask_is(folder, outputs):
    cutout = Image.open(outputs["cutout"] / "square.png")
    assert cutout.mode == "RGBA"
    np.testing.assert_array_equal(cutout.getchannel("A"), Image.open(outputs["mask"] / "square.png"))
    np.testing.assert_array_equal(cutout.convert("RGB"), Image.open(folder / "in/square.png"))
    assert not np.asarray(Image.open(outputs["cutout"] / "flat.png").getchannel("A")).any()


def test_a_turned_photograph_is_cut_out_as_it_is_displayed(outputs):
    cutout = np.asarray(Image.open(outputs["cutout"] / "turned.jpg".replace("jpg", "png")))
    assert cutout.shape == (160, 90, 4)
    red, green = cutout[..., 0].astype(int), cutout[..., 1].astype(int)
    square = red - green > 100
    assert (square == (cutout[..., 3] == 255)).mean() > 0.95


def test_a_crop_is_the_box_with_a_margin(folder, outputs):
    left, top, width, height = boxes(outputs["crop"])["square"]
    aside, above = round(0.05 * width), round(0.05 * height)
    expected = Image.open(folder / "in/square.png").crop(
        (left - aside, top - above, left + width + aside, top + height + above)
    )
    np.testing.assert_array_equal(Image.open(outputs["crop"] / "square.png"), expected)
    assert Image.open(outputs["crop"] / "flat.png").size == (50, 40)  # nothing is marked: all of it
    run(folder, "wide", "--output-kind", "crop", "--margin", "10")
    assert Image.open(folder / "wide/square.png").size == (160, 90)


@pytest.mark.parametrize("kind", ["mask", "cutout", "crop"])
def test_archives_hold_the_same_pictures(folder, outputs, kind):
    run(folder, f"{kind}-tar", "--output-kind", kind, "--output-format", "webdataset")
    run(folder, f"{kind}-parquet", "--output-kind", kind, "--output-format", "parquet")
    rows = pq.read_table(folder / f"{kind}-parquet/00000.parquet").to_pylist()
    with tarfile.open(folder / f"{kind}-tar/00000.tar") as archive:
        for row in rows:
            data = (outputs[kind] / f"{row['output']}.png").read_bytes()
            member = archive.extractfile(f"{row['key']}.png")
            assert member is not None and member.read() == data == row[MAP_COLUMN]
            assert Image.open(io.BytesIO(data)).format == "PNG"
    for output in (f"{kind}-tar", f"{kind}-parquet"):
        assert "every row and map is there" in unsee("verify", output, cwd=folder).out


def test_segmented_masks_are_what_is_cut_out(folder):
    run(folder, "segmented", "--output-kind", "cutout", "--segment", "jaccard")
    alpha = Image.open(folder / "segmented/square.png").getchannel("A")
    np.testing.assert_array_equal(alpha, Image.open(folder / "segmented/square.mask.png"))


def test_a_threshold_decides_what_is_the_object(folder):
    run(folder, "all", "--output-kind", "mask", "--threshold", "0")
    run(folder, "none", "--output-kind", "mask", "--threshold", "1")
    count = [int((np.asarray(Image.open(folder / name / "square.png")) > 0).sum()) for name in ("all", "none")]
    assert count[0] > 50 * 30 > count[1] == 0


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (("--output-kind", "crop", "--output-format", "npy"), "npy holds the raw maps"),
        (("--threshold", "half"), "threshold must be otsu or a number from 0 to 1, got 'half'"),
        (("--threshold", "1.5"), "threshold must be otsu"),
        (("--threshold", "nan"), "threshold must be otsu"),
        (("--margin", "-1"), "margin must be 0 to 10"),
    ],
)
def test_what_cannot_be_is_one_line(folder, options, message):
    assert message in run(folder, "wrong", *options, expect=2)
    assert not (folder / "wrong").exists()


@pytest.mark.parametrize("kind", ["cutout", "crop"])
def test_cutouts_are_not_scored_as_maps(folder, outputs, kind):
    found = unsee("eval", "--pred", kind, "--gt", "mask", cwd=folder, expect=2).err
    assert f"whose pictures are no maps but {kind}s: make it with --output-kind map" in found
    unsee("report", kind, cwd=folder)


def test_another_kind_in_the_same_folder_is_refused(folder, outputs):
    assert "pictures.output_kind: mask then, crop now" in run(folder, "mask", "--output-kind", "crop", expect=2)


@pytest.mark.parametrize(("kind", "said"), [("cutout", "are no maps but cutouts"), ("crop", "are no maps but crops")])
def test_pictures_that_are_no_maps_are_not_promoted(folder, outputs, kind, said):
    done = unsee("promote", "--prior", kind, "--images", "in", "--model", "any", "-o", "lifted", cwd=folder, expect=2)
    assert said in done.err
    assert not (folder / "lifted").exists()
