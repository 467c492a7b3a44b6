"""SLIC superpixels of batches of images (spec 2.6; Achanta et al., PAMI 2012).

Colours are rounded to 1/1024 Lab unit, so that sums of them in float64 are exact: cluster centres do not depend on the
order of summation, and CPU and GPU agree bit for bit.
"""

import math

import numpy as np

from ..errors import UnseeError
from .checks import check_images, check_lab
from .color import rgb_to_lab
from .connectivity import connect
from .parallel import compiled, over_images

ITERATIONS = 10
COLOUR_STEPS = np.float32(1024)

# Components up to this share of the mean superpixel join a neighbour. Achanta's code takes 1/4, which leaves 100
# superpixels of 100 on photographs; scikit-image takes 1/2 and searches wider, which leaves 72. This share gives
# scikit-image's count (ratio 1.03 over 250 photographs) with the better boundary recall.
SMALLEST_SHARE = 0.55


def slic(
    images: np.ndarray, segments: int = 100, compactness: float = 10.0, smallest_share: float = SMALLEST_SHARE
) -> np.ndarray:
    """Segment sRGB images into about `segments` connected superpixels.

    images: uint8 [B, H, W, 3]. Returns int32 [B, H, W]: labels 0..n-1 of each image, in raster order of their first
    pixel. compactness: Lab units that weigh as much as one grid step. smallest_share: components of at most this share
    of the mean superpixel are merged into a neighbour (Achanta's code: 0.25). Raises UnseeError for parameters out of
    range, ValueError for another shape or dtype.
    """
    return slic_lab(rgb_to_lab(check_images(images)), segments, compactness, smallest_share)


def slic_lab(
    lab: np.ndarray, segments: int = 100, compactness: float = 10.0, smallest_share: float = SMALLEST_SHARE
) -> np.ndarray:
    """Segment Lab images, float [B, H, W, 3], as `slic` does; values that are not finite count as 0."""
    lab = check_lab(lab)
    check_parameters(segments, compactness, smallest_share)
    count, height, width, _ = lab.shape
    labels = np.zeros((count, height, width), np.int32)
    if labels.size:
        seeds, step = grid_seeds(height, width, segments)
        weight = np.float32((compactness / step) ** 2)
        smallest = int(height * width / segments * smallest_share)
        over_images(_slic_loop, lab, labels, constants=(seeds, step, weight, smallest))
    return labels


def check_parameters(segments: int, compactness: float, smallest_share: float) -> None:
    """Refuse parameters that mean nothing."""
    if segments < 1:
        raise UnseeError(f"superpixels: at least 1 segment is needed, got {segments}")
    if not 0 < compactness < math.inf:
        raise UnseeError(f"superpixels: compactness must be positive, got {compactness}")
    if not 0 <= smallest_share < 1:
        raise UnseeError(f"superpixels: the smallest share must lie in 0..1, got {smallest_share}")


def grid_seeds(height: int, width: int, segments: int) -> tuple[np.ndarray, int]:
    """Rows and columns of the seeds, int32 [K, 2], on a regular grid, and the grid step in pixels."""
    step = max(int(math.sqrt(height * width / segments) + 0.5), 1)
    rows = min(max(int(height / step + 0.5), 1), segments)
    columns = min(max(int(width / step + 0.5), 1), segments)
    row = ((np.arange(rows) + 0.5) * height / rows).astype(np.int32)
    column = ((np.arange(columns) + 0.5) * width / columns).astype(np.int32)
    seeds = np.stack(np.meshgrid(row, column, indexing="ij"), axis=-1).reshape(-1, 2)
    return seeds, max(step, height // rows, width // columns)  # in a narrow image the seeds lie further apart


@compiled
def _slic_loop(
    lab: np.ndarray, labels: np.ndarray, seeds: np.ndarray, step: int, weight: np.float32, smallest: int
) -> None:
    count, height, width = labels.shape
    planes = np.empty((3, height, width), np.float32)
    distances = np.empty((height, width), np.float32)
    centers = np.empty((len(seeds), 5), np.float32)
    sums = np.empty((len(seeds), 6))
    parents, finals = np.empty(height * width, np.int32), np.empty(height * width, np.int32)
    for image in range(count):
        _round_colours(lab[image], planes)
        _place_centers(planes, seeds, centers)
        for _ in range(ITERATIONS):
            _assign(planes, centers, step, weight, distances, labels[image])
            _update(planes, labels[image], sums, centers)
        connect(labels[image], smallest, parents, finals)


@compiled
def rounded_colour(value: np.float32) -> np.float32:
    """The value to 1/1024, or 0 where it is not finite."""
    if not np.isfinite(value):
        return np.float32(0)
    return np.float32(np.rint(value * COLOUR_STEPS) / COLOUR_STEPS)


@compiled
def pixel_distance(
    lightness: np.float32, a: np.float32, b: np.float32, x: np.float32, y: np.float32, weight: np.float32
) -> np.float32:
    """Squared distance in colour and place, from the differences; `weight` = (compactness / step)^2."""
    return lightness * lightness + a * a + b * b + (x * x + y * y) * weight


@compiled
def window(center: np.float32, step: int, limit: int) -> tuple[int, int]:
    """First pixel and end of a centre's search window along one axis."""
    nearest = int(center + np.float32(0.5))
    return max(nearest - step, 0), min(nearest + step + 1, limit)


@compiled
def _round_colours(lab: np.ndarray, planes: np.ndarray) -> None:
    height, width, _ = lab.shape
    for row in range(height):
        for column in range(width):
            for channel in range(3):
                planes[channel, row, column] = rounded_colour(lab[row, column, channel])


@compiled
def _place_centers(planes: np.ndarray, seeds: np.ndarray, centers: np.ndarray) -> None:
    for index in range(len(seeds)):
        row, column = seeds[index]
        for channel in range(3):
            centers[index, channel] = planes[channel, row, column]
        centers[index, 3], centers[index, 4] = row, column


@compiled
def _assign(
    planes: np.ndarray, centers: np.ndarray, step: int, weight: np.float32, distances: np.ndarray, labels: np.ndarray
) -> None:
    """Give each pixel the nearest centre whose window holds it; of equally near ones the first."""
    columns = np.arange(labels.shape[1]).astype(np.float32)
    distances[:] = np.inf
    for index in range(len(centers)):
        _offer_center(planes, columns, centers[index], index, step, weight, distances, labels)


@compiled
def _offer_center(
    planes: np.ndarray,
    columns: np.ndarray,
    center: np.ndarray,
    index: int,
    step: int,
    weight: np.float32,
    distances: np.ndarray,
    labels: np.ndarray,
) -> None:
    lightness, a, b, center_y, center_x = center[0], center[1], center[2], center[3], center[4]
    top, bottom = window(center_y, step, labels.shape[0])
    left, right = window(center_x, step, labels.shape[1])
    row_x = columns[left:right]
    for row in range(top, bottom):
        row_l, row_a, row_b = planes[0, row, left:right], planes[1, row, left:right], planes[2, row, left:right]
        nearest, chosen = distances[row, left:right], labels[row, left:right]
        y = np.float32(row) - center_y
        for column in range(len(row_x)):  # selects, not branches, so that this loop vectorises
            distance = pixel_distance(
                row_l[column] - lightness, row_a[column] - a, row_b[column] - b, row_x[column] - center_x, y, weight
            )
            nearer = distance < nearest[column]
            nearest[column] = distance if nearer else nearest[column]
            chosen[column] = index if nearer else chosen[column]


@compiled
def _update(planes: np.ndarray, labels: np.ndarray, sums: np.ndarray, centers: np.ndarray) -> None:
    """Move each centre to the mean of its pixels; a centre without pixels stays."""
    sums[:] = 0
    for row in range(labels.shape[0]):
        start = 0
        while start < labels.shape[1]:
            start = _add_run(planes, labels, row, start, sums)
    for index in range(len(centers)):
        if sums[index, 5] > 0:
            for feature in range(5):
                centers[index, feature] = np.float32(sums[index, feature] / sums[index, 5])


@compiled
def _add_run(planes: np.ndarray, labels: np.ndarray, row: int, start: int, sums: np.ndarray) -> int:
    """Add the pixels from `start` on that share its label to the sums (L, a, b, row, column, count); returns the end."""
    label = labels[row, start]
    lightness = a = b = 0.0
    end = start
    while end < labels.shape[1] and labels[row, end] == label:
        lightness += planes[0, row, end]
        a += planes[1, row, end]
        b += planes[2, row, end]
        end += 1
    length = end - start
    sums[label, 0] += lightness
    sums[label, 1] += a
    sums[label, 2] += b
    sums[label, 3] += row * length
    sums[label, 4] += (start + end - 1) * length // 2
    sums[label, 5] += length
    return end
