"""Labels that follow the edges of their photographs."""

from collections.abc import Callable

import numpy as np

from ...train.students.student_config import GRID
from ..cleanup.edge_refinement import edge_refined

REFINED_TOGETHER = 64

Advance = Callable[[int], None]


def refined_labels(labels: np.ndarray, pixels: np.ndarray, advance: Advance) -> np.ndarray:
    """Return labels, float32 [P,S/4,S/4] in 0..1, that follow their photographs, uint8 [P,S,S,3], at full resolution.

    advance: told how many photographs more are done.
    """
    refined = np.empty(labels.shape, np.float32)
    for start in range(0, len(labels), REFINED_TOGETHER):
        part = slice(start, start + REFINED_TOGETHER)
        maps = edge_refined(labels[part].repeat(GRID, 1).repeat(GRID, 2), np.ascontiguousarray(pixels[part]))
        count, height, width = labels[part].shape
        refined[part] = maps.reshape(count, height, GRID, width, GRID).mean((2, 4))
        advance(count)
    return refined
