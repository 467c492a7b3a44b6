"""sRGB to Lab against the plain formula and scikit-image."""

import numpy as np
import pytest
from skimage.color import rgb2lab

from unsee.kernels.color import rgb_to_lab
from unsee.kernels.color_sums import color_sums
from unsee.tests import naive


@pytest.fixture(scope="module")
def colours():
    """Greys, primaries and random colours, with dark ones on the straight part of the curve."""
    greys = np.repeat(np.arange(256, dtype=np.uint8), 3).reshape(256, 3)
    corners = np.array(np.meshgrid([0, 255], [0, 255], [0, 255]), np.uint8).reshape(3, 8).T
    spread = np.random.default_rng(0).integers(0, 256, (511, 3), dtype=np.uint8)
    return np.concatenate([greys, corners, spread, spread // 16]).reshape(2, 643, 1, 3)


def test_equals_the_formula(colours):
    np.testing.assert_allclose(rgb_to_lab(colours), naive.rgb_to_lab(colours), rtol=1e-5, atol=1e-5)


def test_white_black_and_red():
    lab = rgb_to_lab(np.array([[[[255, 255, 255], [0, 0, 0], [255, 0, 0]]]], np.uint8))[0, 0]
    expected = [[100, 0.0024, -0.0044], [0, 0, 0], [53.2408, 80.0949, 67.2021]]
    np.testing.assert_allclose(lab, expected, atol=2e-3)


def test_differs_from_scikit_image_only_by_the_constants(colours):
    reference = rgb2lab(colours)
    np.testing.assert_allclose(naive.rgb_to_lab(colours, naive.SCIKIT_IMAGE), reference, rtol=1e-5, atol=2e-5)
    assert abs(rgb_to_lab(colours) - reference).max() < 0.06


@pytest.mark.parametrize("shape", [(0, 5, 4, 3), (2, 0, 4, 3), (3, 1, 7, 3)])
def test_odd_shapes(shape):
    images = np.full(shape, 200, np.uint8)
    assert rgb_to_lab(images).shape == shape
    np.testing.assert_allclose(rgb_to_lab(images), naive.rgb_to_lab(images), atol=1e-4)


@pytest.mark.parametrize(
    "images", [np.zeros((1, 4, 4, 3)), np.zeros((4, 4, 3), np.uint8), np.zeros((1, 3, 4, 4), np.uint8)]
)
def test_refuses_other_arrays(images):
    with pytest.raises(ValueError, match="images must be uint8"):
        rgb_to_lab(images)


@pytest.mark.parametrize("shape", [(1, 1), (3, 1), (7, 5), (64, 80)])
def test_sums_of_colours_are_exact(shape):
    random = np.random.default_rng(0)
    image, weights = random.integers(0, 256, (*shape, 3), np.uint8), random.integers(0, 256, shape, np.uint8)
    weighted, plain, total = color_sums(image, weights)
    wide = image.astype(np.int64)
    assert np.array_equal(weighted, (wide * weights[..., None]).sum((0, 1)))
    assert np.array_equal(plain, wide.sum((0, 1))) and total == int(weights.sum(dtype=np.int64))
    whole = np.full((300, 400, 3), 255, np.uint8)
    assert color_sums(whole, whole[..., 0])[0].tolist() == [255 * 255 * 300 * 400] * 3
