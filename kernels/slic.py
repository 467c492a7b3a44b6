"""SLIC superpixels of batches of images (spec 2.6; Achanta et al., PAMI 2012).

Colours, places and centres are integers in fixed point. Sums are then exact in any order and no product is rounded
differently where a compiler fuses it with a sum: CPU and GPU agree bit for bit, and the loop over a window's row
vectorises.
"""

import math
from typing import Any

import numpy as np

from ..errors import UnseeError
from .checks import check_lab
from .color import rgb_to_lab
from .connectivity import enforce_connectivity
from .device import empty, filled, handed_back, is_cuda, launch, on_device, pixel_of, to_device
from .parallel import compiled, over_images

cuda: Any = None  # bound by launch: a CPU needs no CUDA

ITERATIONS = 10

# Fixed point: squared distances fit 31 bits, those of pixels outside a window included.
COLOUR_STEPS = 64  # to 1/64 Lab unit
COLOUR_LIMIT = np.float32(110)  # no Lab coordinate of an sRGB colour is larger
COLOUR_SHIFT = 8192  # makes colours positive, so that truncation rounds
PLACE_STEPS = 16  # to 1/16 pixel
PLACE_LIMIT = np.float32(2e8)  # along one axis; reached from a compactness of about 200 on
OUTSIDE = np.int32(1_000_000_000)  # the place of pixels outside a window, and the distance where there is no centre yet
LARGEST_STEP = 2000
VECTOR = 16  # rows of windows are computed in whole vectors
RUN = 32  # pixels of a row that one CUDA thread sums before it touches shared sums

# Components up to this share of the mean superpixel join a neighbour. scikit-image takes 1/2, which leaves 72
# superpixels of 100 there and 78 here on photographs (its windows are wider); Achanta's code takes 1/4, which leaves
# 100 and gives better saliency maps.
SMALLEST_SHARE = 0.5


def slic(
    images: np.ndarray, segments: int = 100, compactness: float = 10.0, smallest_share: float = SMALLEST_SHARE
) -> np.ndarray:
    """Segment sRGB images into about `segments` connected superpixels.

    images: uint8 [B, H, W, 3], in memory or on a CUDA device; the result lies where they lie. Returns int32 [B, H, W]:
    labels 0..n-1 of each image, in raster order of their first pixel. compactness: Lab units that weigh as much as one
    grid step. smallest_share: components of at most this share of the mean superpixel are merged into a neighbour
    (Achanta's code: 0.25). Raises UnseeError for parameters out of range, ValueError for another shape or dtype.
    """
    return slic_lab(rgb_to_lab(images), segments, compactness, smallest_share)


def slic_lab(
    lab: np.ndarray, segments: int = 100, compactness: float = 10.0, smallest_share: float = SMALLEST_SHARE
) -> np.ndarray:
    """Segment Lab images, float [B, H, W, 3], as `slic` does; values that are not finite count as 0."""
    check_parameters(segments, compactness, smallest_share)
    if is_cuda(lab):
        return _slic_cuda(lab, segments, compactness, smallest_share)
    lab = check_lab(lab)
    labels = np.empty(lab.shape[:3], np.int32)
    if labels.size:
        seeds, step, weight, smallest = _plan(labels.shape, segments, compactness, smallest_share)
        over_images(_cluster_loop, lab, labels, constants=(seeds, step, weight))
        enforce_connectivity(labels, smallest)
    return labels


def _plan(
    shape: tuple[int, ...], segments: int, compactness: float, smallest_share: float
) -> tuple[np.ndarray, int, np.float32, int]:
    """Seeds, step, weight of the place in fixed point, and the size up to which components are merged."""
    _, height, width = shape
    seeds, step = grid_seeds(height, width, segments)
    if step > LARGEST_STEP:
        raise UnseeError(f"superpixels of {step} pixels are too large: ask for more than {segments} segments")
    weight = np.float32((compactness / step * COLOUR_STEPS / PLACE_STEPS) ** 2)
    return seeds, step, weight, int(height * width / segments * smallest_share)


def _slic_cuda(source: Any, segments: int, compactness: float, smallest_share: float) -> Any:
    lab = on_device("Lab images", source, np.float32, (None, None, None, 3))
    labels = empty(lab.shape[:3], np.int32)
    if labels.size:
        seeds, step, weight, smallest = _plan(labels.shape, segments, compactness, smallest_share)
        _cluster_cuda(lab, labels, to_device(seeds), step, weight)
        enforce_connectivity(labels, smallest)
    return handed_back(labels, source)


def _cluster_cuda(lab: Any, labels: Any, seeds: Any, step: int, weight: np.float32) -> None:
    count, height, width = labels.shape
    clusters = count * len(seeds)
    planes = empty((count, 3, height, width), np.int32)
    centers = empty((count, len(seeds), 5), np.int32)
    launch(_fix_kernel, labels.size, lab, planes)
    launch(_place_kernel, clusters, planes, seeds, centers)
    for _ in range(ITERATIONS):
        sums = filled((count, len(seeds), 6), np.int64, 0)
        launch(_assign_kernel, labels.size, planes, centers, step, weight, labels)
        launch(_sum_kernel, count * height * ((width + RUN - 1) // RUN), planes, labels, sums)
        launch(_move_kernel, clusters, sums, centers)


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
def _cluster_loop(lab: np.ndarray, labels: np.ndarray, seeds: np.ndarray, step: int, weight: np.float32) -> None:
    count, height, width = labels.shape
    planes = np.empty((3, height, width), np.int32)
    distances = np.empty((height, width), np.int32)
    centers = np.empty((len(seeds), 5), np.int32)
    for image in range(count):
        _fix_colours(lab[image], planes)
        _place_centers(planes, seeds, centers)
        for _ in range(ITERATIONS):
            _assign(planes, centers, step, weight, distances, labels[image])
            _update(planes, labels[image], step, centers)


@compiled
def fixed_colour(value: np.float32) -> np.int32:
    """A Lab coordinate in fixed point; 0 where it is not a number or larger than any."""
    known = value if abs(value) <= COLOUR_LIMIT else np.float32(0)
    return np.int32(known * np.float32(COLOUR_STEPS) + np.float32(COLOUR_SHIFT + 0.5)) - np.int32(COLOUR_SHIFT)


@compiled
def fixed_place(distance: int, weight: np.float32) -> np.int32:
    """Squared distance along one axis, in fixed point, in units of squared colour distances."""
    return np.int32(min(np.float32(distance * distance) * weight, PLACE_LIMIT))


@compiled
def fixed_distance(lightness: int, a: int, b: int, place: int) -> np.int32:
    """Squared distance from the differences in colour and the sum of both axes' `fixed_place`."""
    return np.int32(lightness * lightness + a * a + b * b + place)


@compiled
def window(center: int, step: int, limit: int) -> tuple[int, int]:
    """First pixel and end of a centre's search window along one axis."""
    nearest = (center + PLACE_STEPS // 2) // PLACE_STEPS
    return max(nearest - step, 0), min(nearest + step + 1, limit)


@compiled
def fixed_mean(total: int, count: int) -> int:
    """total / count, rounded half up."""
    return (2 * total + count) // (2 * count)


@compiled
def _fix_colours(lab: np.ndarray, planes: np.ndarray) -> None:
    height, width, _ = lab.shape
    for row in range(height):
        for column in range(width):
            for channel in range(3):
                planes[channel, row, column] = fixed_colour(lab[row, column, channel])


@compiled
def _place_centers(planes: np.ndarray, seeds: np.ndarray, centers: np.ndarray) -> None:
    for index in range(len(seeds)):
        row, column = seeds[index]
        for channel in range(3):
            centers[index, channel] = planes[channel, row, column]
        centers[index, 3], centers[index, 4] = row * PLACE_STEPS, column * PLACE_STEPS


@compiled
def _assign(
    planes: np.ndarray, centers: np.ndarray, step: int, weight: float, distances: np.ndarray, labels: np.ndarray
) -> None:
    """Give each pixel the nearest centre whose window holds it, of equally near ones the first; -1 where there is none."""
    places = np.empty(2 * (step + VECTOR), np.int32)
    distances[:] = OUTSIDE
    labels[:] = -1
    for index in range(len(centers)):
        _offer_center(planes, centers[index], np.int32(index), step, weight, places, distances, labels)


@compiled
def whole_vectors(left: int, right: int, width: int) -> tuple[int, int]:
    """A span of columns widened to whole vectors."""
    return left // VECTOR * VECTOR, min((right + VECTOR - 1) // VECTOR * VECTOR, width)


@compiled
def _offer_center(
    planes: np.ndarray,
    center: np.ndarray,
    index: int,
    step: int,
    weight: float,
    places: np.ndarray,
    distances: np.ndarray,
    labels: np.ndarray,
) -> None:
    lightness, a, b = center[0], center[1], center[2]
    top, bottom = window(center[3], step, labels.shape[0])
    left, right = window(center[4], step, labels.shape[1])
    first, end = whole_vectors(left, right, labels.shape[1])
    for column in range(first, end):
        inside = left <= column < right
        places[column - first] = fixed_place(column * PLACE_STEPS - center[4], weight) if inside else OUTSIDE
    for row in range(top, bottom):
        row_l, row_a, row_b = planes[0, row, first:end], planes[1, row, first:end], planes[2, row, first:end]
        nearest, chosen = distances[row, first:end], labels[row, first:end]
        row_place = fixed_place(row * PLACE_STEPS - center[3], weight)
        for column in range(end - first):  # 32-bit selects, not branches, so that this loop vectorises
            distance = fixed_distance(
                np.int32(row_l[column] - lightness),
                np.int32(row_a[column] - a),
                np.int32(row_b[column] - b),
                np.int32(row_place + places[column]),
            )
            nearer = distance < nearest[column]
            nearest[column] = distance if nearer else nearest[column]
            chosen[column] = index if nearer else chosen[column]


@compiled
def _update(planes: np.ndarray, labels: np.ndarray, step: int, centers: np.ndarray) -> None:
    """Move each centre to the mean of its pixels; a centre without pixels stays."""
    sums = np.empty(6, np.int64)
    for index in range(len(centers)):
        sums[:] = 0
        _add_window(planes, labels, np.int32(index), step, centers[index], sums)
        if sums[5] > 0:
            for feature in range(5):
                centers[index, feature] = fixed_mean(sums[feature], sums[5])


@compiled
def _add_window(
    planes: np.ndarray, labels: np.ndarray, index: int, step: int, center: np.ndarray, sums: np.ndarray
) -> None:
    """Add a centre's pixels, all of which lie in its window, to the sums of L, a, b, row, column and count.

    Reading a whole window without branches is faster than following runs of labels, whose ends cannot be predicted.
    """
    top, bottom = window(center[3], step, labels.shape[0])
    first, end = whole_vectors(*window(center[4], step, labels.shape[1]), labels.shape[1])
    for row in range(top, bottom):
        row_l, row_a, row_b = planes[0, row, first:end], planes[1, row, first:end], planes[2, row, first:end]
        chosen = labels[row, first:end]
        lightness = a = b = columns = count = np.int32(0)
        for column in range(end - first):
            own = np.int32(-1) if chosen[column] == index else np.int32(0)
            lightness = np.int32(lightness + (row_l[column] & own))
            a = np.int32(a + (row_a[column] & own))
            b = np.int32(b + (row_b[column] & own))
            columns = np.int32(columns + (np.int32(column) & own))
            count = np.int32(count - own)
        sums[0] += lightness
        sums[1] += a
        sums[2] += b
        sums[3] += PLACE_STEPS * row * np.int64(count)
        sums[4] += PLACE_STEPS * (columns + first * np.int64(count))
        sums[5] += count


def _fix_kernel(lab: Any, planes: Any) -> None:
    index = cuda.grid(1)
    count, height, width, _ = lab.shape
    if index < count * height * width:
        image, row, column = pixel_of(index, height, width)
        for channel in range(3):
            planes[image, channel, row, column] = fixed_colour(lab[image, row, column, channel])


def _place_kernel(planes: Any, seeds: Any, centers: Any) -> None:
    index = cuda.grid(1)
    count, clusters, _ = centers.shape
    if index < count * clusters:
        image, cluster = index // clusters, index % clusters
        row, column = seeds[cluster, 0], seeds[cluster, 1]
        for channel in range(3):
            centers[image, cluster, channel] = planes[image, channel, row, column]
        centers[image, cluster, 3], centers[image, cluster, 4] = row * PLACE_STEPS, column * PLACE_STEPS


def _assign_kernel(planes: Any, centers: Any, step: int, weight: np.float32, labels: Any) -> None:
    index = cuda.grid(1)
    count, height, width = labels.shape
    if index >= count * height * width:
        return
    image, row, column = pixel_of(index, height, width)
    lightness, a, b = planes[image, 0, row, column], planes[image, 1, row, column], planes[image, 2, row, column]
    nearest, chosen = OUTSIDE, -1
    for cluster in range(centers.shape[1]):
        center_y, center_x = centers[image, cluster, 3], centers[image, cluster, 4]
        top, bottom = window(center_y, step, height)
        left, right = window(center_x, step, width)
        if top <= row < bottom and left <= column < right:
            place = fixed_place(column * PLACE_STEPS - center_x, weight)
            distance = fixed_distance(
                np.int32(lightness - centers[image, cluster, 0]),
                np.int32(a - centers[image, cluster, 1]),
                np.int32(b - centers[image, cluster, 2]),
                np.int32(place + fixed_place(row * PLACE_STEPS - center_y, weight)),
            )
            if distance < nearest:
                nearest, chosen = distance, cluster
    labels[image, row, column] = chosen


def _sum_kernel(planes: Any, labels: Any, sums: Any) -> None:
    """Each thread sums RUN pixels of a row and adds what it has wherever the label changes."""
    index = cuda.grid(1)
    count, height, width = labels.shape
    runs = (width + RUN - 1) // RUN
    if index >= count * height * runs:
        return
    image, row, start = index // (height * runs), index // runs % height, index % runs * RUN
    lightness = a = b = columns = pixels = 0
    end = min(start + RUN, width)
    for column in range(start, end):
        label = labels[image, row, column]
        lightness += planes[image, 0, row, column]
        a += planes[image, 1, row, column]
        b += planes[image, 2, row, column]
        columns += column
        pixels += 1
        if column + 1 == end or labels[image, row, column + 1] != label:
            if label >= 0:
                cuda.atomic.add(sums, (image, label, 0), lightness)
                cuda.atomic.add(sums, (image, label, 1), a)
                cuda.atomic.add(sums, (image, label, 2), b)
                cuda.atomic.add(sums, (image, label, 3), PLACE_STEPS * row * pixels)
                cuda.atomic.add(sums, (image, label, 4), PLACE_STEPS * columns)
                cuda.atomic.add(sums, (image, label, 5), pixels)
            lightness = a = b = columns = pixels = 0


def _move_kernel(sums: Any, centers: Any) -> None:
    index = cuda.grid(1)
    count, clusters, _ = centers.shape
    if index < count * clusters:
        image, cluster = index // clusters, index % clusters
        if sums[image, cluster, 5] > 0:
            for feature in range(5):
                centers[image, cluster, feature] = fixed_mean(sums[image, cluster, feature], sums[image, cluster, 5])
