"""Bilinear resizing of 8-bit maps, against Pillow."""

import numpy as np
import pytest
from PIL import Image

from unsee.kernels.bilinear import resized, resized_all

RNG = np.random.default_rng(13)


def by_pillow(levels, height, width):
    return np.asarray(Image.fromarray(levels).resize((width, height), Image.Resampling.BILINEAR))


def random_side():
    """Sides of 1 pixel are as likely as all others together."""
    return int(RNG.choice([1, RNG.integers(1, 90), RNG.integers(90, 260)]))


@pytest.mark.parametrize("kind", ["noise", "edges"])
def test_equals_pillow_to_the_byte(kind):
    for _ in range(60):
        levels = RNG.integers(0, 256, (4, random_side(), random_side()), np.uint8)
        if kind == "edges":
            levels = np.where(levels > 127, 255, 0).astype(np.uint8)
        sizes = [(random_side(), random_side()) for _ in range(3)]
        sizes.append(sizes[0])
        flat, offsets = resized_all(levels, sizes)
        for image, size in enumerate(sizes):
            found = flat[offsets[image] : offsets[image + 1]].reshape(size)
            np.testing.assert_array_equal(found, by_pillow(levels[image], *size), err_msg=f"{levels.shape} to {size}")


@pytest.mark.parametrize("size", [(375, 500), (500, 333), (224, 224), (100, 80), (80, 300), (300, 80), (1, 1)])
def test_maps_of_a_network(size):
    levels = RNG.integers(0, 256, (224, 224), np.uint8)
    np.testing.assert_array_equal(resized(levels, *size), by_pillow(levels, *size))
    np.testing.assert_array_equal(resized(levels.T, *size), by_pillow(np.ascontiguousarray(levels.T), *size))


def test_no_maps():
    flat, offsets = resized_all(np.zeros((0, 3, 4), np.uint8), [])
    assert flat.shape == (0,) and offsets.tolist() == [0]


@pytest.mark.parametrize(
    ("levels", "sizes", "message"),
    [
        (np.zeros((1, 3, 4)), [(3, 4)], "must be uint8"),
        (np.zeros((3, 4), np.uint8), [(3, 4)], r"must be \[B, H, W\]"),
        (np.zeros((1, 0, 4), np.uint8), [(3, 4)], "with pixels"),
        (np.zeros((2, 3, 4), np.uint8), [(3, 4)], "2 sizes"),
        (np.zeros((1, 3, 4), np.uint8), [(3, 0)], "1 pixel or more"),
    ],
)
def test_refuses_what_does_not_fit(levels, sizes, message):
    with pytest.raises(ValueError, match=message):
        resized_all(levels, sizes)
