"""Scaling and pruning of maps: min-max and norms (spec 0.4), Otsu's threshold, hard and soft pruning (spec 2.5), and
the last step from a refined map to the finished one (brightening, sigmoid).

Maps are float32 [B, H, W], in memory or, contiguous, on a CUDA device; results lie in the same place. A pixel that is NaN
counts as 0. A zero map stays a zero map, but under the sigmoid.
"""

import math
from typing import Any, Literal, get_args

import numpy as np

from ..errors import UnseeError
from .checks import check_maps
from .device import empty, filled, handed_back, is_cuda, launch, launch_blocks, on_device, row_of, to_device
from .parallel import compiled, over_images
from .reductions import flat, largest, smallest, total

cuda: Any = None  # bound by launch: a CPU needs no CUDA

Normalization = Literal["linf", "l2", "l1", "minmax"]
BINS = 256
LARGEST = float(np.finfo(np.float32).max)
LARGEST_EXPONENT = np.float32(88)  # beyond, exp leaves single precision, and 1 / exp is as good as 0


def normalize(maps: np.ndarray, mode: Normalization) -> np.ndarray:
    """Divide each map by its norm (linf: largest magnitude, l2, l1) or rescale it to 0..1 (minmax), spec 0.4.

    A map whose norm (minmax: whose range) is 0 gives zeros. Raises UnseeError for an unknown mode.
    """
    modes = get_args(Normalization)
    if mode not in modes:
        raise UnseeError(f"unknown normalization {mode!r}: choose one of {', '.join(modes)}")
    if is_cuda(maps):
        return _normalize_cuda(maps, modes.index(mode))
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
    mean. Negative values count as 0, infinite ones as the largest number.
    """
    if is_cuda(maps):
        return handed_back(_otsu_cuda(_maps_on_device(maps))[0], maps)
    maps = check_maps(maps)
    levels = np.empty(len(maps))
    over_images(_otsu_loop, maps, levels)
    return levels


def prune_hard(maps: np.ndarray, factor: float = 1.3) -> np.ndarray:
    """Keep values above factor * Otsu's level * maximum of their map, unchanged; the others become 0 (spec 2.5)."""
    if is_cuda(maps):
        return _prune_hard_cuda(maps, float(factor))
    maps = np.nan_to_num(check_maps(maps))
    threshold = factor * otsu_threshold(maps) * maps.max(axis=(1, 2), initial=0)
    return np.where(maps > threshold[:, None, None], maps, np.float32(0))


def prune_soft(maps: np.ndarray, theta: float | np.ndarray) -> np.ndarray:
    """max(S - theta, 0), theta in units of the map: one number, or one a map [B] (spec 2.2 step 5)."""
    if is_cuda(maps):
        return _prune_soft_cuda(maps, theta)
    theta = np.asarray(theta, np.float32).reshape(-1, 1, 1)
    return np.maximum(np.nan_to_num(check_maps(maps)) - theta, np.float32(0))


def prune_share(maps: np.ndarray, share: float) -> np.ndarray:
    """Prune softly by a share of each map's maximum: max(S - share * max S, 0)."""
    if is_cuda(maps):
        return _prune_soft_cuda(maps, _largest_cuda(_maps_on_device(maps), share))
    maps = np.nan_to_num(check_maps(maps))
    return prune_soft(maps, np.float32(share) * maps.max(axis=(1, 2), initial=0))


def brighten(maps: np.ndarray, gain: float, threshold: float) -> np.ndarray:
    """Return min(gain * S, 1) where that is above the threshold, 0 elsewhere."""
    if is_cuda(maps):
        return _mapped(_brighten_kernel, maps, np.float32(gain), np.float32(threshold))
    brightened = np.minimum(np.float32(gain) * check_maps(maps), 1)
    return np.where(brightened > np.float32(threshold), brightened, np.float32(0))


def sigmoid(maps: np.ndarray, steepness: float, middle: float) -> np.ndarray:
    """Return 1 / (1 + exp(steepness * (middle - S)))."""
    if is_cuda(maps):
        return _mapped(_sigmoid_kernel, maps, np.float32(steepness), np.float32(middle))
    return 1 / (1 + np.exp(np.float32(steepness) * (np.float32(middle) - check_maps(maps))))


def _maps_on_device(source: Any) -> Any:
    return on_device("maps", source, np.float32, (None, None, None))


def _mapped(kernel: Any, source: Any, *arguments: Any) -> Any:
    """Run a kernel on every pixel."""
    maps = _maps_on_device(source)
    result = empty(maps.shape, np.float32)
    launch(kernel, maps.size, flat(maps), *arguments, flat(result))
    return handed_back(result, source)


def _normalize_cuda(source: Any, mode: int) -> Any:
    scales = empty((source.shape[0], 2), np.float64)
    launch_blocks(_scale_kernel, len(scales), flat(_maps_on_device(source)), mode, scales)
    return _mapped(_normalize_kernel, source, scales)


def _otsu_cuda(maps: Any) -> tuple[Any, Any]:
    """Otsu's levels and the largest values, float64 [B]."""
    levels, largest_values = empty((len(maps),), np.float64), empty((len(maps),), np.float64)
    launch_blocks(_otsu_kernel, len(maps), flat(maps), levels, largest_values)
    return levels, largest_values


def _prune_hard_cuda(source: Any, factor: float) -> Any:
    return _mapped(_prune_hard_kernel, source, factor, *_otsu_cuda(_maps_on_device(source)))


def _prune_soft_cuda(source: Any, theta: Any) -> Any:
    count = source.shape[0]
    if is_cuda(theta):
        levels = on_device("theta", theta, np.float32, (count,))
    elif np.ndim(theta) == 0:
        levels = filled((count,), np.float32, float(theta))
    else:
        levels = to_device(np.asarray(theta, np.float32))
    return _mapped(_prune_soft_kernel, source, levels)


def _largest_cuda(maps: Any, share: float) -> Any:
    """A share of each map's largest value, float32 [B]; 0 without a positive value."""
    levels = empty((len(maps),), np.float32)
    launch_blocks(_share_kernel, len(maps), flat(maps), np.float32(share), levels)
    return levels


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
    return _scale_of(mode, lowest, highest, absolute, squares)


@compiled
def _scale_of(mode: int, lowest: float, highest: float, absolute: float, squares: float) -> tuple[float, float]:
    if mode == 0:
        return 0.0, max(highest, -lowest)
    if mode == 1:
        return 0.0, math.sqrt(squares)
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
    highest = min(highest, LARGEST)
    for row in range(values.shape[0]):
        for column in range(values.shape[1]):
            histogram[_bin_of(np.float64(values[row, column]), highest)] += 1


@compiled
def _bin_of(value: float, highest: float) -> int:
    return int(255.0 * min(value, highest) / highest + 0.5) if value > 0 else 0


@compiled
def finite(value: float) -> float:
    """The value in double precision; 0 for NaN, the largest or smallest single number for an infinite one."""
    known = 0.0 if math.isnan(value) else np.float64(value)
    return min(max(known, -LARGEST), LARGEST)


@compiled
def _otsu_level(histogram: np.ndarray) -> float:
    """Mean of the bins that maximise the variance between the classes, divided by 255; 0 for a single class."""
    pixels = moments = below = moment = position = ties = 0
    for level in range(BINS):
        pixels += int(histogram[level])
        moments += level * int(histogram[level])
    best = 0.0
    for level in range(BINS):
        below += int(histogram[level])
        moment += level * int(histogram[level])
        if not 0 < below < pixels:
            continue
        gap = np.float64(moments * below - moment * pixels)  # exact in integers, so that ties are
        variance = gap / below * gap / (pixels - below)
        if variance > best:
            best, position, ties = variance, 0, 0
        if variance == best and best > 0:
            position, ties = position + level, ties + 1
    return position / ties / 255.0 if ties > 0 else 0.0


def _scale_kernel(maps: Any, mode: int, scales: Any) -> None:
    """A block an image: what to subtract and what to divide by."""
    lowest_of = cuda.shared.array(128, np.float32)  # THREADS of device.py: the length must be a literal
    highest_of = cuda.shared.array(128, np.float32)
    norm_of = cuda.shared.array(128, np.float64)
    image, thread, threads = cuda.blockIdx.x, cuda.threadIdx.x, cuda.blockDim.x
    lowest, highest, norm = np.float32(np.inf), np.float32(-np.inf), 0.0
    for pixel in range(thread, maps.shape[1], threads):
        value = _known(maps[image, pixel])
        lowest = value if value < lowest else lowest
        highest = value if value > highest else highest
        if mode == 1:
            norm += np.float64(value) * np.float64(value)
        elif mode == 2:
            norm += np.float64(abs(value))
    lowest_of[thread], highest_of[thread], norm_of[thread] = lowest, highest, norm
    cuda.syncthreads()
    if thread == 0:
        lowest, highest = smallest(lowest_of, threads), largest(highest_of, threads)
        norm = total(norm_of, threads)
        offset, scale = _scale_of(mode, np.float64(lowest), np.float64(highest), norm, norm)
        scales[image, 0], scales[image, 1] = offset, scale


def _normalize_kernel(maps: Any, scales: Any, scaled: Any) -> None:
    index = cuda.grid(1)
    if index < maps.size:
        image, pixel = row_of(index, maps.shape[1])
        offset, scale = scales[image, 0], scales[image, 1]
        scaled[image, pixel] = (_known(maps[image, pixel]) - offset) / scale if scale > 0 else 0.0


def _otsu_kernel(maps: Any, levels: Any, largest_values: Any) -> None:
    """A block an image, whose threads count into one histogram."""
    histogram = cuda.shared.array(256, np.int32)  # BINS
    highest_of = cuda.shared.array(128, np.float64)
    image, thread, threads = cuda.blockIdx.x, cuda.threadIdx.x, cuda.blockDim.x
    highest = 0.0
    for pixel in range(thread, maps.shape[1], threads):
        value = finite(maps[image, pixel])
        highest = value if value > highest else highest
    for level in range(thread, BINS, threads):
        histogram[level] = 0
    highest_of[thread] = highest
    cuda.syncthreads()
    highest = largest(highest_of, threads)
    for pixel in range(thread, maps.shape[1], threads):
        cuda.atomic.add(histogram, _bin_of(np.float64(maps[image, pixel]), highest), 1)
    cuda.syncthreads()
    if thread == 0:
        levels[image], largest_values[image] = _otsu_level(histogram), highest


def _prune_hard_kernel(maps: Any, factor: float, levels: Any, largest_values: Any, pruned: Any) -> None:
    index = cuda.grid(1)
    if index < maps.size:
        image, pixel = row_of(index, maps.shape[1])
        value = finite(maps[image, pixel])
        pruned[image, pixel] = value if value > factor * levels[image] * largest_values[image] else 0.0


def _share_kernel(maps: Any, share: np.float32, levels: Any) -> None:
    highest_of = cuda.shared.array(128, np.float32)
    image, thread, threads = cuda.blockIdx.x, cuda.threadIdx.x, cuda.blockDim.x
    highest = np.float32(0)
    for pixel in range(thread, maps.shape[1], threads):
        value = np.float32(finite(maps[image, pixel]))
        highest = value if value > highest else highest
    highest_of[thread] = highest
    cuda.syncthreads()
    if thread == 0:
        levels[image] = share * largest(highest_of, threads)


def _prune_soft_kernel(maps: Any, theta: Any, pruned: Any) -> None:
    index = cuda.grid(1)
    if index < maps.size:
        image, pixel = row_of(index, maps.shape[1])
        rest = np.float32(finite(maps[image, pixel])) - theta[image]
        pruned[image, pixel] = rest if rest > 0 else np.float32(0)


def _brighten_kernel(maps: Any, gain: np.float32, threshold: np.float32, brightened: Any) -> None:
    index = cuda.grid(1)
    if index < maps.size:
        image, pixel = row_of(index, maps.shape[1])
        value = gain * maps[image, pixel]
        value = np.float32(1) if value > 1 else value
        brightened[image, pixel] = value if value > threshold else np.float32(0)


def _sigmoid_kernel(maps: Any, steepness: np.float32, middle: np.float32, parted: Any) -> None:
    index = cuda.grid(1)
    if index < maps.size:
        image, pixel = row_of(index, maps.shape[1])
        exponent = steepness * (middle - maps[image, pixel])
        exponent = LARGEST_EXPONENT if exponent > LARGEST_EXPONENT else exponent
        parted[image, pixel] = np.float32(1) / (np.float32(1) + np.float32(math.exp(exponent)))


@compiled
def _known(value: np.float32) -> np.float32:
    return np.float32(0) if math.isnan(value) else np.float32(value)
