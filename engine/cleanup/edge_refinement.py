"""Maps that follow the edges of their images: the bilateral solver, and a sigmoid that parts what it left in between."""

import numpy as np

from ...kernels.bilateral_solver import bilateral
from ...kernels.prune import sigmoid

CELLS = 20
"""Of the solver's grid along a side."""
SMOOTHNESS = 128.0
STEEPNESS, MIDDLE = 30.0, 0.5
"""Of the sigmoid; these constants were chosen on half of a data set, see docs/log.md."""


def edge_refined(maps: np.ndarray, images: np.ndarray) -> np.ndarray:
    """Return maps, float32 [B,S,S] in 0..1, that follow images, uint8 [B,S,S,3], each on its own; a zero map stays one."""
    cell = max(images.shape[1] / CELLS, 1.0)
    return sigmoid(bilateral(maps, images, sigma_spatial=cell, smoothness=SMOOTHNESS), STEEPNESS, MIDDLE)
