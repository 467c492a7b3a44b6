"""Graph-based segmentation (Felzenszwalb and Huttenlocher, IJCV 2004) of smoothed Lab images.

Edge lengths are integers in 1/128 Lab unit, so that sorting them, and ties, are the same everywhere.
"""

import numpy as np

from ..errors import UnseeError
from .blur import gaussian_blur
from .checks import check_lab
from .parallel import compiled, over_images

STEPS = 128


def felzenszwalb(lab: np.ndarray, sigma: float = 0.5, scale: float = 50.0, min_size: int = 200) -> np.ndarray:
    """Segment Lab images [B, H, W, 3] into regions: int32 [B, H, W], labels 0..n-1 in raster order of first pixels.

    Pixels are joined to their eight neighbours in order of colour distance; two regions join if the edge between them
    is no longer than the longest edge inside either plus scale / its size. Regions below `min_size` pixels then join
    their nearest neighbour. sigma: pixels of smoothing before. Raises UnseeError for parameters out of range.
    """
    if scale < 0 or min_size < 0:
        raise UnseeError(f"scale and min_size must be at least 0, got {scale} and {min_size}")
    lab = np.nan_to_num(check_lab(lab))
    if sigma > 0:
        lab = np.stack([gaussian_blur(lab[..., channel], sigma) for channel in range(3)], axis=-1)
    labels = np.empty(lab.shape[:3], np.int32)
    if labels.size == 0:
        return labels
    lengths, ends = edges(lab)
    order = np.argsort(lengths, axis=1, kind="stable").astype(np.int32)
    over_images(_segment_loop, order, lengths, labels, constants=(ends, scale * STEPS, min_size))
    return labels


def edges(lab: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Lengths [B, E] (uint16) and ends int32 [E, 2], pixel numbers, of the edges of the 8-connected grid."""
    _, height, width, _ = lab.shape
    pixels = np.arange(height * width, dtype=np.int32).reshape(height, width)
    lengths, ends = [], []
    for down, right in ((0, 1), (1, 0), (1, 1), (1, -1)):
        here = np.s_[: height - down, max(-right, 0) : width - max(right, 0)]
        there = np.s_[down:, max(right, 0) : width + min(right, 0)]
        squares = ((lab[:, *here] - lab[:, *there]).astype(np.float64) ** 2).sum(-1)
        lengths.append(np.rint(np.sqrt(squares) * STEPS).astype(np.uint16).reshape(len(lab), -1))
        ends.append(np.stack([pixels[here].ravel(), pixels[there].ravel()], axis=1))
    return np.concatenate(lengths, axis=1), np.concatenate(ends)


@compiled
def _segment_loop(
    order: np.ndarray, lengths: np.ndarray, labels: np.ndarray, ends: np.ndarray, scale: float, min_size: int
) -> None:
    _, height, width = labels.shape
    roots, sizes = np.empty(height * width, np.int32), np.empty(height * width, np.int32)
    limits = np.empty(height * width)
    for image in range(len(labels)):
        for pixel in range(height * width):
            roots[pixel], sizes[pixel], limits[pixel] = pixel, 1, scale
        for edge in order[image]:
            one, other = _root(roots, ends[edge, 0]), _root(roots, ends[edge, 1])
            length = np.float64(lengths[image, edge])
            if one != other and length <= limits[one] and length <= limits[other]:
                root = _merge(roots, sizes, one, other)
                limits[root] = length + scale / sizes[root]
        for edge in order[image]:
            one, other = _root(roots, ends[edge, 0]), _root(roots, ends[edge, 1])
            if one != other and (sizes[one] < min_size or sizes[other] < min_size):
                _merge(roots, sizes, one, other)
        _number(roots, sizes, labels[image])


@compiled
def _root(roots: np.ndarray, pixel: int) -> int:
    while roots[pixel] != pixel:
        roots[pixel] = roots[roots[pixel]]
        pixel = roots[pixel]
    return pixel


@compiled
def _merge(roots: np.ndarray, sizes: np.ndarray, one: int, other: int) -> int:
    """Join two regions; return the root of both."""
    if sizes[one] < sizes[other]:
        one, other = other, one
    roots[other] = one
    sizes[one] += sizes[other]
    return one


@compiled
def _number(roots: np.ndarray, names: np.ndarray, labels: np.ndarray) -> None:
    """Number the regions in raster order; `names` is scratch, one number a pixel."""
    names[:] = -1
    count = 0
    height, width = labels.shape
    for pixel in range(height * width):
        root = _root(roots, pixel)
        if names[root] < 0:
            names[root] = count
            count += 1
        labels[pixel // width, pixel % width] = names[root]
