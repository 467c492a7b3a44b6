"""Histograms of maps over masks, and counts at thresholds."""

import numpy as np
import pytest

from unsee.kernels.sweep import joint_histogram, quadrant_histograms, threshold_counts
from unsee.tests import naive

RNG = np.random.default_rng(7)
SHAPES = [(3, 13, 22), (2, 17, 1), (1, 1, 9), (2, 1, 1)]


def pair_of(shape):
    return RNG.integers(0, 256, shape, dtype=np.uint8), RNG.integers(0, 256, shape, dtype=np.uint8)


@pytest.mark.parametrize("shape", SHAPES)
@pytest.mark.parametrize("foreground_above", [0, 25, 128])
def test_histograms_equal_the_naive_twin(shape, foreground_above):
    maps, masks = pair_of(shape)
    expected = [naive.joint_histogram(*pair, foreground_above) for pair in zip(maps, masks, strict=True)]
    np.testing.assert_array_equal(joint_histogram(maps, masks, foreground_above), expected)


def test_counts_equal_comparing_every_pixel():
    maps, masks = pair_of((1, 19, 23))
    keys = np.sort(RNG.random(256)).round(2)  # with ties
    thresholds = np.array([-1, 0, 0.25, 0.5, 0.5001, 0.99, 2])
    true_positives, false_positives = threshold_counts(joint_histogram(maps, masks)[0], keys, thresholds)
    for index, threshold in enumerate(thresholds):
        chosen = keys[maps[0]] >= threshold
        assert true_positives[index] == (chosen & (masks[0] > 128)).sum()
        assert false_positives[index] == (chosen & (masks[0] <= 128)).sum()


@pytest.mark.parametrize("shape", SHAPES)
def test_quadrants_are_the_histograms_of_the_parts(shape):
    maps, masks = pair_of(shape)
    masks[0] = 0  # an empty mask divides at the middle
    histograms, splits = quadrant_histograms(maps, masks)
    for index, (rows, columns) in enumerate(splits.tolist()):
        inside = np.argwhere(masks[index] > 128)
        middle = inside.mean(0).round() if len(inside) else np.round([shape[1] / 2, shape[2] / 2])
        assert [rows, columns] == (middle + 1).tolist()
        parts = [np.s_[:rows, :columns], np.s_[:rows, columns:], np.s_[rows:, :columns], np.s_[rows:, columns:]]
        expected = [naive.joint_histogram(maps[index][part], masks[index][part]) for part in parts]
        np.testing.assert_array_equal(histograms[index], expected)


def test_empty_batch_and_mismatch():
    nothing = np.zeros((0, 3, 4), np.uint8)
    assert joint_histogram(nothing, nothing).shape == (0, 2, 256)
    with pytest.raises(ValueError, match=r"uint8 \[B, H, W\], got uint8 \[1, 3, 4\] and uint8 \[1, 4, 3\]"):
        joint_histogram(np.zeros((1, 3, 4), np.uint8), np.zeros((1, 4, 3), np.uint8))
