"""Grey dilation and erosion."""

import numpy as np
import pytest

from unsee.errors import UnseeError
from unsee.kernels.morphology import dilate, erode
from unsee.tests import naive

RNG = np.random.default_rng(5)


def test_worked_case_cc_18():
    holed = np.zeros((1, 7, 7), np.float32)
    holed[0, 2:5, 2:5] = 1
    block = holed.copy()
    holed[0, 3, 3], holed[0, 0, 6] = 0, 0.7
    closed = erode(dilate(holed))
    with_spike = block.copy()
    with_spike[0, 0, 6] = 0.7
    np.testing.assert_array_equal(closed, with_spike)
    np.testing.assert_array_equal(dilate(erode(closed)), block)


@pytest.mark.parametrize("shape", [(2, 14, 9), (1, 1, 8), (1, 11, 1), (1, 3, 2)])
@pytest.mark.parametrize("radius", [0, 1, 3, 5])
@pytest.mark.parametrize("element", ["square", "disk"])
def test_equals_the_naive_twin(shape, radius, element):
    maps = RNG.normal(size=shape).astype(np.float32)
    offsets = {"square": naive.square, "disk": naive.disk}[element](radius)
    np.testing.assert_array_equal(dilate(maps, radius, element), [naive.dilate(one, offsets) for one in maps])
    np.testing.assert_array_equal(erode(maps, radius, element), [-naive.dilate(-one, offsets) for one in maps])


def test_nan_counts_as_zero():
    maps = np.array([[[np.nan, 2, 3, 4]]], np.float32)
    np.testing.assert_array_equal(dilate(maps), [[[2, 3, 4, 4]]])
    np.testing.assert_array_equal(erode(maps), [[[0, 0, 2, 3]]])


def test_constant_and_empty():
    np.testing.assert_array_equal(dilate(np.full((2, 3, 4), -2, np.float32), 2), np.full((2, 3, 4), -2))
    assert erode(np.zeros((0, 3, 4), np.float32)).shape == (0, 3, 4)


def test_refuses_other_elements():
    with pytest.raises(UnseeError, match="square or a disk"):
        dilate(np.zeros((1, 2, 2), np.float32), -1)
