"""Robust background detection on superpixels."""

import numpy as np
import pytest

from unsee.kernels.background import background_weight, optimum
from unsee.kernels.pooling import rescaled
from unsee.kernels.region_graph import RegionGraph
from unsee.tests import naive

RNG = np.random.default_rng(11)


def some_regions(count=12, absent=3):
    """Regions of two images, with their colours; the second image lacks the last ones, and one in the middle."""
    color = RNG.random((2, count, 3)) * 40
    present = np.ones((2, count), bool)
    present[1, -absent:] = present[1, 4] = False
    touching = RNG.random((2, count, count)) < 0.2
    touching = (touching | touching.transpose(0, 2, 1)) & ~np.eye(count, dtype=bool)
    touching &= present[:, :, None] & present[:, None]
    border = (RNG.random((2, count)) < 0.4) & present
    return color, RegionGraph(color, touching, border, present)


def test_background_weight_is_the_formulas():
    color, regions = some_regions()
    weights = background_weight(regions)
    for image, present in enumerate(regions.present):
        border = regions.border[image][present]
        graph = regions.touching[image][np.ix_(present, present)] | (border[:, None] & border)
        expected = naive.background_weight(color[image][present], graph, border)
        np.testing.assert_allclose(weights[image][present], expected, rtol=1e-5)  # paths are in single precision
        assert not weights[image][~present].any()


@pytest.mark.parametrize("floor", [0.0, 0.1])
def test_optimum_is_the_formulas(floor):
    color, regions = some_regions()
    foreground, background = RNG.random((2, *regions.present.shape))
    values = optimum(regions, foreground, background, floor)
    for image, present in enumerate(regions.present):
        expected = naive.background_optimum(
            color[image][present],
            regions.touching[image][np.ix_(present, present)],
            regions.border[image][present],
            foreground[image][present],
            background[image][present],
            floor,
        )
        np.testing.assert_allclose(values[image][present], expected, rtol=1e-9)
        assert not values[image][~present].any()


def test_optimum_of_one_region_alone_weighs_both_sides():
    alone = RegionGraph(np.zeros((1, 1, 3)), np.zeros((1, 1, 1), bool), np.ones((1, 1), bool), np.ones((1, 1), bool))
    assert optimum(alone, np.full((1, 1), 0.6), np.full((1, 1), 0.2))[0, 0] == pytest.approx(0.75, abs=1e-5)
    assert background_weight(alone)[0, 0] == pytest.approx(1 - np.exp(-0.5))


def test_without_foreground_or_regions_nothing_is_salient():
    _, regions = some_regions()
    nothing = np.zeros(regions.present.shape)
    assert not optimum(regions, nothing, nothing).any()
    empty = RegionGraph(np.zeros((1, 0, 3)), np.zeros((1, 0, 0), bool), np.zeros((1, 0), bool), np.zeros((1, 0), bool))
    assert background_weight(empty).shape == optimum(empty, np.zeros((1, 0)), np.zeros((1, 0))).shape == (1, 0)


def test_values_are_rescaled_over_regions_that_exist():
    values, present = np.array([[2.0, 4.0, 3.0, 9.0], [5.0, 5.0, 5.0, 0.0]]), np.array([[True] * 3 + [False]] * 2)
    assert rescaled(values, present).tolist() == [[0, 1, 0.5, 0], [0, 0, 0, 0]]
