"""Robust background detection on a CUDA device: what background.py computes, in the order that suits many threads.

Matrices [n, n] of an image lie in global memory; their tiles, and one column at a time, pass through shared memory. Sums
are always added up in the same order, and images never meet.
"""

import math
from typing import Any

import numpy as np

from .background_terms import AFFINITY_SIGMA, AREA_SIGMA, BORDER_SIGMA, LEAST_WEIGHT
from .contrast import color_distance
from .device import dtype_of, empty, handed_back, launch, launch_blocks, launch_grid, on_device, pixel_of, row_of
from .parallel import compiled
from .region_graph import RegionGraph

cuda: Any = None  # bound by launch: a CPU needs no CUDA

TILE = 32  # side of the tiles of a matrix of paths; at most 32
ROWS = 8  # threads down a tile, TILE of them across; known when kernels are compiled, as strides have to be to be cheap
LARGEST = 2048  # regions: a column of a system of more does not fit its place in shared memory


def background_weight_cuda(regions: RegionGraph) -> Any:
    """`background_weight` of regions on a device."""
    color, touching, border, present = _checked(regions)
    count, ids = present.shape
    tiles = (ids + TILE - 1) // TILE
    usual, weights = empty((count,), np.float64), empty(present.shape, np.float64)
    paths = empty((count, tiles * TILE, tiles * TILE), np.float32)
    launch_blocks(_usual_kernel, count if ids else 0, color, present, usual)
    launch(_edge_kernel, paths.size, color, touching, border, present, usual, paths)
    for via in range(tiles):  # blocked Floyd (Venkataraman et al., 2003): the tile, those in line with it, all others
        launch_grid(_within_kernel, (count,), (TILE, ROWS), paths, via)
        launch_grid(_across_kernel, (count, tiles, 2), (TILE, ROWS), paths, via, 1)
        launch_grid(_across_kernel, (count, tiles, tiles), (TILE, ROWS), paths, via, 0)
    launch(_weigh_kernel, weights.size, paths, border, present, weights)
    return handed_back(weights, regions.present)


def optimum_cuda(regions: RegionGraph, foreground: Any, background: Any, floor: float) -> Any:
    """`optimum` of regions on a device; foreground, background: floats [B, n] there."""
    color, touching, border, present = _checked(regions)
    count, ids = present.shape
    if ids > LARGEST:
        raise ValueError(f"at most {LARGEST} regions an image can be solved for on a device, got {ids}")
    sides = (on_device("weights", side, dtype_of(side), present.shape) for side in (foreground, background))
    system, values = empty((count, ids, ids), np.float64), empty(present.shape, np.float64)
    launch_blocks(_affinity_kernel, count * ids, color, touching, border, present, *sides, floor, system, values)
    launch_grid(_solve_kernel, (count if ids else 0,), (TILE, ROWS), system, values)
    return handed_back(values, regions.present)


def _checked(regions: RegionGraph) -> tuple[Any, Any, Any, Any]:
    """Colour, touching, border and present, on the device."""
    present = on_device("present", regions.present, np.bool_, (None, None))
    count, ids = present.shape
    color = on_device("color", regions.color, np.float32, (count, ids, 3))
    touching = on_device("touching", regions.touching, np.bool_, (count, ids, ids))
    return color, touching, on_device("border", regions.border, np.bool_, (count, ids)), present


def _usual_kernel(color: Any, present: Any, usual: Any) -> None:
    """Mean over regions of the distance to the region nearest in colour; a block an image."""
    totals = cuda.shared.array(1024, np.float64)
    members = cuda.shared.array(1024, np.int32)
    image, thread, threads = cuda.blockIdx.x, cuda.threadIdx.x, cuda.blockDim.x
    ids, total, count = present.shape[1], 0.0, 0
    for one in range(thread, ids, threads):
        if present[image, one]:
            nearest = math.inf
            for other in range(ids):
                if other != one and present[image, other]:
                    nearest = min(nearest, color_distance(color[image, one], color[image, other]))
            total += nearest if nearest < math.inf else 0.0
            count += 1
    totals[thread], members[thread] = total, count
    cuda.syncthreads()
    if thread == 0:
        for other in range(1, threads):
            total += totals[other]
            count += members[other]
        usual[image] = total / max(count, 1)


def _edge_kernel(color: Any, touching: Any, border: Any, present: Any, usual: Any, paths: Any) -> None:
    """Lengths of edges, as `_edges` has them; infinite for the ids that fill up the last tile."""
    index = cuda.grid(1)
    count, side, _ = paths.shape
    if index >= count * side * side:
        return
    image, one, other = pixel_of(index, side, side)
    length = 0.0 if one == other else math.inf
    exist = max(one, other) < present.shape[1] and present[image, one] and present[image, other]
    if one != other and exist and (touching[image, one, other] or (border[image, one] and border[image, other])):
        length = max(color_distance(color[image, one], color[image, other]) - usual[image], 0.0)
    paths[image, one, other] = length


def _within_kernel(paths: Any, via: int) -> None:
    """Shorten the paths within a tile on the diagonal by way of its own regions; a block an image."""
    tile = cuda.shared.array((32, 32), np.float32)
    image, column = cuda.blockIdx.x, cuda.threadIdx.x
    first = via * TILE
    for row in range(cuda.threadIdx.y, TILE, ROWS):
        tile[row, column] = paths[image, first + row, first + column]
    cuda.syncthreads()
    for between in range(TILE):
        for row in range(cuda.threadIdx.y, TILE, ROWS):
            tile[row, column] = min(tile[row, column], tile[row, between] + tile[between, column])
        cuda.syncthreads()
    for row in range(cuda.threadIdx.y, TILE, ROWS):
        paths[image, first + row, first + column] = tile[row, column]


def _across_kernel(paths: Any, via: int, in_line: int) -> None:
    """Shorten the paths of a tile by way of the regions of tile `via`; a block a tile.

    in_line: 1 for the tiles in the row (block z = 0) and column (z = 1) of tile `via`, whose own paths are the shortest
    already; 0 for the tiles of all other rows (y) and columns (z), once those are.
    """
    start = cuda.shared.array((32, 32), np.float32)
    end = cuda.shared.array((32, 32), np.float32)
    image, tile_row, tile_column = cuda.blockIdx.x, cuda.blockIdx.y, cuda.blockIdx.z
    if in_line == 1:
        tile_row, tile_column = (via, cuda.blockIdx.y) if cuda.blockIdx.z == 0 else (cuda.blockIdx.y, via)
    if (1 if tile_row == via else 0) + (1 if tile_column == via else 0) != in_line:
        return
    top, left, first, column = tile_row * TILE, tile_column * TILE, via * TILE, cuda.threadIdx.x
    for row in range(cuda.threadIdx.y, TILE, ROWS):
        start[row, column] = paths[image, top + row, first + column]
        end[row, column] = paths[image, first + row, left + column]
    cuda.syncthreads()
    for row in range(cuda.threadIdx.y, TILE, ROWS):
        shortest = paths[image, top + row, left + column]
        for between in range(TILE):
            shortest = min(shortest, start[row, between] + end[between, column])
        paths[image, top + row, left + column] = shortest


def _weigh_kernel(paths: Any, border: Any, present: Any, weights: Any) -> None:
    """1 - exp(-c^2 / 2) of each region's connectivity c, as `_weigh`; paths there and back are as long."""
    index = cuda.grid(1)
    count, ids = present.shape
    if index >= count * ids:
        return
    image, region = row_of(index, ids)
    area = along_border = 0.0
    for other in range(ids):
        if present[image, other]:
            path = np.float64(paths[image, other, region])
            similar = math.exp(-path * path / (2 * AREA_SIGMA**2))
            area += similar
            along_border += similar if border[image, other] else 0.0
    connectivity = along_border / math.sqrt(area) if present[image, region] else 0.0
    weights[image, region] = 1 - math.exp(-connectivity * connectivity / (2 * BORDER_SIGMA**2))


def _affinity_kernel(
    color: Any,
    touching: Any,
    border: Any,
    present: Any,
    foreground: Any,
    background: Any,
    floor: float,
    system: Any,
    right: Any,
) -> None:
    """A row of the linear system and its right side; a block a row. Absent ids are 0 by a row of their own."""
    sums = cuda.shared.array(1024, np.float64)
    ids, thread = present.shape[1], cuda.threadIdx.x
    image, one = row_of(cuda.blockIdx.x, ids)
    total = 0.0
    for other in range(thread, ids, cuda.blockDim.x):
        weight = 0.0
        paired = one != other and present[image, one] and present[image, other]
        if paired and not (border[image, one] and border[image, other]):
            paired = _linked(touching[image], present[image], one, other)
        if paired:
            distance = color_distance(color[image, one], color[image, other])
            weight = math.exp(-distance * distance / (2 * AFFINITY_SIGMA**2)) + floor
        system[image, one, other] = -weight
        total += weight
    sums[thread] = total
    cuda.syncthreads()
    if thread == 0:
        for other in range(1, cuda.blockDim.x):
            total += sums[other]
        sides = foreground[image, one] + background[image, one] + LEAST_WEIGHT
        system[image, one, one] = total + sides if present[image, one] else 1.0
        right[image, one] = foreground[image, one] if present[image, one] else 0.0


@compiled
def _linked(touching: np.ndarray, present: np.ndarray, one: int, other: int) -> bool:
    """Whether one step or two in the graph lead from one region of an image to the other."""
    linked = touching[one, other]
    for via in range(len(present)):
        linked = linked or (touching[one, via] and present[via] and touching[via, other])
    return linked


def _solve_kernel(system: Any, right: Any) -> None:
    """Solve a symmetric positive definite system, whose lower half is read, in place (Cholesky); a block an image."""
    factors = cuda.shared.array(2048, np.float64)
    image, ids = cuda.blockIdx.x, system.shape[1]
    thread = cuda.threadIdx.y * TILE + cuda.threadIdx.x
    for pivot in range(ids):
        root = math.sqrt(system[image, pivot, pivot])
        known = right[image, pivot] / root
        for row in range(pivot + 1 + thread, ids, TILE * ROWS):
            factors[row] = system[image, row, pivot] / root
            system[image, row, pivot] = factors[row]
            right[image, row] -= factors[row] * known
        cuda.syncthreads()
        if thread == 0:
            right[image, pivot] = known
        for row in range(pivot + 1 + cuda.threadIdx.y, ids, ROWS):
            if factors[row] != 0:  # regions that are far apart are not linked
                for column in range(pivot + 1 + cuda.threadIdx.x, row + 1, TILE):
                    system[image, row, column] -= factors[row] * factors[column]
        cuda.syncthreads()
    for pivot in range(ids - 1, -1, -1):
        known = right[image, pivot] / math.sqrt(system[image, pivot, pivot])
        for row in range(thread, pivot, TILE * ROWS):
            right[image, row] -= system[image, pivot, row] * known
        cuda.syncthreads()
        if thread == 0:
            right[image, pivot] = known
