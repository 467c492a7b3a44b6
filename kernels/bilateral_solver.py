"""The fast bilateral solver: maps that follow the edges of their image (Barron & Poole, ECCV 2016).

Pixels are gathered in the cells of a grid over place and colour, of which only those with a pixel exist. The solved map
is smooth over neighbouring cells and near the given one: over the values y of the cells it minimises
smoothness y^T (Dm - Dn B Dn) y + sum over pixels of confidence (y of its cell - map)^2, where B blurs and Dn scales the
blur to row sums of Dm (their Algorithm 1); solved by conjugate gradients.
"""

import numpy as np

from .checks import check_images, check_maps
from .parallel import compiled, over_images

AXES = 5
"""Of the grid: row, column, luma and two chromas."""
BITS = 12
"""Of a cell's place on each axis."""
LARGEST_SIDE = 2**BITS - 1
BALANCING_TURNS = 10
SOLVER_TURNS = 25
TOLERANCE = 1e-5
NONE = -1
GOLDEN = 0x1E3779B97F4A7C15
"""An odd factor that spreads keys over a hash table (Knuth's multiplicative hashing)."""


def bilateral(
    maps: np.ndarray,
    images: np.ndarray,
    sigma_spatial: float = 16.0,
    sigma_luma: float = 16.0,
    sigma_chroma: float = 8.0,
    smoothness: float = 256.0,
    confidence: float = 0.999,
) -> np.ndarray:
    """Return maps, float32 [B,H,W] in 0..1, that follow the edges of images, uint8 [B,H,W,3] in RGB.

    maps: float [B,H,W] in 0..1. sigma: sides of a cell, in pixels and in grey levels. smoothness: lambda of the paper.
    confidence: in every pixel of the given map. The defaults are those of unsupervised saliency (TokenCut, FOUND). A
    constant map stays as it is. Raises ValueError on other shapes and dtypes, on sides below 1 and above 4095.
    """
    images, maps = check_images(images), check_maps(maps)
    if images.shape[:3] != maps.shape or max(maps.shape[1:], default=0) > LARGEST_SIDE:
        raise ValueError(f"maps {list(maps.shape)} need images of the same sides, got {list(images.shape)}")
    if min(sigma_spatial, sigma_luma, sigma_chroma) < 1 or smoothness < 0 or confidence <= 0:
        raise ValueError("sides of a cell must be at least 1, smoothness at least 0, confidence above 0")
    solved = np.empty_like(maps)
    sigmas = (float(sigma_spatial), float(sigma_luma), float(sigma_chroma))
    if maps.size:
        over_images(_bilateral_loop, maps, images, solved, constants=(sigmas, float(smoothness), float(confidence)))
    return solved


@compiled
def _bilateral_loop(
    maps: np.ndarray,
    images: np.ndarray,
    solved: np.ndarray,
    sigmas: tuple[float, float, float],
    smoothness: float,
    confidence: float,
) -> None:
    height, width = maps.shape[1:]
    cells = np.empty((height, width), np.int32)
    for image in range(len(maps)):
        keys = _gather(images[image], sigmas, cells)
        values = _solve(maps[image], cells, _neighbours(keys), smoothness, confidence)
        for row in range(height):
            for column in range(width):
                solved[image, row, column] = min(max(values[cells[row, column]], 0.0), 1.0)


@compiled
def _gather(image: np.ndarray, sigmas: tuple[float, float, float], cells: np.ndarray) -> np.ndarray:
    """Number the cells as raster order meets them, say which one every pixel is in, and return their keys."""
    height, width = cells.shape
    place, luma, chroma = sigmas
    table = _table(height * width)
    keys, count = np.empty(height * width, np.int64), 0
    for row in range(height):
        for column in range(width):
            red, green, blue = image[row, column, 0], image[row, column, 1], image[row, column, 2]
            key = np.int64(row / place)
            key = (key << BITS) | np.int64(column / place)
            key = (key << BITS) | np.int64((0.299 * red + 0.587 * green + 0.114 * blue) / luma)
            key = (key << BITS) | np.int64((128 - 0.168736 * red - 0.331264 * green + 0.5 * blue) / chroma)
            key = (key << BITS) | np.int64((128 + 0.5 * red - 0.418688 * green - 0.081312 * blue) / chroma)
            slot = _slot(table, keys, key)
            if table[slot] == NONE:
                table[slot], keys[count] = count, key
                count += 1
            cells[row, column] = table[slot]
    return keys[:count].copy()


@compiled
def _table(entries: int) -> np.ndarray:
    """Return an empty hash table, at most half full."""
    size = 16
    while size < 2 * entries:
        size *= 2
    return np.full(size, NONE, np.int32)


@compiled
def _slot(table: np.ndarray, keys: np.ndarray, key: int) -> int:
    """Return where a key stands in a table of cells, or the empty place where it belongs."""
    mask = len(table) - 1
    mixed = key * GOLDEN
    slot = (mixed ^ (mixed >> 32)) & mask  # the upper half of a product depends on every bit of the key
    while table[slot] != NONE and keys[table[slot]] != key:
        slot = (slot + 1) & mask
    return slot


@compiled
def _neighbours(keys: np.ndarray) -> np.ndarray:
    """Return the cells before and behind each one on every axis, int32 [n,10]; -1 where there is none."""
    table, count = _table(len(keys)), len(keys)
    for cell in range(count):
        table[_slot(table, keys, keys[cell])] = cell
    found = np.empty((count, 2 * AXES), np.int32)
    for cell in range(count):
        for axis in range(AXES):
            step = np.int64(1) << (BITS * axis)
            found[cell, 2 * axis] = table[_slot(table, keys, keys[cell] - step)]
            found[cell, 2 * axis + 1] = table[_slot(table, keys, keys[cell] + step)]
    return found


@compiled
def _blur(values: np.ndarray, neighbours: np.ndarray, blurred: np.ndarray) -> None:
    """Sum each cell, twice an axis, and its neighbours."""
    for cell in range(len(values)):
        total = 2 * AXES * values[cell]
        for side in range(2 * AXES):
            other = neighbours[cell, side]
            if other != NONE:
                total += values[other]
        blurred[cell] = total


@compiled
def _product(first: np.ndarray, second: np.ndarray) -> float:
    """Return the scalar product; BLAS would start threads of its own for it."""
    total = 0.0
    for cell in range(len(first)):
        total += first[cell] * second[cell]
    return total


@compiled
def _balanced(sizes: np.ndarray, neighbours: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Return Dn and Dm (Algorithm 1): the scale of the blur on both sides, and its row sums, close to the cells' sizes."""
    scale, blurred = np.ones(len(sizes)), np.empty(len(sizes))
    for _ in range(BALANCING_TURNS):
        _blur(scale, neighbours, blurred)
        scale = np.sqrt(scale * sizes / blurred)
    _blur(scale, neighbours, blurred)
    return scale, scale * blurred


@compiled
def _solve(
    given: np.ndarray, cells: np.ndarray, neighbours: np.ndarray, smoothness: float, confidence: float
) -> np.ndarray:
    """Return the values of the cells: conjugate gradients from their means on, scaled by the diagonal (their section 3)."""
    count = len(neighbours)
    sizes, sums = np.zeros(count), np.zeros(count)
    for row in range(cells.shape[0]):
        for column in range(cells.shape[1]):
            sizes[cells[row, column]] += 1
            sums[cells[row, column]] += given[row, column]
    scale, mass = _balanced(sizes, neighbours)
    diagonal = smoothness * mass + confidence * sizes
    inverse = 1 / (diagonal - smoothness * 2 * AXES * scale * scale)
    values = sums / sizes
    product, blurred = np.empty(count), np.empty(count)
    _blur(scale * values, neighbours, blurred)
    residual = confidence * sums - diagonal * values + smoothness * scale * blurred
    conditioned = inverse * residual
    direction, rest = conditioned.copy(), _product(residual, conditioned)
    limit = TOLERANCE * TOLERANCE * confidence * confidence * _product(sums, sums)
    for _ in range(SOLVER_TURNS):
        if _product(residual, residual) <= limit:
            break
        _blur(scale * direction, neighbours, blurred)
        product[:] = diagonal * direction - smoothness * scale * blurred
        length = rest / _product(direction, product)
        values += length * direction
        residual -= length * product
        conditioned[:] = inverse * residual
        before, rest = rest, _product(residual, conditioned)
        direction[:] = conditioned + rest / before * direction
    return values
