"""From differences to raw maps."""

import numpy as np
import pytest

from unsee.kernels.change import raw_maps

RNG = np.random.default_rng(3)


def naive_raw(delta, normalize_channels):
    channels = []
    for channel in delta.astype(np.float64):
        extent = channel.max() - channel.min()
        scaled = (channel - channel.min()) / extent if extent > 0 else np.zeros_like(channel)
        channels.append(scaled if normalize_channels else channel)
    raw = np.mean(channels, 0)
    return raw / abs(raw).max() if raw.any() else raw


@pytest.mark.parametrize("normalize_channels", [True, False])
def test_raw_maps_are_the_formulas(normalize_channels):
    delta = RNG.normal(0, 3, (4, 3, 9, 11)).astype(np.float32)
    delta[1, 0] = 5  # a constant channel
    delta[2] = 0
    raw, magnitude, diverged = raw_maps(delta, normalize_channels)
    for image in range(4):
        np.testing.assert_allclose(raw[image], naive_raw(delta[image], normalize_channels), atol=1e-6)
    np.testing.assert_allclose(magnitude, np.maximum(delta.mean(1).max((1, 2)), 0), rtol=1e-6)
    assert not diverged.any() and not raw[2].any()


@pytest.mark.parametrize("odd", [np.nan, np.inf, -np.inf])
def test_a_difference_that_is_not_finite_has_a_zero_map_and_leaves_its_neighbours_alone(odd):
    delta = RNG.normal(0, 3, (3, 3, 6, 6)).astype(np.float32)
    clean, _, _ = raw_maps(delta, True)
    delta[1, 2, 3, 4] = odd
    raw, magnitude, diverged = raw_maps(delta, True)
    assert diverged.tolist() == [False, True, False]
    assert not raw[1].any() and magnitude[1] == 0
    np.testing.assert_array_equal(raw[[0, 2]], clean[[0, 2]])


def test_empty_batches_and_wrong_shapes():
    raw, magnitude, diverged = raw_maps(np.zeros((0, 3, 4, 4), np.float32), True)
    assert raw.shape == (0, 4, 4) and magnitude.shape == diverged.shape == (0,)
    with pytest.raises(ValueError, match="differences must be float"):
        raw_maps(np.zeros((3, 4, 4), np.float32), True)
