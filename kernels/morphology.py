"""Grey dilation and erosion of maps with a flat element; pixels outside the map take no part (spec 7, CC-18).

Maps are float32 [B, H, W]; a pixel that is NaN counts as 0.
"""

from typing import Literal

import numpy as np

from ..errors import UnseeError
from .checks import check_maps
from .parallel import compiled, over_images

Element = Literal["square", "disk"]


def dilate(maps: np.ndarray, radius: int = 1, element: Element = "square") -> np.ndarray:
    """Largest value under the element: a square of side 2 radius + 1, or a disk (x^2 + y^2 <= radius^2)."""
    maps = np.nan_to_num(check_maps(maps), posinf=np.inf, neginf=-np.inf)
    widened = np.empty_like(maps)
    over_images(_dilate_loop, maps, widened, constants=(half_widths(radius, element),))
    return widened


def erode(maps: np.ndarray, radius: int = 1, element: Element = "square") -> np.ndarray:
    """Smallest value under the element: dilation of the negative."""
    return -dilate(-check_maps(maps), radius, element)


def half_widths(radius: int, element: Element) -> np.ndarray:
    """Columns that the element reaches to either side in each of its 2 radius + 1 rows, int64."""
    if radius < 0 or element not in ("square", "disk"):
        raise UnseeError(f"the element must be a square or a disk of radius 0 or more, got {element!r}, {radius}")
    rows = np.arange(-radius, radius + 1)
    if element == "square":
        return np.full(len(rows), radius)
    return np.sqrt(radius**2 - rows**2 + 0.5).astype(np.int64)  # + 0.5: the root of a square must not fall short


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
