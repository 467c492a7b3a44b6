"""What a bundle is verified on where there are no photographs."""

import numpy as np


def synthetic_images(size: int, count: int = 4) -> np.ndarray:
    """Return images, uint8 [count,size,size,3], of blurred noise at several scales: probes where there are no others."""
    generator = np.random.default_rng(0)
    total = np.zeros((count, size, size, 3))
    for cells in (3, 8, 21, 55):
        coarse = generator.random((count, cells, cells, 3))
        index = np.arange(size) * cells // size
        total += coarse[:, index][:, :, index] * generator.random((count, 1, 1, 3))
    noise = generator.random((count, size, size, 3)) * 0.1  # without it, flat areas would be full of equal maxima
    return np.rint((total / total.max((1, 2, 3), keepdims=True) * 0.9 + noise) * 255).astype(np.uint8)
