"""Gaussian smoothing of maps; values outside a map repeat its edge."""

import math

import numpy as np

from ..errors import UnseeError
from .checks import check_maps

REACH = 4.0
"""Standard deviations after which the Gaussian is cut off."""


def gaussian_blur(maps: np.ndarray, sigma: float, radius: int | None = None) -> np.ndarray:
    """Smooth maps, float32 [B, H, W], by a Gaussian of `sigma` pixels; radius: of the window, 4 sigma where None."""
    if not sigma > 0:
        raise UnseeError(f"sigma must be positive, got {sigma}")
    radius = math.ceil(REACH * sigma) if radius is None else radius
    taps = np.exp(-(np.arange(-radius, radius + 1) ** 2) / (2 * sigma**2))
    taps = (taps / taps.sum()).astype(np.float32)
    maps = check_maps(maps)
    if maps.size == 0:
        return maps
    return _along(_along(maps, taps, 1), taps, 2)


def _along(maps: np.ndarray, taps: np.ndarray, axis: int) -> np.ndarray:
    radius, length = len(taps) // 2, maps.shape[axis]
    padding = [(radius, radius) if place == axis else (0, 0) for place in range(3)]
    padded = np.moveaxis(np.pad(maps, padding, mode="edge"), axis, 1)
    total = sum(tap * padded[:, place : place + length] for place, tap in enumerate(taps))
    return np.ascontiguousarray(np.moveaxis(np.asarray(total), 1, axis))
