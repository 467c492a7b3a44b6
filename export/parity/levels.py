"""How far two maps are apart, as they are and in 8-bit levels."""

import numpy as np


def relative_error(actual: np.ndarray, expected: np.ndarray) -> np.ndarray:
    """Return |actual - expected| / |expected| (L2) of every image, float64 [B]; two equal images have 0."""
    axes = tuple(range(1, expected.ndim))
    distance = np.sqrt(np.square(actual - expected, dtype=np.float64).sum(axes))
    length = np.sqrt(np.square(expected, dtype=np.float64).sum(axes))
    return np.where(distance > 0, distance / np.maximum(length, 1e-300), 0)


def mean_difference(actual: np.ndarray, expected: np.ndarray) -> float:
    """Return the mean difference between 8-bit maps in levels."""
    return float(np.abs(actual.astype(np.int16) - expected).mean())


def within_one_level(actual: np.ndarray, expected: np.ndarray) -> float:
    """Return the share of pixels of 8-bit maps that differ by 1 level at most."""
    return float((np.abs(actual.astype(np.int16) - expected) <= 1).mean())
