"""The sums behind the weighted F-measure."""

import numpy as np
import pytest
from scipy.ndimage import distance_transform_edt

from unsee.kernels.weighted import weighted_errors
from unsee.tests import naive

RNG = np.random.default_rng(8)
VALUES = np.arange(256) / 255


@pytest.mark.parametrize("shape", [(15, 22), (9, 1), (1, 12), (1, 1), (31, 8)])
@pytest.mark.parametrize("share", [0.03, 0.3, 1.0])
def test_equals_the_naive_twin(shape, share):
    mask = RNG.random(shape) < share
    mask.flat[RNG.integers(mask.size)] = True
    saliency = RNG.integers(0, 256, shape, dtype=np.uint8)
    found = weighted_errors(saliency[None], np.uint8(255) * mask[None], VALUES[None])[0]
    np.testing.assert_allclose(found, naive.weighted_errors(saliency / 255, mask), rtol=1e-12, atol=1e-12)


def test_takes_the_nearest_pixels_that_scipy_takes():
    """Only one mask pixel is wrong: it shows in the blurred errors of others wherever it is nearest."""
    for _ in range(20):
        mask = RNG.random((12, 14)) < 0.08
        mask[RNG.integers(12), RNG.integers(14)] = True
        saliency = RNG.integers(0, 256, mask.shape, dtype=np.uint8)
        errors = abs(saliency / 255 - mask)
        rows, columns = distance_transform_edt(~mask, return_distances=False, return_indices=True)
        padded, offsets = np.pad(errors[rows, columns], 3), np.arange(-3, 4)
        taps = np.exp(-(offsets[:, None] ** 2 + offsets**2) / 50)
        blurred = [(taps * padded[y : y + 7, x : x + 7]).sum() / taps.sum() for y, x in np.argwhere(mask)]
        expected = np.minimum(errors[mask], blurred).sum()
        found = weighted_errors(saliency[None], np.uint8(255) * mask[None], VALUES[None])[0, 0]
        assert found == pytest.approx(expected, rel=1e-12)


def test_an_empty_mask_gives_zeros_and_a_full_one_the_plain_error():
    saliency = RNG.integers(0, 256, (2, 20, 20), dtype=np.uint8)
    masks = np.zeros_like(saliency)
    masks[1] = 255
    sums = weighted_errors(saliency, masks, np.stack([VALUES, VALUES]))
    assert sums[0].tolist() == [0, 0, 0]
    assert sums[1, 1:].tolist() == [0, 400]


def test_far_errors_weigh_exactly_two():
    mask = np.zeros((1, 2, 600), np.uint8)
    mask[0, 0, 0] = 255
    saliency = np.zeros_like(mask)
    saliency[0, :, 500:] = 255
    assert weighted_errors(saliency, mask, VALUES[None])[0, 1] == 400
