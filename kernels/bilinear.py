"""Bilinear resizing of 8-bit maps, each to a size of its own, in memory and on a CUDA device (see `resampling`)."""

from collections.abc import Sequence
from typing import Any

import numpy as np

from . import resampling
from .device import empty, handed_back, is_cuda, launch_blocks, on_device, to_device
from .parallel import compiled
from .resampling import HALF, PRECISION, axis_weights, columns_first

cuda: Any = None  # bound by launch: a CPU needs no CUDA

# Columns of the plan of a pass, one row a map: where the map begins and how wide it is, where the new one begins, how wide
# it is and which of all new rows is its first, whether weights run along rows, where they begin, and how many an entry has.
SOURCE, SOURCE_WIDTH, TARGET, WIDTH, FIRST_ROW, ALONG_ROWS, WEIGHTS, ENTRY = range(8)


def resized(levels: np.ndarray, height: int, width: int) -> np.ndarray:
    """Resize one map, uint8 [h, w], to [height, width]; it lies on a CUDA device where the map does."""
    flat, _ = resized_all(levels.reshape(1, *levels.shape), [(height, width)])
    return flat.reshape(height, width)


def resized_all(levels: np.ndarray, sizes: Sequence[tuple[int, int]]) -> tuple[np.ndarray, np.ndarray]:
    """Resize maps, uint8 [B, h, w], contiguous on a CUDA device or in memory, each to its own (height, width).

    Returns (flat, offsets). flat: uint8, where the maps lie, the new maps one after the other. offsets: int64 [B + 1] in
    memory; map i is `flat[offsets[i] : offsets[i + 1]]`, row by row. Raises ValueError for another shape or dtype, for
    sizes that are not as many as the maps, and for a size without pixels.
    """
    shape = tuple(levels.shape)
    if not is_cuda(levels) and levels.dtype != np.uint8:
        raise ValueError(f"maps must be uint8, got {levels.dtype}")
    if len(shape) != 3 or 0 in shape[1:]:
        raise ValueError(f"maps must be [B, H, W] with pixels, got {list(shape)}")
    if len(sizes) != shape[0] or any(min(size) < 1 for size in sizes):
        raise ValueError(f"{shape[0]} sizes of 1 pixel or more are needed, got {list(sizes)}")
    flat = _resized_cuda(levels, sizes) if is_cuda(levels) else _resized_cpu(levels, sizes)
    return flat, np.cumsum([0, *(height * width for height, width in sizes)], dtype=np.int64)


class _WeightTable:
    """The weights of several axes in one array; each is kept once."""

    def __init__(self) -> None:
        self.tables: list[np.ndarray] = [np.zeros(0, np.int32)]
        self.places: dict[tuple[int, int], tuple[int, int]] = {}
        self.length = 0

    def place(self, length: int, new_length: int) -> tuple[int, int]:
        """Return where the weights begin, and how many numbers there are for each new pixel."""
        if (length, new_length) not in self.places:
            weights = axis_weights(length, new_length)
            self.places[length, new_length] = self.length, weights.shape[1]
            self.tables.append(weights.ravel())
            self.length += weights.size
        return self.places[length, new_length]


def _plan(shape: tuple[int, ...], sizes: Sequence[tuple[int, int]]) -> tuple[np.ndarray, np.ndarray]:
    """Return the plans of the two passes, int64 [2, B + 1, 8], whose last rows say where all ends, and the weights."""
    count, rows, columns = shape
    table, plans = _WeightTable(), np.zeros((2, count + 1, ENTRY + 1), np.int64)
    for image, (height, width) in enumerate(sizes):
        steps = (1, *table.place(columns, width)), (0, *table.place(rows, height))
        between = (rows, width)
        if columns_first((rows, columns), (height, width)):
            steps, between = steps[::-1], (height, columns)
        _enter(plans[0], image, (image * rows * columns, columns), between, steps[0])
        _enter(plans[1], image, (plans[0, image, TARGET], between[1]), (height, width), steps[1])
    return plans, np.concatenate(table.tables)


def _enter(
    plan: np.ndarray, image: int, source: tuple[int, int], size: tuple[int, int], step: tuple[int, int, int]
) -> None:
    """Enter a map into the plan of a pass, and where the next one begins."""
    (height, width), (target, first_row) = size, plan[image, [TARGET, FIRST_ROW]]
    plan[image] = *source, target, width, first_row, *step
    plan[image + 1, [TARGET, FIRST_ROW]] = target + height * width, first_row + height


def _resized_cpu(levels: np.ndarray, sizes: Sequence[tuple[int, int]]) -> np.ndarray:
    made = [resampling.resized(one, *size).reshape(-1) for one, size in zip(levels, sizes, strict=True)]
    return np.concatenate([np.zeros(0, np.uint8), *made])


def _resized_cuda(levels: Any, sizes: Sequence[tuple[int, int]]) -> Any:
    plans, weights = _plan(tuple(levels.shape), sizes)
    maps = on_device("maps", levels, np.uint8, (None, None, None))
    padded = np.zeros(_room(len(weights)), np.int32)
    padded[: len(weights)] = weights
    source, planned, table = maps.reshape(maps.size), to_device(plans), to_device(padded)
    for step, plan in enumerate(plans):
        target = empty((_room(int(plan[-1, TARGET])),), np.uint8)
        launch_blocks(_pass_kernel, int(plan[-1, FIRST_ROW]), source, planned, step, table, target)
        source = target
    return handed_back(source[: int(plans[1, -1, TARGET])], levels)


def _room(length: int) -> int:
    """The next power of two: of these there are few, however many sums of sizes there are, so that memory is used again."""
    return 1 << (length - 1).bit_length() if length else 0


@compiled
def _level(source: np.ndarray, entry: np.ndarray, weights: np.ndarray, row: int, column: int) -> int:
    """One new pixel: the weighted mean of old ones, along their row or their column."""
    if entry[ALONG_ROWS]:
        start, stride, pixel = entry[SOURCE] + row * entry[SOURCE_WIDTH], 1, column
    else:
        start, stride, pixel = entry[SOURCE] + column, entry[SOURCE_WIDTH], row
    place = entry[WEIGHTS] + pixel * entry[ENTRY]
    first, count, total = weights[place], weights[place + 1], HALF
    for tap in range(count):
        total += int(source[start + (first + tap) * stride]) * int(weights[place + 2 + tap])
    return min(max(total >> PRECISION, 0), 255)


def _pass_kernel(source: Any, plans: Any, step: int, weights: Any, target: Any) -> None:
    """A block a new row."""
    plan = plans[step]
    image = _image_of(plan, cuda.blockIdx.x)
    row = cuda.blockIdx.x - plan[image, FIRST_ROW]
    start = plan[image, TARGET] + row * plan[image, WIDTH]
    for column in range(cuda.threadIdx.x, plan[image, WIDTH], cuda.blockDim.x):
        target[start + column] = _level(source, plan[image], weights, row, column)


@compiled
def _image_of(plan: np.ndarray, row: int) -> int:
    """Which map a new row belongs to, by bisection."""
    image, end = 0, len(plan) - 1
    while end - image > 1:
        middle = (image + end) // 2
        if plan[middle, FIRST_ROW] <= row:
            image = middle
        else:
            end = middle
    return image
