"""Connected superpixels: small fragments join a neighbour, and labels count up in raster order (spec 2.6).

The rule is that of Achanta's code, said without its flood fill so that a GPU can follow it: a 4-connected component of
at most `smallest` pixels takes the label of the neighbour of its first pixel (in raster order) that is the last of left,
up, right, down to belong to a component that began earlier. Small components that begin the image share label 0 with
the first large one.
"""

import numpy as np

from .parallel import compiled


@compiled
def connect(labels: np.ndarray, smallest: int, parents: np.ndarray, finals: np.ndarray) -> None:
    """Relabel one image in place: labels int32 [H, W]; parents and finals are int32 [H * W] scratch."""
    _join_equal_neighbours(labels, parents)
    finals[:] = 0
    for pixel in range(len(parents)):  # a parent comes before its children: one pass finds every root
        parents[pixel] = parents[parents[pixel]]
        finals[parents[pixel]] += 1
    _number_components(parents, finals, labels.shape[1], smallest)
    flat = labels.reshape(-1)
    for pixel in range(len(parents)):
        flat[pixel] = finals[parents[pixel]]


@compiled
def earlier_neighbour(parents: np.ndarray, pixel: int, width: int) -> int:
    """Of a component's first pixel, the neighbouring component that it joins; itself for the first pixel of all."""
    column = pixel % width
    if pixel + width < len(parents) and parents[pixel + width] < pixel:
        return parents[pixel + width]
    if column + 1 < width and parents[pixel + 1] < pixel:
        return parents[pixel + 1]
    if pixel >= width:
        return parents[pixel - width]
    return parents[pixel - 1] if column > 0 else pixel


@compiled
def _join_equal_neighbours(labels: np.ndarray, parents: np.ndarray) -> None:
    """Union-find over left and upper neighbours; a root is the first pixel of its component."""
    height, width = labels.shape
    for row in range(height):
        for column in range(width):
            pixel = row * width + column
            parents[pixel] = pixel
            if column > 0 and labels[row, column] == labels[row, column - 1]:
                parents[pixel] = parents[pixel - 1]
            if row > 0 and labels[row, column] == labels[row - 1, column]:
                upper = parents[pixel - width]
                if upper != parents[pixel]:
                    parents[pixel] = _join(parents, pixel, upper)


@compiled
def _join(parents: np.ndarray, first: int, second: int) -> int:
    first, second = _root(parents, first), _root(parents, second)
    parents[max(first, second)] = min(first, second)
    return min(first, second)


@compiled
def _root(parents: np.ndarray, pixel: int) -> int:
    while parents[pixel] != pixel:
        parents[pixel] = parents[parents[pixel]]
        pixel = parents[pixel]
    return pixel


@compiled
def _number_components(parents: np.ndarray, finals: np.ndarray, width: int, smallest: int) -> None:
    """Turn the sizes in `finals` into final labels, at the roots; earlier components are always numbered first."""
    large = 0
    for pixel in range(len(parents)):
        if parents[pixel] != pixel:
            continue
        if finals[pixel] > smallest:
            large += 1
            finals[pixel] = large - 1
        else:
            neighbour = earlier_neighbour(parents, pixel, width)
            finals[pixel] = finals[neighbour] if neighbour != pixel else 0
