"""Low-level saliency of superpixels from their mean colours and places (B5, spec 2.4 and 2.7).

Every function takes SuperpixelStatistics, in memory or on a CUDA device, and returns float64 [B, n] in the same place;
ids of size 0 take no part and get 0. Nothing depends on the order of the ids.
"""

import math
from collections.abc import Callable
from typing import Any

import numpy as np

from ..errors import UnseeError
from .device import empty, handed_back, is_cuda, launch, launch_blocks, on_device, pixel_of, row_of
from .parallel import compiled, over_images
from .pooling import SuperpixelStatistics

cuda: Any = None  # bound by launch: a CPU needs no CUDA


def global_contrast(statistics: SuperpixelStatistics) -> np.ndarray:
    """Sum of the Lab distances to all other superpixels, unweighted (B5)."""
    if is_cuda(statistics.size):
        device = _OnDevice(statistics)
        return device.handed_back(device.contrast())
    return _per_superpixel(_contrast_loop, statistics.color, statistics.size)


def smooth_in_color_space(statistics: SuperpixelStatistics, values: np.ndarray) -> np.ndarray:
    """Smooth values [B, n] over the m = max(round(n / 4), 2) superpixels nearest in colour, itself included (spec 2.7).

    Superpixels that tie for the m-th place share it, so that ids do not matter.
    """
    if is_cuda(statistics.size):
        device = _OnDevice(statistics)
        return device.handed_back(device.smoothed(on_device("values", values, np.float64, device.size.shape)))
    values = np.ascontiguousarray(values, np.float64)
    if values.shape != statistics.size.shape:
        raise ValueError(f"values must be {list(statistics.size.shape)}, got {list(values.shape)}")
    return _per_superpixel(_smooth_loop, statistics.color, statistics.size, values)


def color_distribution(statistics: SuperpixelStatistics, sigma_color: float = 20.0) -> np.ndarray:
    """Spatial variance of each superpixel's colour, not yet rescaled (spec 2.7); sigma_color in Lab units."""
    _check_positive("sigma_color", sigma_color)
    if is_cuda(statistics.size):
        device = _OnDevice(statistics)
        return device.handed_back(device.distribution(sigma_color))
    features = statistics.color, statistics.position, statistics.size
    return _per_superpixel(_distribution_loop, *features, constants=(float(sigma_color),))


def low_level_map(
    statistics: SuperpixelStatistics, k: float = 6.0, sigma_color: float = 20.0, centre_sigma: float | None = None
) -> np.ndarray:
    """Combine the three into S_L = mm(mm(G) exp(-k V)) in 0..1 (spec 2.7).

    k: weight of the distribution. sigma_color: Lab units. centre_sigma: standard deviation of an optional Gaussian
    prior round the image's centre, in image sides. Superpixels that all weigh the same give 0.
    """
    _check_positive("sigma_color", sigma_color)
    if centre_sigma is not None:
        _check_positive("centre_sigma", centre_sigma)
    narrowness = 0.0 if centre_sigma is None else 0.5 / centre_sigma**2
    if is_cuda(statistics.size):
        device = _OnDevice(statistics)
        return device.handed_back(device.low_level(float(k), sigma_color, narrowness))
    features = statistics.color, statistics.position, statistics.size
    return _per_superpixel(_low_level_loop, *features, constants=(float(k), float(sigma_color), narrowness))


class _OnDevice:
    """The same steps on a CUDA device, one thread a superpixel; distances between colours are computed once.

    They are symmetric: each thread reads its column of them, so that threads side by side read values side by side.
    """

    def __init__(self, statistics: SuperpixelStatistics) -> None:
        self.source = statistics.size
        self.size = on_device("size", statistics.size, np.int32, (None, None))
        self.color = on_device("color", statistics.color, np.float32, (*self.size.shape, 3))
        self.position = on_device("position", statistics.position, np.float32, (*self.size.shape, 2))
        self.distances = empty((*self.size.shape, self.size.shape[1]), np.float64)
        launch(_distance_kernel, self.distances.size, self.color, self.size, self.distances)

    def handed_back(self, values: Any) -> Any:
        return handed_back(values, self.source)

    def contrast(self) -> Any:
        return self._launched(_contrast_kernel)

    def smoothed(self, values: Any) -> Any:
        return self._launched(_smooth_kernel, values)

    def distribution(self, sigma_color: float) -> Any:
        return self._launched(_distribution_kernel, self.position, float(sigma_color))

    def low_level(self, k: float, sigma_color: float, narrowness: float) -> Any:
        smoothed = self._rescaled(self.smoothed(self._rescaled(self.contrast())))
        spread = self._rescaled(self.distribution(sigma_color))
        values = empty(self.size.shape, np.float64)
        launch(_combine_kernel, values.size, smoothed, spread, self.position, k, narrowness, values)
        return self._rescaled(values)

    def _launched(self, kernel: Callable[..., None], *inputs: Any) -> Any:
        values = empty(self.size.shape, np.float64)
        launch(kernel, values.size, self.distances, self.size, *inputs, values)
        return values

    def _rescaled(self, values: Any) -> Any:
        launch_blocks(_rescale_kernel, len(self.size), values, self.size)
        return values


def _check_positive(name: str, value: float) -> None:
    if not value > 0:
        raise UnseeError(f"{name} must be positive, got {value}")


def _per_superpixel(kernel: Callable[..., None], *features: np.ndarray, constants: tuple = ()) -> np.ndarray:
    values = np.zeros(features[0].shape[:2])
    over_images(kernel, *features, values, constants=constants)
    return values


@compiled
def _color_distances(color: np.ndarray, size: np.ndarray, distances: np.ndarray) -> None:
    """Lab distances between all superpixels of one image, float64 [n, n]; those of size 0 are infinitely far."""
    for first in range(len(size)):
        distances[first, first] = 0.0 if size[first] > 0 else np.inf
        for second in range(first):
            if size[first] > 0 and size[second] > 0:
                distance = color_distance(color[first], color[second])
            else:
                distance = np.inf
            distances[first, second] = distance
            distances[second, first] = distance


@compiled
def color_distance(first: np.ndarray, second: np.ndarray) -> float:
    """Euclidean distance of two Lab colours, in float64."""
    lightness = np.float64(first[0]) - np.float64(second[0])
    a = np.float64(first[1]) - np.float64(second[1])
    b = np.float64(first[2]) - np.float64(second[2])
    return math.sqrt(lightness * lightness + a * a + b * b)


@compiled
def contrast_of(distances: np.ndarray) -> float:
    """Sum of one superpixel's distances [n] (B5)."""
    total = 0.0
    for distance in distances:
        if distance < np.inf:
            total += distance
    return total


@compiled
def smoothed_value(distances: np.ndarray, values: np.ndarray, members: int, reach: float) -> float:
    """G_i = sum_k (T - d_k) G_k / ((m - 1) T) over the m nearest: those within `reach`, the m-th distance."""
    closer = ties = 0
    total = near_sum = near_weighted = tie_sum = 0.0
    for index in range(len(distances)):
        if distances[index] < reach:
            closer += 1
            total += distances[index]
            near_sum += values[index]
            near_weighted += distances[index] * values[index]
        elif distances[index] == reach:
            ties += 1
            tie_sum += values[index]
    share = (members - closer) / ties
    total += share * ties * reach
    near_sum += share * tie_sum
    if total == 0.0:
        return near_sum / members
    return (total * near_sum - near_weighted - share * tie_sum * reach) / ((members - 1) * total)


@compiled
def distribution_of(distances: np.ndarray, position: np.ndarray, sigma_color: float) -> float:
    """V_i = sum_j w_ij |p_j - mu_i|^2 of one superpixel, the weights normalised to sum 1 (spec 2.7)."""
    total = mean_x = mean_y = 0.0
    for index in range(len(distances)):
        weight = color_weight(distances[index], sigma_color)
        total += weight
        mean_x += weight * position[index, 0]
        mean_y += weight * position[index, 1]
    mean_x, mean_y = mean_x / total, mean_y / total
    spread = 0.0
    for index in range(len(distances)):
        x, y = position[index, 0] - mean_x, position[index, 1] - mean_y
        spread += color_weight(distances[index], sigma_color) * (x * x + y * y)
    return spread / total


@compiled
def color_weight(distance: float, sigma_color: float) -> float:
    """exp(-d^2 / (2 sigma^2))."""
    return math.exp(-distance * distance / (2.0 * sigma_color * sigma_color))


@compiled
def rescale(values: np.ndarray, size: np.ndarray) -> None:
    """Rescale to 0..1 in place (mm of spec 0.1), over superpixels that exist; all 0 where they are all the same."""
    lowest, highest = np.inf, -np.inf
    for index in range(len(values)):
        if size[index] > 0:
            lowest, highest = min(lowest, values[index]), max(highest, values[index])
    for index in range(len(values)):
        exists = size[index] > 0 and highest > lowest
        values[index] = (values[index] - lowest) / (highest - lowest) if exists else 0.0


@compiled
def _contrast(distances: np.ndarray, size: np.ndarray, contrast: np.ndarray) -> None:
    for index in range(len(size)):
        contrast[index] = contrast_of(distances[index]) if size[index] > 0 else 0.0


@compiled
def _smooth(distances: np.ndarray, size: np.ndarray, values: np.ndarray, smoothed: np.ndarray) -> None:
    members = nearest_members(size)
    for index in range(len(size)):
        if size[index] > 0:
            reach = np.partition(distances[index], members - 1)[members - 1]
            smoothed[index] = smoothed_value(distances[index], values, members, reach)
        else:
            smoothed[index] = 0.0


@compiled
def _distribution(
    distances: np.ndarray, position: np.ndarray, size: np.ndarray, sigma_color: float, spread: np.ndarray
) -> None:
    for index in range(len(size)):
        spread[index] = distribution_of(distances[index], position, sigma_color) if size[index] > 0 else 0.0


@compiled
def nearest_members(size: np.ndarray) -> int:
    """How many superpixels smoothing looks at: m = max(round(n / 4), 2), at most all."""
    present = 0
    for pixels in size:
        present += 1 if pixels > 0 else 0
    return min(max(round(present / 4), 2), present)


@compiled
def _combine(
    smoothed: np.ndarray,
    spread: np.ndarray,
    position: np.ndarray,
    k: float,
    narrowness: float,
    values: np.ndarray,
) -> None:
    """mm(G) exp(-k V), times the Gaussian prior exp(-narrowness |p - (1/2, 1/2)|^2)."""
    for index in range(len(values)):
        values[index] = combined(smoothed[index], spread[index], position[index], k, narrowness)


@compiled
def combined(smoothed: float, spread: float, position: np.ndarray, k: float, narrowness: float) -> float:
    """One superpixel's value; see `_combine`."""
    x, y = position[0] - 0.5, position[1] - 0.5
    return smoothed * math.exp(-k * spread - narrowness * (x * x + y * y))


@compiled
def _contrast_loop(color: np.ndarray, size: np.ndarray, contrast: np.ndarray) -> None:
    distances = np.empty((size.shape[1], size.shape[1]))
    for image in range(len(size)):
        _color_distances(color[image], size[image], distances)
        _contrast(distances, size[image], contrast[image])


@compiled
def _smooth_loop(color: np.ndarray, size: np.ndarray, values: np.ndarray, smoothed: np.ndarray) -> None:
    distances = np.empty((size.shape[1], size.shape[1]))
    for image in range(len(size)):
        _color_distances(color[image], size[image], distances)
        _smooth(distances, size[image], values[image], smoothed[image])


@compiled
def _distribution_loop(
    color: np.ndarray, position: np.ndarray, size: np.ndarray, spread: np.ndarray, sigma_color: float
) -> None:
    distances = np.empty((size.shape[1], size.shape[1]))
    for image in range(len(size)):
        _color_distances(color[image], size[image], distances)
        _distribution(distances, position[image], size[image], sigma_color, spread[image])


@compiled
def _low_level_loop(
    color: np.ndarray,
    position: np.ndarray,
    size: np.ndarray,
    values: np.ndarray,
    k: float,
    sigma_color: float,
    narrowness: float,
) -> None:
    ids = size.shape[1]
    distances, contrast, smoothed, spread = np.empty((ids, ids)), np.empty(ids), np.empty(ids), np.empty(ids)
    for image in range(len(size)):
        _color_distances(color[image], size[image], distances)
        _contrast(distances, size[image], contrast)
        rescale(contrast, size[image])
        _smooth(distances, size[image], contrast, smoothed)
        rescale(smoothed, size[image])
        _distribution(distances, position[image], size[image], sigma_color, spread)
        rescale(spread, size[image])
        _combine(smoothed, spread, position[image], k, narrowness, values[image])
        rescale(values[image], size[image])


def _distance_kernel(color: Any, size: Any, distances: Any) -> None:
    index = cuda.grid(1)
    count, ids = size.shape
    if index < count * ids * ids:
        image, first, second = pixel_of(index, ids, ids)
        exist = size[image, first] > 0 and size[image, second] > 0
        distance = color_distance(color[image, first], color[image, second]) if exist else math.inf
        distances[image, first, second] = distance


def _contrast_kernel(distances: Any, size: Any, contrast: Any) -> None:
    index = cuda.grid(1)
    count, ids = size.shape
    if index < count * ids:
        image, superpixel = row_of(index, ids)
        exists = size[image, superpixel] > 0
        contrast[image, superpixel] = contrast_of(distances[image, :, superpixel]) if exists else 0.0


def _smooth_kernel(distances: Any, size: Any, values: Any, smoothed: Any) -> None:
    index = cuda.grid(1)
    count, ids = size.shape
    if index >= count * ids:
        return
    image, superpixel = row_of(index, ids)
    smoothed[image, superpixel] = 0.0
    if size[image, superpixel] > 0:
        column, members = distances[image, :, superpixel], nearest_members(size[image])
        reach = smallest_but(column, members - 1)
        smoothed[image, superpixel] = smoothed_value(column, values[image], members, reach)


def _distribution_kernel(distances: Any, size: Any, position: Any, sigma_color: float, spread: Any) -> None:
    index = cuda.grid(1)
    count, ids = size.shape
    if index < count * ids:
        image, superpixel = row_of(index, ids)
        spread[image, superpixel] = 0.0
        if size[image, superpixel] > 0:
            column = distances[image, :, superpixel]
            spread[image, superpixel] = distribution_of(column, position[image], sigma_color)


def _rescale_kernel(values: Any, size: Any) -> None:
    """As `rescale`; a block an image."""
    lows = cuda.shared.array(1024, np.float64)
    highs = cuda.shared.array(1024, np.float64)
    image, thread, threads = cuda.blockIdx.x, cuda.threadIdx.x, cuda.blockDim.x
    lowest, highest = math.inf, -math.inf
    for index in range(thread, values.shape[1], threads):
        if size[image, index] > 0:
            lowest, highest = min(lowest, values[image, index]), max(highest, values[image, index])
    lows[thread], highs[thread] = lowest, highest
    cuda.syncthreads()
    for other in range(threads):
        lowest, highest = min(lowest, lows[other]), max(highest, highs[other])
    for index in range(thread, values.shape[1], threads):
        exists = size[image, index] > 0 and highest > lowest
        values[image, index] = (values[image, index] - lowest) / (highest - lowest) if exists else 0.0


def _combine_kernel(smoothed: Any, spread: Any, position: Any, k: float, narrowness: float, values: Any) -> None:
    index = cuda.grid(1)
    count, ids = values.shape
    if index < count * ids:
        image, superpixel = row_of(index, ids)
        pair = smoothed[image, superpixel], spread[image, superpixel]
        values[image, superpixel] = combined(*pair, position[image, superpixel], k, narrowness)


@compiled
def smallest_but(distances: np.ndarray, rank: int) -> float:
    """The value that `rank` others come before when sorted, without sorting or memory (kernels have none to spare)."""
    for candidate in distances:
        less = equal = 0
        for distance in distances:
            less += 1 if distance < candidate else 0
            equal += 1 if distance == candidate else 0
        if less <= rank < less + equal:
            return candidate
    return math.inf
