"""Resizing many 8-bit images at once, each from a size of its own to another, in memory and on a CUDA device.

The bytes are those of `resampling`, whose weights are taken. A batch takes two launches, however many images it has.
"""

import math
from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np

from .device import empty, handed_back, is_cuda, launch_blocks, on_device, to_device
from .parallel import compiled
from .resampling import HALF, PRECISION, axis_weights, resized_in_order

cuda: Any = None  # bound by launch: a CPU needs no CUDA

# Columns of the plan of a pass, one row a plane: where it begins and how wide it is, where the new one begins, how wide it
# is, how far apart its pixels lie and which of all new rows is its first, whether weights run along rows, where they begin,
# and how many an entry has.
SOURCE, SOURCE_WIDTH, TARGET, WIDTH, APART, FIRST_ROW, ALONG_ROWS, WEIGHTS, ENTRY = range(9)


class Resize(NamedTuple):
    """One image's sizes, (height, width), before and after, and which axis comes first: see `columns_first`."""

    before: tuple[int, int]
    after: tuple[int, int]
    down_first: bool


def resized_images(
    planes: np.ndarray, resizes: Sequence[Resize], channels: int = 1, resample: str = "bilinear"
) -> np.ndarray:
    """Resize images that lie as planes one after the other, uint8 [N], where they lie.

    channels: planes of each image. resample: a filter of `SUPPORT`. Returns the new images one after the other, uint8,
    each [height, width, channels]. Raises ValueError for another dtype or shape, for planes that are more or less than
    their sizes say, and for a side without pixels.
    """
    if any(min(*one.before, *one.after) < 1 for one in resizes):
        raise ValueError("images need sizes of 1 pixel or more, before and after")
    wanted = channels * sum(height * width for (height, width), _, _ in resizes)
    if is_cuda(planes):
        return _resized_cuda(planes, wanted, resizes, channels, resample)
    if planes.dtype != np.uint8 or planes.shape != (wanted,):
        raise ValueError(f"planes must be uint8 [{wanted}], got {planes.dtype} {list(planes.shape)}")
    return _resized_cpu(planes, resizes, channels, resample)


def _resized_cpu(planes: np.ndarray, resizes: Sequence[Resize], channels: int, resample: str) -> np.ndarray:
    made, start = [np.zeros(0, np.uint8)], 0
    for before, after, down_first in resizes:
        end = start + channels * math.prod(before)
        image = planes[start:end].reshape(channels, *before).transpose(1, 2, 0)
        made.append(resized_in_order(image, *after, resample, down_first).reshape(-1))
        start = end
    return np.concatenate(made)


def _resized_cuda(planes: Any, wanted: int, resizes: Sequence[Resize], channels: int, resample: str) -> Any:
    source = on_device("planes", planes, np.uint8, (wanted,))
    plans, weights = _plan(resizes, channels, resample)
    planned, table = to_device(plans), to_device(weights)
    for step, plan in enumerate(plans):
        target = empty((_room(int(plan[-1, TARGET])),), np.uint8)
        launch_blocks(_pass_kernel, int(plan[-1, FIRST_ROW]), source, planned, step, table, target)
        source = target
    return handed_back(source[: int(plans[1, -1, TARGET])], planes)


class _WeightTable:
    """The weights of several axes in one array; each is kept once."""

    def __init__(self, resample: str) -> None:
        self.resample = resample
        self.tables: list[np.ndarray] = []
        self.places: dict[tuple[int, int], tuple[int, int]] = {}
        self.length = 0

    def place(self, length: int, new_length: int) -> tuple[int, int]:
        """Return where the weights begin, and how many numbers there are for each new pixel."""
        if (length, new_length) not in self.places:
            weights = axis_weights(length, new_length, self.resample)
            self.places[length, new_length] = self.length, weights.shape[1]
            self.tables.append(weights.reshape(-1))
            self.length += weights.size
        return self.places[length, new_length]

    def array(self) -> np.ndarray:
        """Return all weights, int32, and zeros up to a length of which there are few."""
        rest = np.zeros(_room(self.length) - self.length, np.int32)
        return np.concatenate([*self.tables, rest])


def _plan(resizes: Sequence[Resize], channels: int, resample: str) -> tuple[np.ndarray, np.ndarray]:
    """Return the plans of the two passes, int64 [2, P + 1, 9], whose last rows say where all ends, and the weights."""
    table = _WeightTable(resample)
    passes: tuple[list, list] = [], []
    source, between, target = 0, 0, 0
    first_row = [0, 0]
    for (rows, columns), (height, width), down_first in resizes:
        along, down = (1, *table.place(columns, width)), (0, *table.place(rows, height))
        steps = (down, along) if down_first else (along, down)
        middle = (height, columns) if down_first else (rows, width)
        for channel in range(channels):
            passes[0].append((source, columns, between, middle[1], 1, first_row[0], *steps[0]))
            passes[1].append((between, middle[1], target + channel, width, channels, first_row[1], *steps[1]))
            source, between = source + rows * columns, between + math.prod(middle)
            first_row = [first_row[0] + middle[0], first_row[1] + height]
        target += channels * height * width
    for entries, end, rows in zip(passes, (between, target), first_row, strict=True):
        entries.append((0, 0, end, 0, 0, rows, 0, 0, 0))
    return np.array(passes, np.int64), table.array()


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
    plane = _plane_of(plan, cuda.blockIdx.x)
    row = cuda.blockIdx.x - plan[plane, FIRST_ROW]
    width, apart = plan[plane, WIDTH], plan[plane, APART]
    start = plan[plane, TARGET] + row * width * apart
    for column in range(cuda.threadIdx.x, width, cuda.blockDim.x):
        target[start + column * apart] = _level(source, plan[plane], weights, row, column)


@compiled
def _plane_of(plan: np.ndarray, row: int) -> int:
    """Which plane a new row belongs to, by bisection."""
    plane, end = 0, len(plan) - 1
    while end - plane > 1:
        middle = (plane + end) // 2
        if plan[middle, FIRST_ROW] <= row:
            plane = middle
        else:
            end = middle
    return plane
