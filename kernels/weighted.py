"""The two sums behind the weighted F-measure (Margolin, Zelnik-Manor, Tal, CVPR 2014).

An error outside the mask counts as the error at the nearest mask pixel, errors are blurred, and errors far from the mask
weigh more. Nearest pixels follow Maurer, Qi and Raghavan (PAMI 2003): first along columns, then along rows; of equally
near ones the upper, then the left one is taken, as scipy does.
"""

from functools import cache

import numpy as np

from .parallel import compiled, over_images

REACH = 3  # the blur is a Gaussian of 7 x 7 taps, sigma 5, zero outside the image
SIGMA = 5.0
FARTHEST = 2**17  # squared distance from which on the importance is exactly 2
NOWHERE = -(2**20)  # row of the nearest mask pixel in a column without any


def weighted_errors(maps: np.ndarray, masks: np.ndarray, values: np.ndarray, foreground_above: int = 128) -> np.ndarray:
    """Sum the weighted errors inside and outside of each mask.

    maps, masks: uint8 [B, H, W]; the mask is where it is above `foreground_above`. values: float64 [B, 256], what each
    level of each map stands for, in 0..1. Returns float64 [B, 3]: sum inside, sum outside, mask pixels. An empty mask
    gives zeros.
    """
    maps, masks = np.ascontiguousarray(maps), np.ascontiguousarray(masks)
    sums = np.zeros((len(maps), 3))
    taps = np.exp(-(np.arange(-REACH, REACH + 1.0) ** 2) / (2 * SIGMA**2))
    constants = foreground_above, _importance(), taps / taps.sum()
    over_images(_weighted_loop, maps, masks, np.ascontiguousarray(values, np.float64), sums, constants=constants)
    return sums


@cache
def _importance() -> np.ndarray:
    """2 - exp(ln(1/2) / 5 * d) for every squared distance up to the first that gives 2 in float64."""
    return 2 - np.exp(np.log(0.5) / 5 * np.sqrt(np.arange(FARTHEST)))


@compiled
def _weighted_loop(
    maps: np.ndarray,
    masks: np.ndarray,
    values: np.ndarray,
    sums: np.ndarray,
    foreground_above: int,
    importance: np.ndarray,
    taps: np.ndarray,
) -> None:
    nearest_row = np.empty(maps.shape[1:], np.int32)
    for image in range(len(maps)):
        inside = masks[image] > foreground_above
        if inside.any():
            _nearest_in_columns(inside, nearest_row)
            _sum_image(maps[image], inside, nearest_row, values[image], importance, taps, sums[image])


@compiled
def _sum_image(
    levels: np.ndarray,
    inside: np.ndarray,
    nearest_row: np.ndarray,
    values: np.ndarray,
    importance: np.ndarray,
    taps: np.ndarray,
    sums: np.ndarray,
) -> None:
    """Row by row; the last rows, blurred along themselves, wait in a ring for the blur along columns."""
    height, width = inside.shape
    top, bottom, left, right = _bounds(inside)
    hull, steps = np.empty(width, np.int64), np.empty(width, np.int64)
    carried, ring = np.empty(width), np.empty((len(taps), width))
    for row in range(height + REACH):
        if row < height:
            last = _hull_of_row(nearest_row[row], row, hull, steps)
            sums[1] += _carry_row(
                hull[: last + 1], steps, nearest_row[row], inside[row], levels, levels[row], values, importance, carried
            )
            _blur_row(carried, left, right, taps, ring[row % len(taps)])
        if top <= row - REACH < bottom:
            _sum_row(inside, levels, values, ring, row - REACH, left, right, taps, sums)


@compiled
def _bounds(inside: np.ndarray) -> tuple[int, int, int, int]:
    """First row, end row, first column and end column of the mask."""
    height, width = inside.shape
    top, bottom, left, right = height, 0, width, 0
    for row in range(height):
        for column in range(width):
            if inside[row, column]:
                top, bottom = min(top, row), row + 1
                left, right = min(left, column), max(right, column + 1)
    return top, bottom, left, right


@compiled
def _nearest_in_columns(inside: np.ndarray, nearest_row: np.ndarray) -> None:
    """Row of the nearest mask pixel of the same column, the upper one of two; NOWHERE without any."""
    height, width = inside.shape
    for column in range(width):
        nearest_row[0, column] = 0 if inside[0, column] else NOWHERE
    for row in range(1, height):
        for column in range(width):
            nearest_row[row, column] = row if inside[row, column] else nearest_row[row - 1, column]
    for row in range(height - 2, -1, -1):
        for column in range(width):
            upper, lower = nearest_row[row, column], nearest_row[row + 1, column]
            if lower - row < row - upper and lower > row:
                nearest_row[row, column] = lower


@compiled
def _carry_row(
    hull: np.ndarray,
    steps: np.ndarray,
    nearest_row: np.ndarray,
    inside: np.ndarray,
    levels: np.ndarray,
    own_levels: np.ndarray,
    values: np.ndarray,
    importance: np.ndarray,
    carried: np.ndarray,
) -> float:
    """Carry errors of the mask to the pixels of a row they are nearest to; returns the weighted sum of those outside.

    hull: columns; steps: squared distances along them from the row to their nearest mask pixels.
    """
    outside = 0.0
    place = 0
    for column in range(len(inside)):
        here = (column - hull[place]) ** 2 + steps[place]
        while place + 1 < len(hull):
            following = (column - hull[place + 1]) ** 2 + steps[place + 1]
            if here <= following:
                break
            here = following
            place += 1
        carried[column] = abs(values[levels[nearest_row[hull[place]], hull[place]]] - 1.0)
        if not inside[column]:
            outside += values[own_levels[column]] * importance[min(here, FARTHEST - 1)]
    return float(outside)


@compiled
def _hull_of_row(nearest_row: np.ndarray, row: int, hull: np.ndarray, steps: np.ndarray) -> int:
    """Columns whose nearest mask pixels are nearest to some pixel of this row, in order; returns the last's place."""
    last = -1
    for column in range(len(nearest_row)):
        if nearest_row[column] == NOWHERE:
            continue
        step = (row - nearest_row[column]) ** 2
        while last >= 1 and _hidden(hull[last - 1], steps[last - 1], hull[last], steps[last], column, step):
            last -= 1
        last += 1
        hull[last], steps[last] = column, step
    return last


@compiled
def _hidden(left: int, left_step: int, middle: int, middle_step: int, right: int, right_step: int) -> bool:
    """Whether nowhere on the row the middle one of three columns is as near as the others."""
    before, after = middle - left, right - middle
    bend = (before + after) * middle_step - after * left_step - before * right_step
    return bend > before * after * (before + after)


@compiled
def _blur_row(values: np.ndarray, left: int, right: int, taps: np.ndarray, blurred: np.ndarray) -> None:
    blurred[left:right] = 0.0
    for tap in range(-REACH, REACH + 1):
        for column in range(max(-tap, left), min(len(values) - tap, right)):
            blurred[column] += taps[tap + REACH] * values[column + tap]


@compiled
def _sum_row(
    inside: np.ndarray,
    levels: np.ndarray,
    values: np.ndarray,
    ring: np.ndarray,
    row: int,
    left: int,
    right: int,
    taps: np.ndarray,
    sums: np.ndarray,
) -> None:
    """Blur along columns and add the smaller of each error and its blur."""
    mean = np.zeros(inside.shape[1])
    for source in range(max(row - REACH, 0), min(row + REACH + 1, len(inside))):
        blurred, tap = ring[source % len(taps)], taps[source - row + REACH]
        for column in range(left, right):
            mean[column] += tap * blurred[column]
    for column in range(left, right):
        if inside[row, column]:
            sums[0] += min(abs(values[levels[row, column]] - 1.0), mean[column])
            sums[2] += 1
