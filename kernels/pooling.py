"""Sums over superpixels: the mean map (B4, spec 2.3), colours and places of superpixels, and painting them back."""

from dataclasses import dataclass

import numpy as np

from .checks import check_lab, check_labels, check_maps
from .parallel import compiled, over_images


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
    maps = check_maps(maps)
    labels, count = check_labels(labels, maps.shape)
    means = np.empty_like(maps)
    over_images(_mean_loop, maps, labels, means, constants=(count,))
    return means


def superpixel_statistics(lab: np.ndarray, labels: np.ndarray) -> SuperpixelStatistics:
    """Mean colour, mean place and size of every superpixel.

    lab: float32 [B, H, W, 3]; labels: int [B, H, W], from 0 on. A colour that is NaN counts as 0.
    """
    lab = check_lab(lab)
    labels, count = check_labels(labels, lab.shape[:3])
    batch = len(lab)
    statistics = SuperpixelStatistics(
        np.zeros((batch, count, 3), np.float32),
        np.zeros((batch, count, 2), np.float32),
        np.zeros((batch, count), np.int32),
        np.zeros(batch, np.int32),
    )
    over_images(_statistics_loop, lab, labels, statistics.color, statistics.position, statistics.size, statistics.count)
    return statistics


def paint(values: np.ndarray, labels: np.ndarray) -> np.ndarray:
    """Give every pixel the value of its superpixel: values [B, n], labels int [B, H, W] -> float32 [B, H, W]."""
    values = np.ascontiguousarray(values, np.float32)
    labels, count = check_labels(labels, np.shape(labels))
    if labels.ndim != 3 or values.ndim != 2 or len(values) != len(labels) or values.shape[1] < count:
        raise ValueError(f"values {list(values.shape)} do not fit labels {list(labels.shape)} with {count} ids")
    maps = np.empty(labels.shape, np.float32)
    over_images(_paint_loop, values, labels, maps)
    return maps


@compiled
def _mean_loop(maps: np.ndarray, labels: np.ndarray, means: np.ndarray, count: int) -> None:
    sums, sizes = np.empty(count), np.empty(count, np.int64)
    _, height, width = maps.shape
    for image in range(len(maps)):
        sums[:], sizes[:] = 0, 0
        for row in range(height):
            for column in range(width):
                value, label = maps[image, row, column], labels[image, row, column]
                sums[label] += 0.0 if np.isnan(value) else value
                sizes[label] += 1
        for label in range(count):
            sums[label] /= max(sizes[label], 1)
        for row in range(height):
            for column in range(width):
                means[image, row, column] = sums[labels[image, row, column]]


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
                _add_pixel(lab[image, row, column], row, column, sums[labels[image, row, column]])
                size[image, labels[image, row, column]] += 1
        for label in range(len(sums)):
            if size[image, label] > 0:
                count[image] = label + 1
                for channel in range(3):
                    color[image, label, channel] = sums[label, channel] / size[image, label]
                position[image, label, 0] = sums[label, 3] / size[image, label] / width
                position[image, label, 1] = sums[label, 4] / size[image, label] / height


@compiled
def _add_pixel(pixel: np.ndarray, row: int, column: int, sums: np.ndarray) -> None:
    for channel in range(3):
        sums[channel] += 0.0 if np.isnan(pixel[channel]) else pixel[channel]
    sums[3] += column
    sums[4] += row


@compiled
def _paint_loop(values: np.ndarray, labels: np.ndarray, maps: np.ndarray) -> None:
    _, height, width = labels.shape
    for image in range(len(maps)):
        for row in range(height):
            for column in range(width):
                maps[image, row, column] = values[image, labels[image, row, column]]
