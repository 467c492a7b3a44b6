"""Maps in 8-bit levels."""

from typing import Any

import numpy as np

from .device import empty, handed_back, is_cuda, launch, on_device

cuda: Any = None  # bound by launch: a CPU needs no CUDA


def to_levels(maps: np.ndarray) -> np.ndarray:
    """Return maps of 0..1 in 8-bit levels; values beyond are cut to the nearest level, and what is no number is 0.

    Maps are floats of any shape in memory, or float32 of any shape, contiguous, on a CUDA device; levels lie where they lie.
    """
    if is_cuda(maps):
        return _to_levels_cuda(maps)
    return np.rint(np.nan_to_num(np.clip(maps, 0, 1)) * 255).astype(np.uint8)


def _to_levels_cuda(source: Any) -> Any:
    maps = on_device("maps", source, np.float32, (None,) * len(source.shape))
    levels = empty(maps.shape, np.uint8)
    launch(_level_kernel, maps.size, maps.reshape(maps.size), levels.reshape(levels.size))
    return handed_back(levels, source)


def _level_kernel(maps: Any, levels: Any) -> None:
    index = cuda.grid(1)
    if index < maps.size:
        value = maps[index]
        value = value if value > 0 else np.float32(0)  # NaN included
        levels[index] = round(min(value, np.float32(1)) * np.float32(255))  # halves to even
