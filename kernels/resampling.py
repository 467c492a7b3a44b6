"""Resizing 8-bit images and maps, byte for byte as Pillow's Image.resize does it (src/libImaging/Resample.c).

Pillow averages over all pixels under a filter, which is as wide as the step where an image shrinks: along one axis, then
along the other, with weights in fixed point and 8 bits in between. Rows come first but where an image loses height and
columns are the smaller work: found by comparing with Pillow 13, see `columns_first`. Here one weight meets many neighbours
in memory: a whole row where columns are averaged, and where rows are, a strip of them that is turned on its side.
"""

import math
from functools import lru_cache

import numpy as np

from .parallel import compiled

PRECISION = 22
"""Bits of a weight behind the point."""
HALF = 1 << (PRECISION - 1)
STRIP = 32
"""Rows that are turned together; half as many take a quarter longer."""
SUPPORT = {"bilinear": 1.0, "bicubic": 2.0, "lanczos": 3.0}
"""Half the width of each filter, in pixels of an image that does not shrink."""
BICUBIC = -0.5
"""Slope of the bicubic filter where it crosses zero."""


def resized(image: np.ndarray, height: int, width: int, resample: str = "bilinear") -> np.ndarray:
    """Resize an image, uint8 [H,W] or [H,W,C], to [height,width] or [height,width,C].

    resample: a filter of `SUPPORT`. Raises ValueError on other shapes and dtypes, and on a side without pixels.
    """
    if image.dtype != np.uint8 or image.ndim not in (2, 3) or 0 in image.shape:
        raise ValueError(f"images must be uint8 [H,W] or [H,W,C] with pixels, got {image.dtype} {list(image.shape)}")
    if min(height, width) < 1:
        raise ValueError(f"a size of 1 pixel or more is needed, got {height} x {width}")
    return resized_in_order(image, height, width, resample, columns_first(image.shape[:2], (height, width)))


def resized_in_order(image: np.ndarray, height: int, width: int, resample: str, down_first: bool) -> np.ndarray:
    """Resize as `resized` does an image that it takes, columns first or rows first."""
    image = np.ascontiguousarray(image)
    if down_first:
        return _across(_down(image, height, resample), width, resample)
    return _down(_across(image, width, resample), height, resample)


def columns_first(shape: tuple[int, ...], size: tuple[int, int]) -> bool:
    """Whether Pillow resizes along columns before it does along rows; the bytes can differ by a level."""
    (height, width), (new_height, new_width) = shape, size
    return new_height < height and 2 * (new_width - width) + height - new_height > 0


@lru_cache(maxsize=128)
def axis_weights(length: int, new_length: int, resample: str = "bilinear") -> np.ndarray:
    """Weights of each new pixel along an axis, int32 [new_length, 2 + n]: first old pixel, how many, their weights."""
    step = length / new_length
    stretch = max(step, 1.0)
    reach = SUPPORT[resample] * stretch
    center = (np.arange(new_length) + 0.5) * step
    first = np.maximum((center - reach + 0.5).astype(np.int64), 0)
    end = np.minimum((center + reach + 0.5).astype(np.int64), length)
    places = first[:, None] + np.arange(math.ceil(reach) * 2 + 1)
    weights = _filter((places - center[:, None] + 0.5) * (1 / stretch), resample)
    weights[places >= end[:, None]] = 0
    sums = np.cumsum(weights, axis=1)[:, -1:]  # one after the other, as Pillow adds them
    fixed = weights / np.where(sums == 0, 1, sums) * (1 << PRECISION)
    fixed += np.where(weights < 0, -0.5, 0.5)
    return np.concatenate((first[:, None], (end - first)[:, None], fixed), axis=1).astype(np.int32)


def _filter(x: np.ndarray, resample: str) -> np.ndarray:
    """Return the values of a filter at distances, in pixels, from its centre."""
    x = np.abs(x)
    if resample == "bilinear":
        return np.maximum(1 - x, 0)
    if resample == "bicubic":
        near = ((BICUBIC + 2) * x - (BICUBIC + 3)) * x * x + 1
        return np.where(x < 1, near, np.where(x < 2, (((x - 5) * x + 8) * x - 4) * BICUBIC, 0))
    return np.where(x < 3, _sinc(x) * _sinc(x / 3), 0)


def _sinc(x: np.ndarray) -> np.ndarray:
    return np.sin(x * math.pi) / np.where(x == 0, 1, x * math.pi) + (x == 0)


def _across(image: np.ndarray, width: int, resample: str) -> np.ndarray:
    rows, columns, *channels = image.shape
    if columns == width:
        return image
    made = np.empty((rows, width, *channels), np.uint8)
    weights = axis_weights(columns, width, resample)
    _across_loop(image.reshape(rows, -1), math.prod(channels), weights, made.reshape(rows, -1))
    return made


def _down(image: np.ndarray, height: int, resample: str) -> np.ndarray:
    rows = len(image)
    if rows == height:
        return image
    made = np.empty((height, *image.shape[1:]), np.uint8)
    _down_loop(image.reshape(rows, -1), axis_weights(rows, height, resample), made.reshape(height, -1))
    return made


@compiled
def _across_loop(image: np.ndarray, channels: int, weights: np.ndarray, made: np.ndarray) -> None:
    """Average along rows; image uint8 [H,W C], made uint8 [H,new W C]."""
    turned = np.zeros((image.shape[1], STRIP), np.uint8)
    new = np.empty((made.shape[1], STRIP), np.uint8)
    pixel = channels * STRIP
    sums = np.empty(pixel, np.int32)
    for top in range(0, len(image), STRIP):
        rows = image[top : top + STRIP]
        for column in range(len(turned)):
            for row in range(len(rows)):
                turned[column, row] = rows[row, column]
        _down_pixels(turned.reshape(-1), pixel, weights, sums, new.reshape(-1))
        made_rows = made[top : top + STRIP]
        for row in range(len(rows)):
            for column in range(len(new)):
                made_rows[row, column] = new[column, row]


@compiled
def _down_loop(image: np.ndarray, weights: np.ndarray, made: np.ndarray) -> None:
    """Average along columns; image uint8 [H,N], made uint8 [new H,N]."""
    width = image.shape[1]
    _down_pixels(image.reshape(-1), width, weights, np.empty(width, np.int32), made.reshape(-1))


@compiled
def _down_pixels(source: np.ndarray, width: int, weights: np.ndarray, sums: np.ndarray, made: np.ndarray) -> None:
    """Average rows of a width, which lie one after the other in memory: the inner loops become vector instructions."""
    for row in range(len(weights)):
        first, count = weights[row, 0], weights[row, 1]
        sums[:] = HALF
        for tap in range(count):
            weight = weights[row, 2 + tap]
            old = source[(first + tap) * width : (first + tap + 1) * width]
            for place in range(len(old)):
                sums[place] += np.int32(np.int32(old[place]) * weight)
        new = made[row * width : (row + 1) * width]
        for place in range(len(new)):
            new[place] = min(max(sums[place] >> PRECISION, 0), 255)
