"""Opening images: formats, check sums, ends that are missing, and limits."""

import io
import threading
import zlib

import numpy as np
import pytest
from PIL import Image, ImageFile

from unsee import jpeg, png
from unsee.errors import DecodingError
from unsee.formats import EXTENSIONS, FORMATS, foreign_format
from unsee.images import open_image
from unsee.tests.pictures import chunk, cut, encoded, flipped, interlaced_png, picture, with_chunk

PICTURE = picture(31, 23)
PNG, JPEG = encoded(PICTURE, "PNG"), encoded(PICTURE, "JPEG")
PROGRESSIVE = encoded(PICTURE, "JPEG", progressive=True)


def code_of(data, **options):
    with pytest.raises(DecodingError) as error:
        open_image(data, **options).load()
    return error.value.code


def pixels(data):
    return np.asarray(open_image(data).convert("RGB"))


def test_writer_of_interlaced_files_writes_what_pillow_reads():
    np.testing.assert_array_equal(pixels(interlaced_png(PICTURE)), np.asarray(PICTURE))


@pytest.mark.parametrize("made", [PNG, interlaced_png(PICTURE), encoded(PICTURE.quantize(8), "PNG", transparency=3)])
def test_no_flipped_bit_of_a_png_goes_unseen(made):
    start = len(png.MAGIC)
    assert {code_of(flipped(made, start, len(made) - 12, seed)) for seed in range(300)} == {"damaged"}


@pytest.mark.parametrize("file_format", [name for name in FORMATS if name not in ("DIB", "ICO")])
def test_opened_pixels_are_pillows(file_format):
    data = encoded(PICTURE, file_format)
    np.testing.assert_array_equal(pixels(data), np.asarray(Image.open(io.BytesIO(data)).convert("RGB")))


@pytest.mark.parametrize("sizes", [[(16, 12)], [(16, 12), (31, 23)]])
@pytest.mark.parametrize("bitmap", ["png", "bmp"])
def test_icons_are_no_targas(sizes, bitmap):
    opened = open_image(encoded(PICTURE, "ICO", sizes=sizes, bitmap_format=bitmap))
    assert (opened.format, opened.size) == ("ICO", max(sizes))


def test_metadata_is_left_out_and_orientation_kept():
    exif = Image.Exif()
    exif[0x0112] = 6
    made = encoded(PICTURE, "PNG", exif=exif, icc_profile=b"p" * 2_000_000)
    made = with_chunk(made, chunk(b"zTXt", b"Comment\0\0" + zlib.compress(b"a" * 2**22)))
    opened = open_image(made)
    assert opened.getexif()[0x0112] == 6
    assert opened.info.keys() == {"exif"}


def test_orientation_of_texts_is_kept_unless_they_are_large():
    text = b"XML:com.adobe.xmp\0\1\0\0\0" + zlib.compress(b'tiff:Orientation="6"')
    assert open_image(with_chunk(PNG, chunk(b"iTXt", text))).getexif()[0x0112] == 6
    bomb = b"XML:com.adobe.xmp\0\1\0\0\0" + zlib.compress(b" " * 2**24 + b'tiff:Orientation="6"')
    assert 0x0112 not in open_image(with_chunk(PNG, chunk(b"iTXt", bomb))).getexif()


@pytest.mark.parametrize(
    "made", [JPEG, PROGRESSIVE, encoded(PICTURE.convert("L"), "JPEG"), encoded(PICTURE.convert("CMYK"), "JPEG")]
)
@pytest.mark.parametrize("lacking", [1, 2])
def test_jpeg_that_lacks_its_end_only_is_whole(made, lacking):
    np.testing.assert_array_equal(pixels(made[:-lacking]), pixels(made))


@pytest.mark.parametrize("made", [JPEG, PROGRESSIVE])
def test_jpeg_that_lacks_pixels_is_damaged(made):
    assert {code_of(made[:-lacking]) for lacking in range(3, 40)} == {"damaged"}
    assert {code_of(cut(made, share / 20)) for share in range(1, 20)} == {"damaged"}


def test_progressive_jpeg_cut_between_scans_is_damaged():
    scans = [place for place in range(len(PROGRESSIVE)) if PROGRESSIVE[place : place + 2] == b"\xff\xda"]
    tables = [PROGRESSIVE.rfind(b"\xff\xc4", 0, scan) for scan in scans[1:]]
    for place in [*tables, *scans[1:]]:
        assert code_of(PROGRESSIVE[:place]) == "damaged"
    assert jpeg.has_all_scans(PROGRESSIVE)


@pytest.mark.parametrize("limit", [None, 500, 10])
def test_own_limit_of_pixels_decides_and_pillows_stays(monkeypatch, limit):
    monkeypatch.setattr(Image, "MAX_IMAGE_PIXELS", limit)
    assert open_image(PNG, most_pixels=31 * 23).size == (31, 23)
    assert code_of(PNG, most_pixels=31 * 23 - 1) == "too_large"
    assert limit == Image.MAX_IMAGE_PIXELS


def test_pillows_limit_survives_many_threads(monkeypatch):
    monkeypatch.setattr(Image, "MAX_IMAGE_PIXELS", 10)
    threads = [threading.Thread(target=open_image, args=(PNG,)) for _ in range(16)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert Image.MAX_IMAGE_PIXELS == 10


@pytest.mark.parametrize(
    ("data", "code"),
    [
        (b"", "empty_file"),
        (b"neither fish nor fowl", "not_an_image"),
        (b"<!DOCTYPE html><title>404</title>", "not_an_image"),
        (b"%PDF-1.4\n", "unsupported_format"),
        (b"\0\0\0\x1cftypisom\0\0\2\0isomiso2mp41", "unsupported_format"),
        (JPEG[:3] + b"junk", "damaged"),
        (PNG[:20], "damaged"),
    ],
)
def test_failures_have_codes(data, code):
    assert code_of(data) == code


@pytest.mark.parametrize("file_format", FORMATS)
def test_no_format_that_is_read_counts_as_foreign(file_format):
    if file_format != "DIB":
        assert foreign_format(encoded(PICTURE, file_format)) is None


def test_paths_are_opened_by_content(tmp_path):
    (tmp_path / "eps.png").write_bytes(b"%!PS-Adobe-3.0 EPSF-3.0\n")
    (tmp_path / "photo.txt").write_bytes(JPEG)
    assert code_of(tmp_path / "eps.png") == "unsupported_format"
    assert open_image(tmp_path / "photo.txt").format == "JPEG"
    with pytest.raises(FileNotFoundError):
        open_image(tmp_path / "missing.png")


def test_truncated_images_are_not_asked_for():
    assert not ImageFile.LOAD_TRUNCATED_IMAGES
    assert ".jpg" in EXTENSIONS
