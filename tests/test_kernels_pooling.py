"""Superpixel means, statistics and painting."""

import numpy as np
import pytest

from unsee.kernels.pooling import (
    count_labels,
    paint,
    single_row,
    superpixel_mean,
    superpixel_statistics,
    superpixel_values,
    weighed,
)
from unsee.tests import naive

RNG = np.random.default_rng(2)


def test_worked_case_cc_11():
    mean = superpixel_mean(np.array([[[0, 1, 2], [3, 4, 5]]], np.float32), np.array([[[0, 0, 1], [0, 1, 1]]]))
    np.testing.assert_allclose(mean[0], [[4 / 3, 4 / 3, 11 / 3], [4 / 3, 11 / 3, 11 / 3]], rtol=1e-6)


@pytest.mark.parametrize("shape", [(3, 13, 22), (2, 17, 1), (1, 1, 9)])
def test_mean_equals_the_naive_twin_and_ignores_ids(shape):
    maps, labels = RNG.normal(size=shape).astype(np.float32), RNG.integers(0, 6, shape)
    mean = superpixel_mean(maps, labels)
    expected = [naive.superpixel_mean(*pair) for pair in zip(maps, labels, strict=True)]
    np.testing.assert_allclose(mean, expected, rtol=1e-5, atol=1e-6)
    np.testing.assert_array_equal(mean, superpixel_mean(maps, RNG.permutation(6)[labels]))


def test_nan_counts_as_zero_and_stays_in_its_superpixel():
    maps = np.array([[[np.nan, 3, 5, 7]]], np.float32)
    np.testing.assert_array_equal(superpixel_mean(maps, np.array([[[0, 0, 1, 1]]])), [[[1.5, 1.5, 6, 6]]])


def test_a_constant_map_is_its_own_mean():
    maps = np.full((2, 9, 11), 0.3, np.float32)
    np.testing.assert_array_equal(superpixel_mean(maps, RNG.integers(0, 4, maps.shape)), maps)


def test_statistics_by_hand():
    lab = np.array([[[[10, 2, 0], [30, 4, 0], [50, 0, 9]], [[20, 0, 0], [np.nan, 0, 9], [70, 0, 9]]]], np.float32)
    statistics = superpixel_statistics(lab, np.array([[[0, 0, 2], [0, 2, 2]]]))
    np.testing.assert_allclose(statistics.color, [[[20, 2, 0], [0, 0, 0], [40, 0, 9]]])
    np.testing.assert_allclose(statistics.position, [[[1 / 9, 1 / 6], [0, 0], [5 / 9, 1 / 3]]], rtol=1e-6)
    assert statistics.size.tolist() == [[3, 0, 3]]
    assert statistics.count.tolist() == [3]


def test_statistics_pad_the_shorter_images():
    labels = np.zeros((2, 4, 5), int)
    labels[1, 2:] = 1
    statistics = superpixel_statistics(np.ones((2, 4, 5, 3), np.float32), labels)
    assert statistics.size.tolist() == [[20, 0], [10, 10]]
    assert statistics.count.tolist() == [1, 2]


def test_paint_gives_each_pixel_its_value():
    labels = np.array([[[0, 1], [1, 2]], [[1, 0], [0, 0]]])
    painted = paint(np.array([[5, 6, 7], [1, 2, 3]]), labels)
    assert painted.tolist() == [[[5, 6], [6, 7]], [[2, 1], [1, 1]]]


def test_a_count_of_labels_pads_and_is_checked():
    maps, labels = RNG.random((2, 3, 4), np.float32), RNG.integers(0, 3, (2, 3, 4))
    labels[0, 0, 0] = 2
    assert count_labels(labels) == 3
    padded = superpixel_values(maps, labels, 5)
    np.testing.assert_array_equal(padded, np.pad(superpixel_values(maps, labels), ((0, 0), (0, 2))))
    assert superpixel_statistics(np.zeros((2, 3, 4, 3), np.float32), labels, 5).size.shape == (2, 5)
    with pytest.raises(ValueError, match="labels must be below 2, got 2"):
        superpixel_values(maps, labels, 2)
    with pytest.raises(ValueError, match="do not fit"):
        paint(padded, labels, 6)


def test_weighing_multiplies_by_what_is_painted():
    maps, labels, values = np.full((1, 2, 2), 3, np.float32), np.array([[[0, 1], [1, 1]]]), np.array([[0.5, 2.0]])
    np.testing.assert_array_equal(weighed(maps, values, labels, 0.25), [[[2.25, 6.75], [6.75, 6.75]]])
    assert single_row(values).shape == (1, 1, 2) and single_row(values).dtype == np.float32


def test_empty_batch():
    empty = np.zeros((0, 4, 5), int)
    assert superpixel_mean(np.zeros((0, 4, 5), np.float32), empty).shape == (0, 4, 5)
    assert superpixel_statistics(np.zeros((0, 4, 5, 3), np.float32), empty).color.shape == (0, 0, 3)


@pytest.mark.parametrize(
    ("labels", "message"), [(np.zeros((1, 4, 4), int), "labels must be integers"), (np.full((1, 4, 5), -1), "negative")]
)
def test_refuses_labels_that_do_not_fit(labels, message):
    with pytest.raises(ValueError, match=message):
        superpixel_mean(np.zeros((1, 4, 5), np.float32), labels)


def test_paint_refuses_too_few_values():
    with pytest.raises(ValueError, match="do not fit"):
        paint(np.zeros((1, 2)), np.full((1, 3, 3), 2))
