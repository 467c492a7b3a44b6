"""Resizing of many planes at once, against Pillow; on a CUDA device: maps_on_cuda.py."""

import numpy as np
import pytest
from PIL import Image

from unsee.kernels.resampling import columns_first
from unsee.kernels.resampling_on_device import Resize, resized_images
from unsee.resizing import FILTERS

RNG = np.random.default_rng(13)


def random_side():
    """Sides of 1 pixel are as likely as all others together."""
    return int(RNG.choice([1, RNG.integers(1, 90), RNG.integers(90, 260)]))


def each(flat, sizes):
    """The planes of which a flat array is made."""
    ends = np.cumsum([height * width for height, width in sizes])[:-1]
    return [part.reshape(size) for part, size in zip(np.split(flat, ends), sizes, strict=True)]


@pytest.mark.parametrize("resample", FILTERS)
def test_equals_pillow_to_the_byte(resample):
    for _ in range(20):
        before = [(random_side(), random_side()) for _ in range(4)]
        after = [(random_side(), random_side()) for _ in range(3)]
        after.append(after[0])
        planes = [RNG.integers(0, 256, size, np.uint8) for size in before]
        resizes = [Resize(old, new, columns_first(old, new)) for old, new in zip(before, after, strict=True)]
        flat = resized_images(np.concatenate([plane.ravel() for plane in planes]), resizes, resample=resample)
        for plane, found in zip(planes, each(flat, after), strict=True):
            expected = np.asarray(Image.fromarray(plane).resize(found.shape[::-1], FILTERS[resample]))
            np.testing.assert_array_equal(found, expected, err_msg=f"{plane.shape} to {found.shape}")


def test_planes_become_pixels():
    sizes = [((30, 40), (24, 24)), ((50, 20), (7, 9))]
    images = [RNG.integers(0, 256, (*before, 3), np.uint8) for before, _ in sizes]
    resizes = [Resize(*size, columns_first(*size)) for size in sizes]
    flat = resized_images(np.concatenate([image.transpose(2, 0, 1).ravel() for image in images]), resizes, 3, "lanczos")
    expected = [
        Image.fromarray(image).resize(after[::-1], FILTERS["lanczos"])
        for image, (_, after) in zip(images, sizes, strict=True)
    ]
    np.testing.assert_array_equal(flat, np.concatenate([np.asarray(image).ravel() for image in expected]))


def test_planes_that_are_turned_afterwards_are_resized_in_the_order_that_is_asked_for():
    before, after = (90, 50), (40, 48)
    plane = RNG.integers(0, 256, before, np.uint8)
    order = columns_first(before[::-1], after[::-1])
    found = resized_images(plane.ravel(), [Resize(before, after, not order)]).reshape(after)
    upright = Image.fromarray(plane).transpose(Image.Transpose.ROTATE_90)
    expected = np.asarray(upright.resize(after, Image.Resampling.BILINEAR))
    np.testing.assert_array_equal(np.rot90(found), expected)


def test_no_planes():
    assert resized_images(np.zeros(0, np.uint8), []).shape == (0,)


@pytest.mark.parametrize(
    ("planes", "sizes", "message"),
    [
        (np.zeros(12), ((3, 4), (3, 4)), r"must be uint8 \[12\], got float64"),
        (np.zeros((3, 4), np.uint8), ((3, 4), (3, 4)), r"got uint8 \[3, 4\]"),
        (np.zeros(11, np.uint8), ((3, 4), (3, 4)), r"got uint8 \[11\]"),
        (np.zeros(0, np.uint8), ((0, 4), (3, 4)), "1 pixel or more"),
        (np.zeros(12, np.uint8), ((3, 4), (3, 0)), "1 pixel or more"),
    ],
)
def test_refuses_what_does_not_fit(planes, sizes, message):
    with pytest.raises(ValueError, match=message):
        resized_images(planes, [Resize(*sizes, False)])
