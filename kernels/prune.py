"""Scaling and pruning of maps: min-max and norms (spec 0.4), Otsu's threshold, hard and soft pruning (spec 2.5).

Maps are float32 [B, H, W]; a pixel that is NaN counts as 0. A zero map stays a zero map.
"""

from typing import Literal, get_args

import numpy as np

from ..errors import UnseeError
from .checks import check_maps
from .parallel import compiled, over_images

Normalization = Literal["linf", "l2", "l1", "minmax"]
BINS = 256


def normalize(maps: np.ndarray, mode: Normalization) -> np.ndarray:
    """Divide each map by its norm (linf: largest magnitude, l2, l1) or rescale it to 0..1 (minmax), spec 0.4.

    A map whose norm (minmax: whose range) is 0 gives zeros. Raises UnseeError for an unknown mode.
    """
    modes = get_args(Normalization)
    if mode not in modes:
        raise UnseeError(f"unknown normalization {mode!r}: choose one of {', '.join(modes)}")
    maps = check_maps(maps)
    scaled = np.empty_like(maps)
    over_images(_normalize_loop, maps, scaled, constants=(modes.index(mode),))
    return scaled


def min_max(maps: np.ndarray) -> np.ndarray:
    """Rescale each map to 0..1; a constant map gives zeros (mm of spec 0.1)."""
    return normalize(maps, "minmax")


def otsu_threshold(maps: np.ndarray) -> np.ndarray:
    """Otsu's level of each map divided by its maximum, as MATLAB's graythresh finds it over 256 bins.

    Returns float64 [B], in 0..1; 0 for a map without positive values. Where several levels separate equally well, their
    mean. Negative values count as 0.
    """
    maps = check_maps(maps)
    levels = np.empty(len(maps))
    over_images(_otsu_loop, maps, levels)
    return levels


def prune_hard(maps: np.ndarray, factor: float = 1.3) -> np.ndarray:
    """Keep values above factor * Otsu's level * maximum of their map, unchanged; the others become 0 (spec 2.5)."""
    maps = np.nan_to_num(check_maps(maps))
    threshold = factor * otsu_threshold(maps) * maps.max(axis=(1, 2), initial=0)
    return np.where(maps > threshold[:, None, None], maps, np.float32(0))


def prune_soft(maps: np.ndarray, theta: float | np.ndarray) -> np.ndarray:
    """max(S - theta, 0), theta in units of the map: one number, or one a map [B] (spec 2.2 step 5)."""
    theta = np.asarray(theta, np.float32).reshape(-1, 1, 1)
    return np.maximum(np.nan_to_num(check_maps(maps)) - theta, np.float32(0))


@compiled
def _normalize_loop(maps: np.ndarray, scaled: np.ndarray, mode: int) -> None:
    for image in range(len(maps)):
        offset, scale = _offset_and_scale(maps[image], mode)
        for row in range(maps.shape[1]):
            for column in range(maps.shape[2]):
                value = maps[image, row, column]
                value = np.float32(0) if np.isnan(value) else value
                scaled[image, row, column] = (value - offset) / scale if scale > 0 else 0.0


@compiled
def _offset_and_scale(values: np.ndarray, mode: int) -> tuple[float, float]:
    """What to subtract and what to divide by, in the order of `Normalization`."""
    lowest, highest, absolute, squares = np.inf, -np.inf, 0.0, 0.0
    for row in range(values.shape[0]):
        for column in range(values.shape[1]):
            value = np.float64(values[row, column])
            value = 0.0 if np.isnan(value) else value
            lowest, highest = min(lowest, value), max(highest, value)
            absolute += abs(value)
            squares += value * value
    if mode == 0:
        return 0.0, max(highest, -lowest)
    if mode == 1:
        return 0.0, np.sqrt(squares)
    return (0.0, absolute) if mode == 2 else (lowest, highest - lowest)


@compiled
def _otsu_loop(maps: np.ndarray, levels: np.ndarray) -> None:
    histogram = np.empty(BINS, np.int64)
    for image in range(len(maps)):
        _histogram(maps[image], histogram)
        levels[image] = _otsu_level(histogram)


@compiled
def _histogram(values: np.ndarray, histogram: np.ndarray) -> None:
    """Count round(255 S / max S); without a positive value everything falls into bin 0."""
    histogram[:] = 0
    highest = 0.0
    for row in range(values.shape[0]):
        for column in range(values.shape[1]):
            if values[row, column] > highest:  # False for NaN: it never becomes the maximum
                highest = values[row, column]
    for row in range(values.shape[0]):
        for column in range(values.shape[1]):
            value = np.float64(values[row, column])
            histogram[int(255.0 * value / highest + 0.5) if value > 0 else 0] += 1


@compiled
def _otsu_level(histogram: np.ndarray) -> float:
    """Mean of the bins that maximise the variance between the classes, divided by 255; 0 for a single class."""
    pixels, moments = histogram.sum(), (histogram * np.arange(BINS)).sum()
    below = moment = position = ties = 0
    best = 0.0
    for level in range(BINS):
        below += histogram[level]
        moment += level * histogram[level]
        if not 0 < below < pixels:
            continue
        gap = np.float64(moments * below - moment * pixels)  # exact in integers, so that ties are
        variance = gap / below * gap / (pixels - below)
        if variance > best:
            best, position, ties = variance, 0, 0
        if variance == best and best > 0:
            position, ties = position + level, ties + 1
    return position / ties / 255.0 if ties > 0 else 0.0
