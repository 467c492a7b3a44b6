"""Sums of an image's colours, weighted and plain, exact in whole numbers."""

from typing import Any

import numpy as np

from .parallel import compiled


def color_sums(image: np.ndarray, weights: np.ndarray) -> tuple[np.ndarray, np.ndarray, int]:
    """Return the sums of weight times colour and of colours, int64 [3] each, and that of the weights.

    image: uint8 [H,W,3]. weights: uint8 [H,W].
    """
    sums = np.zeros((2, 3), np.int64)
    total = _add_colors(np.ascontiguousarray(image), np.ascontiguousarray(weights), sums)
    return sums[0], sums[1], int(total)


@compiled
def _add_colors(image: Any, weights: Any, sums: Any) -> Any:
    total = 0
    for row in range(image.shape[0]):
        for column in range(image.shape[1]):
            weight = np.int64(weights[row, column])
            total += weight
            for channel in range(3):
                value = np.int64(image[row, column, channel])
                sums[0, channel] += weight * value
                sums[1, channel] += value
    return total
