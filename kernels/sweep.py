"""Counts at every threshold at once, from histograms of 8-bit maps over mask and background.

An 8-bit map has 256 levels, so whatever a protocol does to it is a table of 256 values; the pixels are only ever
counted, in integers. CPU and GPU therefore agree to the bit (and with float64 references, where float32 on a GPU would not).
"""

from typing import Any

import numpy as np

from .device import THREADS, empty, handed_back, is_cuda, launch_blocks, on_device
from .parallel import compiled, over_images

cuda: Any = None  # bound by launch: a CPU needs no CUDA

LEVELS = 256
LANES = 4  # histograms side by side, so that runs of one level do not wait for their own last store
PIXELS_PER_THREAD = 64


def joint_histogram(maps: np.ndarray, masks: np.ndarray, foreground_above: int = 128) -> np.ndarray:
    """Count the levels of maps outside and inside of masks.

    maps: uint8 [B, H, W]; masks: uint8 [B, H, W], inside where above `foreground_above`; in memory or on a CUDA device.
    Returns int64 [B, 2, 256] in the same place: [:, 0] background, [:, 1] foreground. Raises ValueError for other shapes.
    """
    if is_cuda(maps):
        return _joint_histogram_cuda(maps, masks, foreground_above)
    maps, masks = _check_pair(maps, masks)
    histograms = np.empty((len(maps), 2, LEVELS), np.int64)
    over_images(_histogram_loop, maps, masks, histograms, constants=(foreground_above,))
    return histograms


def threshold_counts(histogram: np.ndarray, keys: np.ndarray, thresholds: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """True and false positives of `key >= threshold`, for each threshold.

    histogram: int64 [2, 256]. keys: [256], not decreasing: what each level becomes under the protocol. thresholds: [T],
    not decreasing. Returns two int64 [T].
    """
    counts = np.empty((2, len(thresholds)), np.int64)
    _count_above(histogram, np.asarray(keys, np.float64), np.asarray(thresholds, np.float64), counts)
    return counts[1], counts[0]


@compiled
def _count_above(histogram: np.ndarray, keys: np.ndarray, thresholds: np.ndarray, counts: np.ndarray) -> None:
    above = np.zeros(2, np.int64)
    level = LEVELS
    for index in range(len(thresholds) - 1, -1, -1):
        while level > 0 and keys[level - 1] >= thresholds[index]:
            level -= 1
            above[0] += histogram[0, level]
            above[1] += histogram[1, level]
        counts[0, index], counts[1, index] = above[0], above[1]


def quadrant_histograms(
    maps: np.ndarray, masks: np.ndarray, foreground_above: int = 128
) -> tuple[np.ndarray, np.ndarray]:
    """Joint histograms of the four parts into which the centre of the mask divides each image.

    maps, masks: uint8 [B, H, W] in memory. Returns int64 [B, 4, 2, 256] (upper left, upper right, lower left, lower
    right) and int64 [B, 2]: the rows of the upper and the columns of the left parts, round(mean) + 1, halves to even.
    An empty mask divides at the middle.
    """
    maps, masks = _check_pair(maps, masks)
    histograms = np.zeros((len(maps), 4, 2, LEVELS), np.int64)
    splits = np.empty((len(maps), 2), np.int64)
    over_images(_quadrant_loop, maps, masks, histograms, splits, constants=(foreground_above,))
    return histograms, splits


def _check_pair(maps: np.ndarray, masks: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    maps, masks = np.asarray(maps), np.asarray(masks)
    if maps.dtype != np.uint8 or masks.dtype != np.uint8 or maps.ndim != 3 or maps.shape != masks.shape:
        raise ValueError(
            f"maps and masks must both be uint8 [B, H, W], got {maps.dtype} {list(maps.shape)} and "
            f"{masks.dtype} {list(masks.shape)}"
        )
    return np.ascontiguousarray(maps), np.ascontiguousarray(masks)


def _joint_histogram_cuda(source: Any, masks: Any, foreground_above: int) -> Any:
    maps = on_device("maps", source, np.uint8, (None, None, None))
    masks = on_device("masks", masks, np.uint8, maps.shape)
    histograms = empty((len(maps), 2, LEVELS), np.int64)
    pixels = maps.shape[1] * maps.shape[2]
    counts = histograms.reshape(len(maps), 2 * LEVELS)
    launch_blocks(_clear_kernel, len(maps), counts)
    blocks = (pixels + THREADS * PIXELS_PER_THREAD - 1) // (THREADS * PIXELS_PER_THREAD)
    flat = maps.reshape(len(maps), pixels), masks.reshape(len(maps), pixels)
    launch_blocks(_histogram_kernel, len(maps) * blocks, *flat, foreground_above, blocks, counts)
    return handed_back(histograms, source)


@compiled
def histogram_bin(level: int, mask: int, foreground_above: int) -> int:
    """Place in a joint histogram laid out flat: background levels, then foreground levels."""
    return (LEVELS if mask > foreground_above else 0) + int(level)


@compiled
def _histogram_loop(maps: np.ndarray, masks: np.ndarray, histograms: np.ndarray, foreground_above: int) -> None:
    lanes = np.empty((LANES, 2 * LEVELS), np.int64)
    for image in range(len(maps)):
        lanes[:] = 0
        levels, mask = maps[image].reshape(-1), masks[image].reshape(-1)
        whole = len(levels) - len(levels) % LANES
        for start in range(0, whole, LANES):
            for lane in range(LANES):
                lanes[lane, histogram_bin(levels[start + lane], mask[start + lane], foreground_above)] += 1
        for pixel in range(whole, len(levels)):
            lanes[0, histogram_bin(levels[pixel], mask[pixel], foreground_above)] += 1
        for index in range(2 * LEVELS):
            histograms[image, index // LEVELS, index % LEVELS] = lanes[:, index].sum()


@compiled
def _quadrant_loop(
    maps: np.ndarray, masks: np.ndarray, histograms: np.ndarray, splits: np.ndarray, foreground_above: int
) -> None:
    _, height, width = maps.shape
    for image in range(len(maps)):
        split_row, split_column = _split(masks[image], foreground_above)
        splits[image, 0], splits[image, 1] = split_row, split_column
        for row in range(height):
            below = 2 if row >= split_row else 0
            for column in range(width):
                part = histograms[image, below + (1 if column >= split_column else 0)]
                foreground = 1 if masks[image, row, column] > foreground_above else 0
                part[foreground, maps[image, row, column]] += 1


@compiled
def _split(mask: np.ndarray, foreground_above: int) -> tuple[int, int]:
    rows = columns = pixels = 0
    for row in range(mask.shape[0]):
        in_row = 0
        for column in range(mask.shape[1]):
            inside = 1 if mask[row, column] > foreground_above else 0
            in_row += inside
            columns += inside * column
        pixels += in_row
        rows += row * in_row
    if pixels == 0:
        return round(mask.shape[0] / 2) + 1, round(mask.shape[1] / 2) + 1
    return round(rows / pixels) + 1, round(columns / pixels) + 1


def _clear_kernel(counts: Any) -> None:
    for index in range(cuda.threadIdx.x, counts.shape[1], cuda.blockDim.x):
        counts[cuda.blockIdx.x, index] = 0


def _histogram_kernel(maps: Any, masks: Any, foreground_above: int, blocks: int, counts: Any) -> None:
    """So many blocks an image; each counts its pixels in shared memory and then adds its counts to the image's."""
    shared = cuda.shared.array(512, np.int32)  # 2 * LEVELS: the length must be a literal
    image, block = cuda.blockIdx.x // blocks, cuda.blockIdx.x % blocks
    for index in range(cuda.threadIdx.x, 2 * LEVELS, cuda.blockDim.x):
        shared[index] = 0
    cuda.syncthreads()
    for pixel in range(block * cuda.blockDim.x + cuda.threadIdx.x, maps.shape[1], blocks * cuda.blockDim.x):
        cuda.atomic.add(shared, histogram_bin(maps[image, pixel], masks[image, pixel], foreground_above), 1)
    cuda.syncthreads()
    for index in range(cuda.threadIdx.x, 2 * LEVELS, cuda.blockDim.x):
        if shared[index] > 0:
            cuda.atomic.add(counts, (image, index), shared[index])
