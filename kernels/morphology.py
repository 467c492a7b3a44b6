"""Grey dilation and erosion of maps with a flat element; pixels outside the map take no part (spec 7, CC-18).

Maps are float32 [B, H, W], in memory or on a CUDA device; results lie in the same place. A pixel that is NaN counts as 0.
"""

import math
from typing import Any, Literal

import numpy as np

from ..errors import UnseeError
from .checks import check_maps
from .device import empty, handed_back, is_cuda, launch, on_device, pixel_of
from .parallel import compiled, over_images

cuda: Any = None  # bound by launch: a CPU needs no CUDA

Element = Literal["square", "disk"]


def dilate(maps: np.ndarray, radius: int = 1, element: Element = "square") -> np.ndarray:
    """Largest value under the element: a square of side 2 radius + 1, or a disk (x^2 + y^2 <= radius^2)."""
    if is_cuda(maps):
        return _extreme_cuda(maps, radius, element, 1)
    maps = np.nan_to_num(check_maps(maps), posinf=np.inf, neginf=-np.inf)
    widened = np.empty_like(maps)
    over_images(_dilate_loop, maps, widened, constants=(half_widths(radius, element),))
    return widened


def erode(maps: np.ndarray, radius: int = 1, element: Element = "square") -> np.ndarray:
    """Smallest value under the element: dilation of the negative."""
    if is_cuda(maps):
        return _extreme_cuda(maps, radius, element, -1)
    return -dilate(-check_maps(maps), radius, element)


def half_widths(radius: int, element: Element) -> np.ndarray:
    """Columns that the element reaches to either side in each of its 2 radius + 1 rows, int64."""
    _check_element(radius, element)
    rows = np.arange(-radius, radius + 1)
    if element == "square":
        return np.full(len(rows), radius)
    return np.sqrt(radius**2 - rows**2 + 0.5).astype(np.int64)  # + 0.5: the root of a square must not fall short


def _check_element(radius: int, element: Element) -> None:
    if radius < 0 or element not in ("square", "disk"):
        raise UnseeError(f"the element must be a square or a disk of radius 0 or more, got {element!r}, {radius}")


def _extreme_cuda(source: Any, radius: int, element: Element, sign: int) -> Any:
    _check_element(radius, element)
    maps = on_device("maps", source, np.float32, (None, None, None))
    widened = empty(maps.shape, np.float32)
    launch(_extreme_kernel, maps.size, maps, radius, element == "disk", np.float32(sign), widened)
    return handed_back(widened, source)


@compiled
def _dilate_loop(maps: np.ndarray, widened: np.ndarray, reach: np.ndarray) -> None:
    _, height, _ = maps.shape
    radius = len(reach) // 2
    for image in range(len(maps)):
        for row in range(height):
            widened[image, row] = -np.inf
            for source in range(max(row - radius, 0), min(row + radius + 1, height)):
                _dilate_row(maps[image, source], widened[image, row], reach[source - row + radius])


@compiled
def _dilate_row(source: np.ndarray, target: np.ndarray, reach: int) -> None:
    width = len(source)
    for shift in range(-min(reach, width - 1), min(reach, width - 1) + 1):
        for column in range(max(-shift, 0), width - max(shift, 0)):
            target[column] = max(target[column], source[column + shift])


def _extreme_kernel(maps: Any, radius: int, disk: bool, sign: np.float32, widened: Any) -> None:
    """The largest value under the element, or the smallest if the sign is -1."""
    index = cuda.grid(1)
    count, height, width = maps.shape
    if index >= count * height * width:
        return
    image, row, column = pixel_of(index, height, width)
    extreme = np.float32(-np.inf)
    for source in range(max(row - radius, 0), min(row + radius + 1, height)):
        reach = _half_width(radius, source - row) if disk else radius
        for place in range(max(column - reach, 0), min(column + reach + 1, width)):
            value = maps[image, source, place]
            value = np.float32(0) if math.isnan(value) else sign * value
            extreme = value if value > extreme else extreme
    widened[image, row, column] = sign * extreme


@compiled
def _half_width(radius: int, away: int) -> int:
    """One of a disk's `half_widths`: exact in single precision, as no radius is in the thousands."""
    return int(math.sqrt(np.float32(radius * radius - away * away) + np.float32(0.5)))
