"""Contrast, colour-space smoothing and colour distribution of superpixels."""

from dataclasses import replace

import numpy as np
import pytest

from unsee.errors import UnseeError
from unsee.kernels.contrast import color_distribution, global_contrast, low_level_map, smooth_in_color_space
from unsee.kernels.pooling import SuperpixelStatistics, paint
from unsee.kernels.prune import min_max
from unsee.tests import naive

RNG = np.random.default_rng(3)


def statistics_of(batch=3, ids=13):
    color = RNG.uniform([0, -60, -60], [100, 60, 60], (batch, ids, 3)).astype(np.float32)
    position = RNG.uniform(0, 1, (batch, ids, 2)).astype(np.float32)
    return SuperpixelStatistics(color, position, np.full((batch, ids), 7, np.int32), np.full(batch, ids, np.int32))


def permuted(statistics, order):
    return SuperpixelStatistics(
        statistics.color[:, order], statistics.position[:, order], statistics.size[:, order], statistics.count
    )


def padded(statistics, extra):
    """The same superpixels with ids of size 0 between and after them."""
    batch, ids = statistics.size.shape
    places = np.sort(RNG.permutation(ids + extra)[:ids])
    color, position = np.zeros((batch, ids + extra, 3), np.float32), np.zeros((batch, ids + extra, 2), np.float32)
    size = np.zeros((batch, ids + extra), np.int32)
    color[:, places], position[:, places], size[:, places] = statistics.color, statistics.position, statistics.size
    return SuperpixelStatistics(color, position, size, statistics.count + extra), places


CC_12 = SuperpixelStatistics(
    np.array([[[50, 0, 0], [53, 4, 0], [80, 40, 0]]], np.float32),
    np.zeros((1, 3, 2), np.float32),
    np.ones((1, 3), np.int32),
    np.array([3], np.int32),
)


def test_worked_case_cc_12():
    contrast = global_contrast(CC_12)
    np.testing.assert_allclose(contrast, [[55, 50, 95]], rtol=1e-6)
    np.testing.assert_allclose(min_max(contrast[:, None])[0], [[1 / 9, 0, 1]], rtol=1e-6)


def test_worked_case_cc_15():
    weight = np.float32(0.2) + min_max(np.array([[[0, 5, 10]]], np.float32))
    np.testing.assert_allclose(weight, [[[0.2, 0.7, 1.2]]], rtol=1e-6)
    np.testing.assert_allclose(weight * np.array([1, 0.5, 0.25], np.float32), [[[0.2, 0.35, 0.3]]], rtol=1e-6)


FUNCTIONS = [
    (global_contrast, lambda color, _: naive.global_contrast(color)),
    (color_distribution, naive.color_distribution),
    (low_level_map, naive.low_level_map),
    (
        lambda statistics: smooth_in_color_space(statistics, statistics.position[..., 0]),
        lambda color, position: naive.smooth_in_color_space(color, position[:, 0].astype(float)),
    ),
]


@pytest.mark.parametrize("ids", [1, 2, 3, 6, 41])
@pytest.mark.parametrize(("fast", "plain"), FUNCTIONS, ids=["contrast", "distribution", "low level", "smoothing"])
def test_equals_the_naive_twin(fast, plain, ids):
    statistics = statistics_of(ids=ids)
    if ids == 1 and plain is FUNCTIONS[3][1]:
        np.testing.assert_allclose(fast(statistics), statistics.position[..., 0], rtol=1e-6)
        return
    pairs = zip(statistics.color, statistics.position, strict=True)
    expected = [plain(color, position) for color, position in pairs]
    np.testing.assert_allclose(fast(statistics), expected, rtol=1e-5, atol=1e-9)


@pytest.mark.parametrize(
    "fast", [pair[0] for pair in FUNCTIONS], ids=["contrast", "distribution", "low level", "smoothing"]
)
def test_ids_padding_and_batch_mates_do_not_matter(fast):
    statistics = statistics_of()
    values = fast(statistics)
    order = RNG.permutation(13)
    np.testing.assert_allclose(fast(permuted(statistics, order)), values[:, order], rtol=1e-9)
    wider, places = padded(statistics, 5)
    np.testing.assert_allclose(fast(wider)[:, places], values, rtol=1e-9)
    single = SuperpixelStatistics(*(field[1:2] for field in vars(statistics).values()))
    np.testing.assert_array_equal(fast(single)[0], values[1])


def test_smoothing_shares_the_last_place_between_ties():
    color = np.float32(
        [
            [
                [0, 0, 0],
                [1, 0, 0],
                [2, 0, 0],
                [0, 2, 0],
                [90, 0, 0],
                [95, 0, 0],
                [99, 0, 0],
                [80, 0, 0],
                [70, 0, 0],
                [60, 0, 0],
                [50, 0, 0],
                [40, 0, 0],
            ]
        ]
    )
    statistics = SuperpixelStatistics(
        color, np.zeros((1, 12, 2), np.float32), np.ones((1, 12), np.int32), np.array([12], np.int32)
    )
    values = np.zeros((1, 12))
    values[0, :4] = [8, 4, 2, 6]  # m = 3: itself, the one at 1, and half each of the two at 2; T = 3
    expected = ((3 - 0) * 8 + (3 - 1) * 4 + (3 - 2) * (2 + 6) / 2) / (2 * 3)
    assert smooth_in_color_space(statistics, values)[0, 0] == pytest.approx(expected)


def test_smoothing_over_two_is_the_identity():
    statistics = statistics_of(ids=6)
    np.testing.assert_allclose(
        smooth_in_color_space(statistics, statistics.position[..., 1]), statistics.position[..., 1]
    )


def test_equal_colours_give_a_zero_map():
    statistics = replace(statistics_of(), color=np.full((3, 13, 3), 40, np.float32))
    assert not low_level_map(statistics).any()
    np.testing.assert_allclose(smooth_in_color_space(statistics, np.ones((3, 13))), 1)


def test_the_centre_prior_favours_the_middle():
    statistics = statistics_of(batch=1, ids=13)
    plain, prior = low_level_map(statistics)[0], low_level_map(statistics, centre_sigma=0.2)[0]
    away = ((statistics.position[0] - 0.5) ** 2).sum(-1)
    expected = naive.min_max(plain * np.exp(-away / (2 * 0.2**2)))
    np.testing.assert_allclose(prior, expected, rtol=1e-5, atol=1e-9)


def test_empty_batch_and_bad_parameters():
    assert low_level_map(statistics_of(batch=0)).shape == (0, 13)
    with pytest.raises(UnseeError, match="sigma_color must be positive"):
        low_level_map(statistics_of(), sigma_color=0)
    with pytest.raises(ValueError, match="values must be"):
        smooth_in_color_space(statistics_of(), np.zeros((1, 2)))


def test_values_can_be_painted():
    assert paint(global_contrast(CC_12), np.array([[[0, 1, 2]]])).tolist() == [[[55, 50, 95]]]
