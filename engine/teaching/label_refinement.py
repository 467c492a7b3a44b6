"""Labels that follow the edges of their photographs, by the bilateral solver at half the student's resolution."""

from collections.abc import Callable

import numpy as np

from ...kernels.bilateral_solver import bilateral
from ...train.students.student_config import GRID

FINER = 2
"""How many times finer than the labels the photographs are looked at."""
SIGMA_SPATIAL, SMOOTHNESS = 8.0, 16.0
REFINED_TOGETHER = 64

Advance = Callable[[int], None]


def refined_labels(labels: np.ndarray, pixels: np.ndarray, advance: Advance) -> np.ndarray:
    """Return labels, float32 [P,S/4,S/4] in 0..1, that follow their photographs, uint8 [P,S,S,3].

    advance: told how many photographs more are done.
    """
    refined = np.empty(labels.shape, np.float32)
    for start in range(0, len(labels), REFINED_TOGETHER):
        part = slice(start, start + REFINED_TOGETHER)
        images = np.rint(_means(pixels[part], GRID // FINER)).astype(np.uint8)
        maps = labels[part].repeat(FINER, 1).repeat(FINER, 2)
        refined[part] = _means(bilateral(maps, images, SIGMA_SPATIAL, smoothness=SMOOTHNESS), FINER)
        advance(len(images))
    return refined


def _means(values: np.ndarray, side: int) -> np.ndarray:
    """Return the means of cells of `side` pixels a side, of values [B,H,W,...]."""
    count, height, width = values.shape[:3]
    cells = values.reshape(count, height // side, side, width // side, side, *values.shape[3:])
    return cells.mean((2, 4), dtype=np.float32)
