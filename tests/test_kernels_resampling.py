"""Resizing of 8-bit images and maps, against Pillow."""

import numpy as np
import pytest
from PIL import Image

from unsee.kernels.resampling import SUPPORT, resized
from unsee.resizing import FILTERS

RNG = np.random.default_rng(14)


def by_pillow(image, height, width, resample):
    return np.asarray(Image.fromarray(image).resize((width, height), FILTERS[resample]))


def random_side():
    """Sides of 1 pixel are as likely as small ones and as large ones."""
    return int(RNG.choice([1, RNG.integers(1, 60), RNG.integers(60, 260)]))


@pytest.mark.parametrize("resample", FILTERS)
@pytest.mark.parametrize("channels", [(), (3,), (4,)])
def test_equals_pillow_to_the_byte(resample, channels):
    for turn in range(60):
        image = RNG.integers(0, 256, (random_side(), random_side(), *channels), np.uint8)
        if turn % 2:
            image = np.where(image > 127, 255, 0).astype(np.uint8)  # overshoots at every edge
        size = random_side(), random_side()
        if channels == (4,):  # Pillow weighs colours by their opacity: what it does to each channel is asked for
            expected = np.dstack([by_pillow(image[..., channel], *size, resample) for channel in range(4)])
        else:
            expected = by_pillow(image, *size, resample)
        np.testing.assert_array_equal(resized(image, *size, resample), expected, err_msg=f"{image.shape} to {size}")


@pytest.mark.parametrize("size", [(3000, 4000), (320, 320), (300, 400), (224, 224), (31, 33), (1, 1)])
@pytest.mark.parametrize("resample", FILTERS)
def test_sizes_of_photographs(size, resample):
    image = RNG.integers(0, 256, (300, 400, 3), np.uint8)
    np.testing.assert_array_equal(resized(image, *size, resample), by_pillow(image, *size, resample))


def test_an_image_that_does_not_lie_row_by_row():
    image = RNG.integers(0, 256, (40, 50, 3), np.uint8)
    for view in (image.transpose(1, 0, 2), image[::-1, ::2], image[..., ::-1]):
        expected = by_pillow(np.ascontiguousarray(view), 33, 35, "lanczos")
        np.testing.assert_array_equal(resized(view, 33, 35, "lanczos"), expected)


def test_an_image_of_that_size_already():
    image = RNG.integers(0, 256, (7, 9), np.uint8)
    np.testing.assert_array_equal(resized(image, 7, 9, "bicubic"), image)


def test_filters_are_those_of_the_input_specification():
    assert set(SUPPORT) == set(FILTERS)


@pytest.mark.parametrize(
    ("image", "size", "message"),
    [
        (np.zeros((3, 4)), (3, 4), "must be uint8"),
        (np.zeros(4, np.uint8), (3, 4), r"\[H,W\]"),
        (np.zeros((0, 4), np.uint8), (3, 4), "with pixels"),
        (np.zeros((3, 4), np.uint8), (3, 0), "1 pixel or more"),
    ],
)
def test_refuses_what_does_not_fit(image, size, message):
    with pytest.raises(ValueError, match=message):
        resized(image, *size)
