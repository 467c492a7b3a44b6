"""Decoding: every mode, every orientation, and files that are not what they say."""

import io

import numpy as np
import pytest
from PIL import Image, ImageOps

from unsee.engine.decoding import strips
from unsee.engine.decoding.color_modes import to_rgb
from unsee.engine.decoding.decoded_image import DecodingConfig
from unsee.engine.decoding.decoding import decode, on_grid
from unsee.engine.decoding.orientation import ORIENTATION_TAG
from unsee.errors import DecodingError
from unsee.resizing import FILTERS, Resizing

GRID = DecodingConfig(8)
STORED = {2: 0, 3: 3, 4: 1, 5: 5, 6: 2, 7: 6, 8: 4}
"""How Pillow turns an upright image into the stored one of each EXIF orientation."""


def encoded(image, file_format="PNG", **options):
    buffer = io.BytesIO()
    image.save(buffer, file_format, **options)
    return buffer.getvalue()


def decoded(image, file_format="PNG", **options):
    return decode(encoded(image, file_format, **options), GRID)


def corners():
    """A picture whose four corners tell every orientation apart, and whose sides differ."""
    grey = np.zeros((20, 40), np.uint8)
    grey[:10, :20], grey[:10, 20:], grey[10:, :20] = 250, 150, 50
    return Image.fromarray(grey)


@pytest.mark.parametrize("mode", "1 L LA P PA RGB RGBA RGBX RGBa La CMYK YCbCr HSV LAB I F I;16 I;16B".split())
@pytest.mark.parametrize("size", [(5, 3), (1, 7)])
def test_every_mode_becomes_rgb(mode, size):
    rgb = to_rgb(Image.new(mode, size))
    assert rgb.mode == "RGB"
    assert rgb.size == size


def test_16_bit_grey_is_divided_by_257():
    grey = np.array([[0, 257, 25700, 65535]], np.uint16)
    np.testing.assert_array_equal(np.asarray(to_rgb(Image.fromarray(grey)))[0, :, 0], [0, 1, 100, 255])


def test_float_and_32_bit_grey_are_stretched_and_bad_values_do_no_harm():
    grey = np.array([[-1, 0, 1, np.nan]], np.float32)
    np.testing.assert_array_equal(np.asarray(to_rgb(Image.fromarray(grey)))[0, :, 0], [0, 128, 255, 128])
    whole = np.array([[-10, 0, 10]], np.int32)
    np.testing.assert_array_equal(np.asarray(to_rgb(Image.fromarray(whole)))[0, :, 2], [0, 128, 255])
    assert np.asarray(to_rgb(Image.fromarray(np.full((2, 2), 7, np.float32)))).max() == 0


def test_transparency_is_laid_over_white():
    pixels = np.array([[[10, 20, 30, 255], [10, 20, 30, 0], [0, 0, 0, 128]]], np.uint8)
    rgb = np.asarray(to_rgb(Image.fromarray(pixels)))
    np.testing.assert_array_equal(rgb[0], [[10, 20, 30], [255, 255, 255], [127, 127, 127]])
    palette = Image.new("P", (1, 1))
    palette.info["transparency"] = 0
    assert np.asarray(to_rgb(palette)).min() == 255


def test_lab_goes_through_its_profile():
    grey = np.asarray(to_rgb(Image.new("LAB", (1, 1), (128, 128, 128))))[0, 0].astype(int)
    assert abs(grey - 119).max() <= 2  # L* = 50 is sRGB 119


@pytest.mark.parametrize("orientation", range(1, 9))
def test_orientation_is_applied_as_displayed(orientation):
    upright = corners()
    stored = upright.transpose(STORED[orientation]) if orientation > 1 else upright
    exif = Image.Exif()
    exif[ORIENTATION_TAG] = orientation
    shown = decoded(stored, exif=exif)
    np.testing.assert_array_equal(shown.pixels, on_grid(upright, GRID).pixels)
    assert (shown.width, shown.height, shown.orientation) == (40, 20, orientation)


@pytest.mark.parametrize("orientation", range(1, 9))
@pytest.mark.parametrize("mode", ["stretch", "letterbox"])
@pytest.mark.parametrize(("sides", "boxed"), [((12, 20), (0, 1, 20, 10)), ((20, 12), (0, 7, 12, 6))])
def test_unequal_sides_are_those_of_the_image_as_displayed(sides, boxed, mode, orientation):
    stored = corners().transpose(STORED[orientation]) if orientation > 1 else corners()
    exif = Image.Exif()
    exif[ORIENTATION_TAG] = orientation
    config = DecodingConfig(20, resizing=Resizing(mode, padding=7, sides=sides))
    shown = decode(encoded(stored, exif=exif), config)
    left, top, width, height = boxed if mode == "letterbox" else (0, 0, sides[1], sides[0])
    assert shown.frame == (left, top, width, height) and shown.pixels.shape == (20, 20, 3)
    part = shown.pixels[top : top + height, left : left + width].astype(int)
    expected = corners().convert("RGB").resize((width, height), Image.Resampling.BILINEAR)
    assert np.abs(part - np.asarray(expected)).max() <= 1
    rest = shown.pixels.copy()
    rest[top : top + height, left : left + width] = 7
    assert (rest == 7).all()


def test_orientation_can_be_ignored_and_nonsense_is_upright():
    exif = Image.Exif()
    exif[ORIENTATION_TAG] = 6
    ignored = decode(encoded(corners(), exif=exif), DecodingConfig(8, exif=False))
    assert (ignored.width, ignored.height, ignored.orientation) == (40, 20, 1)
    exif[ORIENTATION_TAG] = 77
    assert decoded(corners(), exif=exif).orientation == 1


def test_first_frame_of_an_animation_counts():
    frames = [Image.new("RGB", (9, 9), color) for color in ("red", "blue")]
    first = decoded(frames[0], "GIF", save_all=True, append_images=frames[1:])
    np.testing.assert_array_equal(first.pixels[0, 0], [255, 0, 0])


def test_one_pixel_image():
    assert decoded(Image.new("RGB", (1, 1), "red")).pixels.shape == (8, 8, 3)


@pytest.mark.parametrize(
    ("data", "code"),
    [
        (b"", "empty_file"),
        (b"neither fish nor fowl", "not_an_image"),
        (b"%!PS-Adobe-3.0 EPSF-3.0\n", "unsupported_format"),
        (encoded(Image.effect_noise((64, 64), 90))[:900], "damaged"),
        (encoded(corners(), "JPEG")[:200], "damaged"),
    ],
)
def test_failures_have_codes(data, code):
    with pytest.raises(DecodingError) as error:
        decode(data, GRID)
    assert error.value.code == code


def test_large_images_are_refused_before_their_pixels_are_read():
    bomb = encoded(Image.new("1", (3000, 3000)))
    with pytest.raises(DecodingError, match="3000x3000 is more than 1000000 pixels"):
        decode(bomb, DecodingConfig(8, max_pixels=1_000_000))


def test_orientation_examples_look_alike(shared):
    files = sorted((shared / "data/hostile").glob("exif_orientation_examples__Portrait_[1-8].jpg"))
    images = [decode(file.read_bytes(), DecodingConfig(32)) for file in files]
    assert len(images) == 8
    assert {image.orientation for image in images} == set(range(1, 9))
    for image in images:
        assert image.height > image.width
        assert abs(image.pixels.astype(int) - images[0].pixels).mean() < 6


@pytest.mark.parametrize("mode", "RGBA LA La P I F I;16 LAB".split())
def test_strips_make_the_bytes_of_a_whole(mode, monkeypatch):
    random = np.random.default_rng(0)
    channels = [Image.fromarray(random.integers(0, 256, (37, 53), np.uint8)) for _ in range(4)]
    image = {
        "RGBA": lambda: Image.merge("RGBA", channels),
        "LA": lambda: Image.merge("LA", channels[:2]),
        "La": lambda: Image.merge("LA", channels[:2]).convert("La"),
        "P": lambda: with_transparency(Image.merge("RGB", channels[:3]).quantize(64)),
        "I": lambda: Image.fromarray(random.integers(-(2**31), 2**31 - 1, (37, 53), np.int32)),
        "F": lambda: Image.fromarray(random.normal(0, 1e4, (37, 53)).astype(np.float32)),
        "I;16": lambda: Image.fromarray(random.integers(0, 2**16, (37, 53), np.uint16)),
        "LAB": lambda: Image.merge("LAB", channels[:3]),
    }[mode]()
    whole = to_rgb(image)
    monkeypatch.setattr(strips, "STRIP", 200)
    np.testing.assert_array_equal(np.asarray(to_rgb(image)), np.asarray(whole))


@pytest.mark.parametrize("resample", FILTERS)
@pytest.mark.parametrize("sides", [(53, 37), (300, 40), (40, 300), (1, 400), (400, 1)])
def test_images_of_any_size_are_resized_as_pillow_does(sides, resample, monkeypatch):
    """An image that loses more height than width is resized along its columns first."""
    noise = Image.fromarray(np.random.default_rng(1).integers(0, 256, (*sides, 3), np.uint8))
    expected = np.asarray(noise.resize((24, 24), FILTERS[resample]))
    for strip in (strips.STRIP, 500, 7):
        monkeypatch.setattr(strips, "STRIP", strip)
        found = decode(encoded(noise, "PNG"), DecodingConfig(24, resizing=Resizing(resample=resample)))
        np.testing.assert_array_equal(found.pixels, expected)


@pytest.mark.parametrize("orientation", range(1, 9))
def test_images_are_resized_as_if_they_had_been_turned_before(orientation):
    for sides in [(90, 120), (300, 40), (40, 300), (24, 60)]:
        noise = Image.fromarray(np.random.default_rng(2).integers(0, 256, (*sides, 3), np.uint8))
        tag = Image.Exif()
        tag[ORIENTATION_TAG] = orientation
        upright = ImageOps.exif_transpose(Image.open(io.BytesIO(encoded(noise, "PNG", exif=tag))))
        for resample in FILTERS:
            found = decode(encoded(noise, "PNG", exif=tag), DecodingConfig(24, resizing=Resizing(resample=resample)))
            np.testing.assert_array_equal(found.pixels, np.asarray(upright.resize((24, 24), FILTERS[resample])))


def with_transparency(image):
    image.info["transparency"] = bytes(range(0, 256, 4))
    return image


@pytest.mark.parametrize("exif", [True, False])
@pytest.mark.parametrize("orientation", [2, 3, 5, 6, 8])
def test_tiff_is_turned_once_or_not_at_all(orientation, exif):
    stored = corners()
    turned = decode(encoded(stored, "TIFF", tiffinfo={ORIENTATION_TAG: orientation}), DecodingConfig(8, exif=exif))
    tag = Image.Exif()
    tag[ORIENTATION_TAG] = orientation
    expected = decode(encoded(stored, "PNG", exif=tag), DecodingConfig(8, exif=exif))
    np.testing.assert_array_equal(turned.pixels, expected.pixels)
    assert (turned.width, turned.height, turned.orientation) == (expected.width, expected.height, expected.orientation)


@pytest.mark.parametrize(("exif", "size"), [(True, (20, 40)), (False, (40, 20))])
def test_tiff_that_is_turned_by_its_xmp_only(exif, size):
    stored = encoded(corners(), "TIFF", tiffinfo={700: b'<x tiff:Orientation="6"/>'})
    shown = decode(stored, DecodingConfig(8, exif=exif))
    expected = corners().transpose(Image.Transpose.ROTATE_270) if exif else corners()
    np.testing.assert_array_equal(shown.pixels, on_grid(expected, GRID).pixels)
    assert (shown.width, shown.height, shown.orientation) == (*size, 6 if exif else 1)
