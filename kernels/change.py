"""From the descended difference to the raw map (spec 1.4 step 5, 2.5), with what else is read off the difference."""

import numpy as np

from .parallel import compiled, over_images


def raw_maps(delta: np.ndarray, normalize_channels: bool) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Return (raw, magnitude, diverged) of differences, float [B, C, H, W] in grey levels.

    raw: float32 [B, H, W], the mean over channels, each scaled to 0..1 first if so asked, divided by its largest
    magnitude. magnitude: float32 [B], the largest mean change of a pixel, 0 where all are negative. diverged: bool [B],
    the difference is not finite; its map is zero. Raises ValueError for another shape or dtype.
    """
    delta = np.asarray(delta)
    if delta.dtype.kind != "f" or delta.ndim != 4:
        raise ValueError(f"differences must be float [B, C, H, W], got {delta.dtype} {list(delta.shape)}")
    batch, _, height, width = delta.shape
    raw, magnitude, diverged = (
        np.zeros((batch, height, width), np.float32),
        np.zeros(batch, np.float32),
        np.zeros(batch, bool),
    )
    over_images(
        _raw_loop, np.ascontiguousarray(delta, np.float32), raw, magnitude, diverged, constants=(normalize_channels,)
    )
    return raw, magnitude, diverged


@compiled
def _raw_loop(
    delta: np.ndarray, raw: np.ndarray, magnitude: np.ndarray, diverged: np.ndarray, normalize_channels: bool
) -> None:
    channels = delta.shape[1]
    low, extent = np.zeros(channels), np.ones(channels)
    for image in range(len(delta)):
        for channel in range(channels):
            lowest, highest, odd = _extremes(delta[image, channel])
            if normalize_channels:
                low[channel], extent[channel] = np.float64(lowest), np.float64(highest) - np.float64(lowest)
            diverged[image] |= odd != 0
        if diverged[image]:
            continue
        magnitude[image] = _largest_mean(delta[image])
        _mean_of_scaled(delta[image], low, extent, raw[image])
        lowest, highest, _ = _extremes(raw[image])
        largest = np.float64(max(highest, -lowest))
        if largest > 0:
            _divide(raw[image], largest)


@compiled
def _extremes(values: np.ndarray) -> tuple[np.float32, np.float32, np.float32]:
    """The lowest and the highest value [H, W], and 0 unless one is not finite; a row at a time, in vector code."""
    low, high, odd = values[0].copy(), values[0].copy(), np.zeros(values.shape[1], np.float32)
    for row in range(values.shape[0]):
        for column in range(values.shape[1]):
            value = values[row, column]
            low[column] = value if value < low[column] else low[column]
            high[column] = value if value > high[column] else high[column]
            odd[column] += value - value
    return low.min(), high.max(), odd.sum()


@compiled
def _largest_mean(delta: np.ndarray) -> np.float32:
    """The largest mean over channels of a pixel, 0 where all are negative."""
    channels, height, width = delta.shape
    total, largest = np.empty(width, np.float32), np.zeros(width, np.float32)
    for row in range(height):
        total[:] = 0
        for channel in range(channels):
            for column in range(width):
                total[column] += delta[channel, row, column]
        for column in range(width):
            mean = total[column] / np.float32(channels)
            largest[column] = mean if mean > largest[column] else largest[column]
    return largest.max()


@compiled
def _mean_of_scaled(delta: np.ndarray, low: np.ndarray, extent: np.ndarray, raw: np.ndarray) -> None:
    """The mean over channels of what is above `low`, in units of `extent`; a channel without extent counts as 0."""
    channels = len(delta)
    raw[:] = 0
    for channel in range(channels):
        if extent[channel] > 0:
            for row in range(raw.shape[0]):
                for column in range(raw.shape[1]):
                    raw[row, column] += np.float32((delta[channel, row, column] - low[channel]) / extent[channel])
    for row in range(raw.shape[0]):
        for column in range(raw.shape[1]):
            raw[row, column] /= np.float32(channels)


@compiled
def _divide(values: np.ndarray, divisor: float) -> None:
    for row in range(values.shape[0]):
        for column in range(values.shape[1]):
            values[row, column] = values[row, column] / divisor
