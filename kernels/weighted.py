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
    count, height, width = maps.shape
    errors, carried, blurred = np.empty((height, width)), np.empty((height, width)), np.empty((height, width))
    nearest_row = np.empty((height, width), np.int32)
    for image in range(count):
        inside = masks[image] > foreground_above
        if inside.any():
            _errors(maps[image], inside, values[image], errors)
            _nearest_in_columns(inside, nearest_row)
            sums[image, 1] = _carry_errors(inside, nearest_row, errors, importance, carried)
            top, bottom, left, right = _bounds(inside)
            _blur_rows(carried[max(top - REACH, 0) : bottom + REACH], left, right, taps, blurred)
            _sum_inside(inside, errors, blurred, top, bottom, left, right, taps, sums[image])


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
def _errors(levels: np.ndarray, inside: np.ndarray, values: np.ndarray, errors: np.ndarray) -> None:
    for row in range(levels.shape[0]):
        for column in range(levels.shape[1]):
            value = values[levels[row, column]]
            errors[row, column] = abs(value - 1.0) if inside[row, column] else abs(value)


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
def _carry_errors(
    inside: np.ndarray, nearest_row: np.ndarray, errors: np.ndarray, importance: np.ndarray, carried: np.ndarray
) -> float:
    """Carry errors of the mask to the pixels it is nearest to; returns the weighted sum of the errors outside."""
    hull, steps = np.empty(inside.shape[1], np.int64), np.empty(inside.shape[1], np.int64)
    outside = 0.0
    for row in range(len(inside)):
        last = _hull_of_row(nearest_row[row], row, hull)
        for place in range(last + 1):
            steps[place] = (row - nearest_row[row, hull[place]]) ** 2
        outside += _carry_row(
            hull[: last + 1],
            steps,
            nearest_row[row],
            inside[row],
            errors,
            errors[row],
            importance,
            carried[row],
        )
    return outside


@compiled
def _carry_row(
    hull: np.ndarray,
    steps: np.ndarray,
    nearest_row: np.ndarray,
    inside: np.ndarray,
    errors: np.ndarray,
    own_errors: np.ndarray,
    importance: np.ndarray,
    carried: np.ndarray,
) -> float:
    """hull: columns; steps: squared distances along them from the row to their nearest mask pixels."""
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
        carried[column] = errors[nearest_row[hull[place]], hull[place]]
        if not inside[column]:
            outside += own_errors[column] * importance[min(here, FARTHEST - 1)]
    return outside


@compiled
def _hull_of_row(nearest_row: np.ndarray, row: int, hull: np.ndarray) -> int:
    """Columns whose nearest mask pixels are nearest to some pixel of this row, in order; returns the last's place."""
    last = -1
    for column in range(len(nearest_row)):
        if nearest_row[column] == NOWHERE:
            continue
        while last >= 1 and _hidden(nearest_row, row, hull[last - 1], hull[last], column):
            last -= 1
        last += 1
        hull[last] = column
    return last


@compiled
def _hidden(nearest_row: np.ndarray, row: int, left: int, middle: int, right: int) -> bool:
    """Whether nowhere on the row the middle one of three columns is as near as the others."""
    up_left, up_middle, up_right = row - nearest_row[left], row - nearest_row[middle], row - nearest_row[right]
    before, after = middle - left, right - middle
    bend = (before + after) * up_middle * up_middle - after * up_left * up_left - before * up_right * up_right
    return bend > before * after * (before + after)


@compiled
def _blur_rows(values: np.ndarray, left: int, right: int, taps: np.ndarray, blurred: np.ndarray) -> None:
    """Blur rows along themselves, for the columns from left to right."""
    width = values.shape[1]
    for row in range(len(values)):
        blurred[row, left:right] = 0.0
        for tap in range(-REACH, REACH + 1):
            for column in range(max(-tap, left), min(width - tap, right)):
                blurred[row, column] += taps[tap + REACH] * values[row, column + tap]


@compiled
def _sum_inside(
    inside: np.ndarray,
    errors: np.ndarray,
    blurred: np.ndarray,
    top: int,
    bottom: int,
    left: int,
    right: int,
    taps: np.ndarray,
    sums: np.ndarray,
) -> None:
    """Blur along columns and add the smaller of each error and its blur; row 0 of `blurred` is max(top - REACH, 0)."""
    mean = np.empty(inside.shape[1])
    first = max(top - REACH, 0)
    for row in range(top, bottom):
        mean[left:right] = 0.0
        for source in range(max(row - REACH, 0), min(row + REACH + 1, len(inside))):
            for column in range(left, right):
                mean[column] += taps[source - row + REACH] * blurred[source - first, column]
        for column in range(left, right):
            if inside[row, column]:
                sums[0] += min(errors[row, column], mean[column])
                sums[2] += 1
