"""From the descended difference to the raw map (spec 1.4 step 5, 2.5), with what else is read off the difference."""

from typing import Any

import numpy as np

from .device import empty, handed_back, is_cuda, launch_blocks, on_device
from .parallel import compiled, over_images
from .reductions import flat, largest, smallest

cuda: Any = None  # bound by launch: a CPU needs no CUDA


def raw_maps(delta: np.ndarray, normalize_channels: bool) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Return (raw, magnitude, diverged) of differences, float [B, C, H, W] in grey levels.

    raw: float32 [B, H, W], the mean over channels, each scaled to 0..1 first if so asked, divided by its largest
    magnitude. magnitude: float32 [B], the largest mean change of a pixel, 0 where all are negative. diverged: bool [B],
    the difference is not finite; its map is zero. Differences lie in memory or, float32 and contiguous, on a CUDA device;
    results lie in the same place. Raises ValueError for another shape or dtype.
    """
    if is_cuda(delta):
        return _raw_maps_cuda(delta, normalize_channels)
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


def _raw_maps_cuda(source: Any, normalize_channels: bool) -> tuple[Any, Any, Any]:
    delta = on_device("differences", source, np.float32, (None, None, None, None))
    batch, channels, height, width = delta.shape
    planes = delta.reshape(batch, channels, height * width)
    low, extent = empty((batch, channels), np.float64), empty((batch, channels), np.float64)
    odd = empty((batch, channels), np.bool_)
    launch_blocks(_extent_kernel, batch * channels, planes, normalize_channels, low, extent, odd)
    raw, magnitude = empty((batch, height, width), np.float32), empty((batch,), np.float32)
    diverged = empty((batch,), np.bool_)
    launch_blocks(_raw_kernel, batch, planes, low, extent, odd, flat(raw), magnitude, diverged)
    return handed_back(raw, source), handed_back(magnitude, source), handed_back(diverged, source)


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


def _extent_kernel(delta: Any, normalize_channels: bool, low: Any, extent: Any, odd: Any) -> None:
    """A block a channel: what to subtract and what to divide by, and whether a value is not finite."""
    lowest_of = cuda.shared.array(128, np.float32)  # THREADS of device.py: the length must be a literal
    highest_of = cuda.shared.array(128, np.float32)
    odd_of = cuda.shared.array(128, np.int32)
    channels, thread, threads = delta.shape[1], cuda.threadIdx.x, cuda.blockDim.x
    image, channel = cuda.blockIdx.x // channels, cuda.blockIdx.x % channels
    lowest, highest, not_finite = np.float32(np.inf), np.float32(-np.inf), 0
    for pixel in range(thread, delta.shape[2], threads):
        value = delta[image, channel, pixel]
        lowest = value if value < lowest else lowest
        highest = value if value > highest else highest
        not_finite = not_finite if value - value == 0 else 1
    lowest_of[thread], highest_of[thread], odd_of[thread] = lowest, highest, not_finite
    cuda.syncthreads()
    if thread == 0:
        lowest, highest = smallest(lowest_of, threads), largest(highest_of, threads)
        low[image, channel] = np.float64(lowest) if normalize_channels else 0.0
        extent[image, channel] = np.float64(highest) - np.float64(lowest) if normalize_channels else 1.0
        odd[image, channel] = largest(odd_of, threads) > 0


def _raw_kernel(delta: Any, low: Any, extent: Any, odd: Any, raw: Any, magnitude: Any, diverged: Any) -> None:
    """A block an image."""
    lowest_of = cuda.shared.array(128, np.float32)
    highest_of = cuda.shared.array(128, np.float32)
    mean_of = cuda.shared.array(128, np.float32)
    image, thread, threads = cuda.blockIdx.x, cuda.threadIdx.x, cuda.blockDim.x
    broken = _any(odd[image])
    lowest, highest, largest_mean = np.float32(np.inf), np.float32(-np.inf), np.float32(0)
    for pixel in range(thread, delta.shape[2], threads):
        mean, scaled = _means(delta, low, extent, image, pixel)
        scaled = np.float32(0) if broken else scaled
        raw[image, pixel] = scaled
        lowest = scaled if scaled < lowest else lowest
        highest = scaled if scaled > highest else highest
        largest_mean = mean if mean > largest_mean else largest_mean
    lowest_of[thread], highest_of[thread], mean_of[thread] = lowest, highest, largest_mean
    cuda.syncthreads()
    lowest, highest = smallest(lowest_of, threads), largest(highest_of, threads)
    scale = np.float64(highest if highest > -lowest else -lowest)
    for pixel in range(thread, delta.shape[2], threads):
        if scale > 0:
            raw[image, pixel] = raw[image, pixel] / scale
    if thread == 0:
        magnitude[image] = np.float32(0) if broken else largest(mean_of, threads)
        diverged[image] = broken


@compiled
def _any(flags: np.ndarray) -> bool:
    found = False
    for flag in flags:
        found = found or flag
    return found


@compiled
def _means(
    delta: np.ndarray, low: np.ndarray, extent: np.ndarray, image: int, pixel: int
) -> tuple[np.float32, np.float32]:
    """The mean over channels of one pixel, and that of what is above `low` in units of `extent`."""
    channels = delta.shape[1]
    plain, scaled = np.float32(0), np.float32(0)
    for channel in range(channels):
        value = delta[image, channel, pixel]
        plain += value
        if extent[image, channel] > 0:
            scaled += np.float32((value - low[image, channel]) / extent[image, channel])
    return plain / np.float32(channels), scaled / np.float32(channels)
