"""Scaling, Otsu's threshold and pruning."""

import numpy as np
import pytest

from unsee.errors import UnseeError
from unsee.kernels.prune import (
    brighten,
    min_max,
    normalize,
    otsu_threshold,
    prune_hard,
    prune_share,
    prune_soft,
    sigmoid,
)
from unsee.tests import naive

RNG = np.random.default_rng(4)
CC_03_MAP = np.array([[[0.1628572252, 0.4885716757]]], np.float32)


@pytest.mark.parametrize("mode", ["linf", "l2", "l1"])
def test_worked_case_cc_04_algorithm_order(mode):
    pruned = prune_soft(CC_03_MAP, 0.2)
    np.testing.assert_allclose(pruned, [[[0, 0.2885716757]]], rtol=1e-6)
    np.testing.assert_array_equal(normalize(pruned, mode), [[[0, 1]]])


@pytest.mark.parametrize(("mode", "expected"), [("l2", [0.1162277660, 0.7486832981]), ("linf", [0.1333333333, 0.8])])
def test_worked_case_cc_04_prose_order(mode, expected):
    np.testing.assert_allclose(prune_soft(normalize(CC_03_MAP, mode), 0.2)[0, 0], expected, rtol=1e-6)


@pytest.mark.parametrize("mode", ["linf", "l2", "l1", "minmax"])
def test_normalization_by_hand_and_zero_maps(mode):
    maps = np.array([[[3, -4, 0]], [[0, 0, 0]], [[np.nan, 0, 2]]], np.float32)
    expected = {"linf": [0.75, -1, 0], "l2": [0.6, -0.8, 0], "l1": [3 / 7, -4 / 7, 0], "minmax": [1, 0, 4 / 7]}[mode]
    np.testing.assert_allclose(normalize(maps, mode), [[expected], [[0, 0, 0]], [[0, 0, 1]]], rtol=1e-6)


def test_min_max_of_a_constant_map_is_zero():
    assert not min_max(np.full((2, 3, 5), 7, np.float32)).any()
    assert min_max(np.zeros((0, 3, 5), np.float32)).shape == (0, 3, 5)


@pytest.mark.parametrize("shape", [(4, 31, 17), (3, 1, 40), (2, 25, 1)])
def test_otsu_equals_graythresh(shape):
    maps = (RNG.gamma(2, 3, shape) + 20 * (RNG.random(shape) > 0.7)).astype(np.float32)
    np.testing.assert_allclose(otsu_threshold(maps), [naive.otsu_level(one) for one in maps], rtol=1e-12)


def test_otsu_of_two_values_is_the_mean_of_all_levels_between():
    two = np.array([[[0.25, 0.25, 1, 1, 1]]], np.float32)  # bins 64 and 255: levels 64..254 separate them equally well
    np.testing.assert_allclose(otsu_threshold(two), (64 + 254) / 2 / 255)


def test_otsu_of_one_value_is_zero():
    maps = np.array([[[0, 0]], [[3, 3]], [[-1, -2]], [[np.nan, np.nan]]], np.float32)
    assert otsu_threshold(maps).tolist() == [0, 0, 0, 0]


def test_hard_pruning_keeps_values_unchanged():
    maps = np.array([[[0.1, 0.2, 2.0, 3.0, np.nan]], [[0, 0, 0, 0, 0]]], np.float32)
    level = otsu_threshold(maps)[0]
    assert 0.2 < 1.3 * level * 3 < 2
    np.testing.assert_array_equal(prune_hard(maps), [[[0, 0, np.float32(2.0), 3, 0]], [[0, 0, 0, 0, 0]]])


def test_soft_pruning_takes_one_theta_a_map():
    maps = np.array([[[1, 3, np.nan]], [[5, 2, -1]]], np.float32)
    np.testing.assert_array_equal(prune_soft(maps, np.array([1, 2])), [[[0, 2, 0]], [[3, 0, 0]]])


def test_an_infinite_value_counts_as_the_largest_number():
    maps = np.array([[[1, 2, np.inf, -np.inf]]], np.float32)
    largest = np.finfo(np.float32).max
    assert otsu_threshold(maps)[0] == otsu_threshold(np.array([[[1, 2, largest, 0]]], np.float32))[0] > 0
    np.testing.assert_array_equal(prune_hard(maps, 1.0), [[[0, 0, largest, 0]]])


def test_pruning_by_a_share_of_the_maximum():
    maps = np.array([[[1, 5, np.nan]], [[8, 2, -1]], [[-3, -1, -2]]], np.float32)
    expected = [[[0, 3.75, 0]], [[6, 0, 0]], [[0, 0, 0]]]
    np.testing.assert_array_equal(prune_share(maps, 0.25), expected)
    assert prune_share(maps[:0], 0.25).shape == (0, 1, 3)


def test_brightening_clips_and_cuts():
    maps = np.array([[[0.1, 0.125, 0.25, 0.9, np.nan]]], np.float32)
    np.testing.assert_array_equal(brighten(maps, 2, 0.25), [[[0, 0, 0.5, 1, 0]]])


def test_sigmoid_is_the_formula():
    maps = RNG.random((2, 5, 7), np.float32)
    np.testing.assert_allclose(sigmoid(maps, 12, 0.4), 1 / (1 + np.exp(-12 * (maps.astype(float) - 0.4))), rtol=1e-5)
    assert sigmoid(maps, 12, 0.4).dtype == np.float32


def test_refuses_an_unknown_mode():
    with pytest.raises(UnseeError, match="choose one of linf, l2, l1, minmax"):
        normalize(CC_03_MAP, "max")  # type: ignore[arg-type]
