"""Sums over superpixels: the mean map (B4, spec 2.3), colours and places of superpixels, and painting them back.

Arrays lie in memory or on a CUDA device, and results lie where the arrays lie. On both each superpixel sums its pixels
in raster order in float64, so that they agree to the bit.

Functions of labels take their number, `count`, which on a device they otherwise have to wait for; there, labels beyond
it are not noticed.
"""

import math
from dataclasses import dataclass
from typing import Any

import numpy as np

from .checks import check_lab, check_labels, check_maps
from .device import dtype_of, empty, filled, handed_back, is_cuda, launch, launch_blocks, on_device, pixel_of, to_host
from .parallel import compiled, over_images
from .reductions import largest, smallest
from .workspace import current_workspace

cuda: Any = None  # bound by launch: a CPU needs no CUDA

OUTSIDE = 2**31 - 1
ROOM = 64  # ids by which arrays of superpixels on a device grow


@dataclass(frozen=True)
class SuperpixelStatistics:
    """What the superpixels of a batch look like; ids that an image does not have are padded with size 0.

    color: float32 [B, n, 3], mean Lab. position: float32 [B, n, 2], mean (x / W, y / H). size: int32 [B, n], pixels.
    count: int32 [B], ids of the image.
    """

    color: np.ndarray
    position: np.ndarray
    size: np.ndarray
    count: np.ndarray


def superpixel_mean(maps: np.ndarray, labels: np.ndarray) -> np.ndarray:
    """Replace each pixel by the mean of its superpixel (B4).

    maps: float32 [B, H, W]; labels: int [B, H, W], from 0 on. Returns float32 [B, H, W]. A pixel that is NaN counts as
    0. Raises ValueError for shapes that differ or negative labels.
    """
    if is_cuda(maps):
        return _superpixel_mean_cuda(maps, labels)
    return paint(superpixel_values(maps, labels), labels)


def count_labels(labels: np.ndarray) -> int:
    """One more than the largest of labels int [B, H, W], 0 without labels; ValueError for negative labels."""
    if is_cuda(labels):
        return count_labels_cuda(on_device("labels", labels, np.int32, (None, None, None)))
    return check_labels(labels, np.shape(labels))[1]


def room_for_labels(labels: np.ndarray) -> int:
    """How many ids arrays of a batch are made for: as many as there are labels, on a device in steps of `ROOM`.

    Arrays of batches are then of the same few sizes, which a workspace keeps; what ids without pixels add decides nothing.
    """
    count = count_labels(labels)
    return -(-count // ROOM) * ROOM if is_cuda(labels) else count


def superpixel_values(maps: np.ndarray, labels: np.ndarray, count: int | None = None) -> np.ndarray:
    """Return the mean of each superpixel, float32 [B, n], as `superpixel_mean` paints it; 0 for ids without pixels."""
    if is_cuda(maps):
        return handed_back(_means_cuda(*_maps_and_labels(maps, labels), count), maps)
    maps = check_maps(maps)
    labels, count = check_labels(labels, maps.shape, count)
    means = np.empty((len(maps), count), np.float32)
    over_images(_mean_loop, maps, labels, means)
    return means


def rescaled(values: np.ndarray, present: np.ndarray) -> np.ndarray:
    """Scale values [B, n] of each image from their minimum and maximum over ids that are present to 0..1.

    Absent ids become 0, and all of an image whose values are the same.
    """
    if is_cuda(values):
        return _rescaled_cuda(values, present)
    low = np.where(present, values, np.inf).min(1, keepdims=True, initial=np.inf)
    high = np.where(present, values, -np.inf).max(1, keepdims=True, initial=-np.inf)
    spread = np.where(high > low, high - low, 1)
    return np.where(present & (high > low), (values - np.where(np.isfinite(low), low, 0)) / spread, 0)


def superpixel_statistics(lab: np.ndarray, labels: np.ndarray, count: int | None = None) -> SuperpixelStatistics:
    """Mean colour, mean place and size of every superpixel.

    lab: float32 [B, H, W, 3]; labels: int [B, H, W], from 0 on. A colour that is NaN counts as 0.
    """
    if is_cuda(lab):
        return _superpixel_statistics_cuda(lab, labels, count)
    lab = check_lab(lab)
    labels, count = check_labels(labels, lab.shape[:3], count)
    batch = len(lab)
    statistics = SuperpixelStatistics(
        np.zeros((batch, count, 3), np.float32),
        np.zeros((batch, count, 2), np.float32),
        np.zeros((batch, count), np.int32),
        np.zeros(batch, np.int32),
    )
    over_images(_statistics_loop, lab, labels, statistics.color, statistics.position, statistics.size, statistics.count)
    return statistics


def paint(values: np.ndarray, labels: np.ndarray, count: int | None = None) -> np.ndarray:
    """Give every pixel the value of its superpixel: values [B, n], labels int [B, H, W] -> float32 [B, H, W]."""
    if is_cuda(labels):
        return _paint_cuda(values, labels, count)
    values = np.ascontiguousarray(values, np.float32)
    labels, count = check_labels(labels, np.shape(labels), count)
    if labels.ndim != 3 or values.ndim != 2 or len(values) != len(labels) or values.shape[1] < count:
        raise ValueError(f"values {list(values.shape)} do not fit labels {list(labels.shape)} with {count} ids")
    maps = np.empty(labels.shape, np.float32)
    over_images(_paint_loop, values, labels, maps)
    return maps


def weighed(
    maps: np.ndarray, values: np.ndarray, labels: np.ndarray, least: float = 0.0, count: int | None = None
) -> np.ndarray:
    """Multiply every pixel by what its superpixel weighs, `least` + its value: maps, labels [B, H, W], values [B, n]."""
    if is_cuda(maps):
        return _weighed_cuda(maps, values, labels, least, count)
    return check_maps(maps) * (np.float32(least) + paint(values, labels, count))


def single_row(values: np.ndarray) -> np.ndarray:
    """Superpixels' values [B, n] as maps of one row, float32 [B, 1, n]."""
    if is_cuda(values):
        return _single_row_cuda(values)
    return values.astype(np.float32)[:, None]


def _maps_and_labels(maps: Any, labels: Any) -> tuple[Any, Any]:
    maps = on_device("maps", maps, np.float32, (None, None, None))
    return maps, on_device("labels", labels, np.int32, maps.shape)


def _superpixel_mean_cuda(source: Any, labels: Any) -> Any:
    maps, labels = _maps_and_labels(source, labels)
    return handed_back(_painted(_means_cuda(maps, labels, None), labels), source)


def _means_cuda(maps: Any, labels: Any, count: int | None) -> Any:
    means = empty((len(maps), _known_count(labels, count)), np.float32)
    launch(_mean_kernel, means.size, maps, labels, _extents(labels, means.shape[1]), means)
    return means


def _superpixel_statistics_cuda(source: Any, labels: Any, known_count: int | None) -> SuperpixelStatistics:
    lab = on_device("Lab images", source, np.float32, (None, None, None, 3))
    labels = on_device("labels", labels, np.int32, lab.shape[:3])
    ids = (len(lab), _known_count(labels, known_count))
    color, position = empty((*ids, 3), np.float32), empty((*ids, 2), np.float32)
    size, count = empty(ids, np.int32), filled((len(lab),), np.int32, 0)
    launch(_statistics_kernel, size.size, lab, labels, _extents(labels, ids[1]), color, position, size, count)
    return SuperpixelStatistics(*(handed_back(array, source) for array in (color, position, size, count)))


def _paint_cuda(values: Any, source: Any, count: int | None) -> Any:
    labels = on_device("labels", source, np.int32, (None, None, None))
    return handed_back(_painted(_values_of(values, labels, count), labels), source)


def _weighed_cuda(source: Any, values: Any, labels: Any, least: float, count: int | None) -> Any:
    maps, labels = _maps_and_labels(source, labels)
    products = empty(maps.shape, np.float32)
    values = _values_of(values, labels, count)
    launch(_weigh_kernel, maps.size, maps, values, labels, np.float32(least), products)
    return handed_back(products, source)


def _values_of(values: Any, labels: Any, count: int | None) -> Any:
    """Values [B, n] as they lie on the device, or a ValueError if they are too few for the labels."""
    values = on_device("values", values, dtype_of(values), (len(labels), None))
    if values.shape[1] < _known_count(labels, count):
        raise ValueError(f"values {list(values.shape)} do not fit the labels: some have no value")
    return values


def _rescaled_cuda(source: Any, present: Any) -> Any:
    values = on_device("values", source, dtype_of(source), (None, None))
    present = on_device("present", present, np.bool_, values.shape)
    scaled = empty(values.shape, values.dtype)
    launch_blocks(_rescale_kernel, len(values), values, present, scaled)
    return handed_back(scaled, source)


def _single_row_cuda(source: Any) -> Any:
    values = on_device("values", source, dtype_of(source), (None, None))
    row = empty((values.shape[0], 1, values.shape[1]), np.float32)
    launch(_single_row_kernel, row.size, values, row)
    return handed_back(row, source)


def _known_count(labels: Any, count: int | None) -> int:
    return count_labels_cuda(labels) if count is None else count


def _painted(values: Any, labels: Any) -> Any:
    maps = empty(labels.shape, np.float32)
    launch(_paint_kernel, maps.size, values, labels, maps)
    return maps


def count_labels_cuda(labels: Any) -> int:
    """One more than the largest label, 0 without labels; ValueError for negative labels.

    Waits for the device, in a workspace once a batch for an array.
    """
    workspace = current_workspace()
    return _counted_labels(labels) if workspace is None else workspace.once(_counted_labels, labels)


def _counted_labels(labels: Any) -> int:
    bounds = filled((2,), np.int32, 0)
    launch(_bounds_kernel, labels.shape[0] * labels.shape[1], labels, bounds)
    smallest, count = to_host(bounds).tolist()
    if smallest < 0:
        raise ValueError(f"labels must not be negative, got {smallest}")
    return count


def _extents(labels: Any, ids: int) -> Any:
    """Per id of each image: first row, first column, -(end row), -(end column), int32 [B, n, 4]; OUTSIDE without pixels."""
    extents = filled((len(labels), ids, 4), np.int32, OUTSIDE)
    launch(_extent_kernel, labels.shape[0] * labels.shape[1], labels, extents)
    return extents


@compiled
def known(value: float) -> float:
    """The value, 0 for NaN."""
    return 0.0 if math.isnan(value) else np.float64(value)


@compiled
def _mean_loop(maps: np.ndarray, labels: np.ndarray, means: np.ndarray) -> None:
    count = means.shape[1]
    sums, sizes = np.empty(count), np.empty(count, np.int64)
    _, height, width = maps.shape
    for image in range(len(maps)):
        sums[:], sizes[:] = 0, 0
        for row in range(height):
            for column in range(width):
                label = labels[image, row, column]
                sums[label] += known(maps[image, row, column])
                sizes[label] += 1
        for label in range(count):
            means[image, label] = sums[label] / max(sizes[label], 1)


@compiled
def _statistics_loop(
    lab: np.ndarray, labels: np.ndarray, color: np.ndarray, position: np.ndarray, size: np.ndarray, count: np.ndarray
) -> None:
    _, height, width = labels.shape
    sums = np.empty((color.shape[1], 5))
    for image in range(len(lab)):
        sums[:] = 0
        for row in range(height):
            for column in range(width):
                label = labels[image, row, column]
                sums[label, 0] += known(lab[image, row, column, 0])
                sums[label, 1] += known(lab[image, row, column, 1])
                sums[label, 2] += known(lab[image, row, column, 2])
                sums[label, 3] += column
                sums[label, 4] += row
                size[image, label] += 1
        for label in range(len(sums)):
            if size[image, label] > 0:
                count[image] = label + 1
                for channel in range(3):
                    color[image, label, channel] = sums[label, channel] / size[image, label]
                position[image, label, 0] = sums[label, 3] / size[image, label] / width
                position[image, label, 1] = sums[label, 4] / size[image, label] / height


@compiled
def _paint_loop(values: np.ndarray, labels: np.ndarray, maps: np.ndarray) -> None:
    _, height, width = labels.shape
    for image in range(len(maps)):
        for row in range(height):
            for column in range(width):
                maps[image, row, column] = values[image, labels[image, row, column]]


def _bounds_kernel(labels: Any, bounds: Any) -> None:
    """Smallest label (if negative) and one more than the largest; one thread a row."""
    index = cuda.grid(1)
    count, height, width = labels.shape
    if index < count * height:
        smallest, end = 0, 0
        for column in range(width):
            label = labels[index // height, index % height, column]
            smallest, end = min(smallest, label), max(end, label + 1)
        cuda.atomic.min(bounds, 0, smallest)
        cuda.atomic.max(bounds, 1, end)


def _extent_kernel(labels: Any, extents: Any) -> None:
    """One thread a row; touches the shared extents where the label changes."""
    index = cuda.grid(1)
    count, height, width = labels.shape
    if index >= count * height:
        return
    image, row, start = index // height, index % height, 0
    for column in range(width):
        label = labels[image, row, column]
        if column + 1 == width or labels[image, row, column + 1] != label:
            cuda.atomic.min(extents, (image, label, 0), row)
            cuda.atomic.min(extents, (image, label, 1), start)
            cuda.atomic.min(extents, (image, label, 2), -(row + 1))
            cuda.atomic.min(extents, (image, label, 3), -(column + 1))
            start = column + 1


def _mean_kernel(maps: Any, labels: Any, extents: Any, means: Any) -> None:
    index = cuda.grid(1)
    count, ids = means.shape
    if index >= count * ids:
        return
    image, label = index // ids, index % ids
    total, size = 0.0, 0
    for row in range(extents[image, label, 0], -extents[image, label, 2]):
        for column in range(extents[image, label, 1], -extents[image, label, 3]):
            if labels[image, row, column] == label:
                total += known(maps[image, row, column])
                size += 1
    means[image, label] = total / max(size, 1)


def _statistics_kernel(lab: Any, labels: Any, extents: Any, color: Any, position: Any, size: Any, count: Any) -> None:
    index = cuda.grid(1)
    images, ids = size.shape
    if index >= images * ids:
        return
    image, label = index // ids, index % ids
    lightness = a = b = 0.0
    rows = columns = pixels = 0
    for row in range(extents[image, label, 0], -extents[image, label, 2]):
        for column in range(extents[image, label, 1], -extents[image, label, 3]):
            if labels[image, row, column] == label:
                lightness += known(lab[image, row, column, 0])
                a += known(lab[image, row, column, 1])
                b += known(lab[image, row, column, 2])
                rows, columns, pixels = rows + row, columns + column, pixels + 1
    divisor = max(pixels, 1)
    color[image, label, 0], color[image, label, 1] = lightness / divisor, a / divisor
    color[image, label, 2] = b / divisor
    position[image, label, 0] = columns / divisor / labels.shape[2]
    position[image, label, 1] = rows / divisor / labels.shape[1]
    size[image, label] = pixels
    if pixels > 0:
        cuda.atomic.max(count, image, label + 1)


def _paint_kernel(values: Any, labels: Any, maps: Any) -> None:
    index = cuda.grid(1)
    count, height, width = labels.shape
    if index < count * height * width:
        image, row, column = pixel_of(index, height, width)
        maps[image, row, column] = values[image, labels[image, row, column]]


def _weigh_kernel(maps: Any, values: Any, labels: Any, least: np.float32, products: Any) -> None:
    index = cuda.grid(1)
    count, height, width = labels.shape
    if index < count * height * width:
        image, row, column = pixel_of(index, height, width)
        weight = least + np.float32(values[image, labels[image, row, column]])
        products[image, row, column] = maps[image, row, column] * weight


def _rescale_kernel(values: Any, present: Any, scaled: Any) -> None:
    """A block an image."""
    lowest_of = cuda.shared.array(128, values.dtype)  # THREADS of device.py: the length must be a literal
    highest_of = cuda.shared.array(128, values.dtype)
    image, thread, threads = cuda.blockIdx.x, cuda.threadIdx.x, cuda.blockDim.x
    lowest, highest = np.inf, -np.inf
    for index in range(thread, values.shape[1], threads):
        if present[image, index]:
            value = np.float64(values[image, index])
            lowest, highest = min(lowest, value), max(highest, value)
    lowest_of[thread], highest_of[thread] = lowest, highest
    cuda.syncthreads()
    low, high = smallest(lowest_of, threads), largest(highest_of, threads)
    for index in range(thread, values.shape[1], threads):
        exists = present[image, index] and high > low
        scaled[image, index] = (values[image, index] - low) / (high - low) if exists else 0.0


def _single_row_kernel(values: Any, row: Any) -> None:
    index = cuda.grid(1)
    count, ids = values.shape
    if index < count * ids:
        image, _, region = pixel_of(index, 1, ids)
        row[image, 0, region] = values[image, region]
