"""Robust background detection on the graph of superpixels (Zhu et al., CVPR 2014; spec 5.9), from its formulas: the
authors' code is for non-commercial use and none is used here.
"""

import math

import numpy as np

from .background_on_device import background_weight_cuda, optimum_cuda
from .background_terms import AFFINITY_FLOOR, AFFINITY_SIGMA, AREA_SIGMA, BORDER_SIGMA, LEAST_WEIGHT
from .device import is_cuda
from .parallel import compiled, over_images
from .region_graph import RegionGraph

BLOCK = 16  # columns of a matrix of paths that are worked on together, in whole vectors
ROWS = 4  # rows of the system that are eliminated at a time
VIAS = 8  # regions that paths are shortened by at a time
HALVINGS = 6  # exp(-t) is exp(-t / 2^6), a short series, squared as often
LARGEST_FALL = 32.0  # exp(-32) is nothing beside a sum that is at least 1


def background_weight(regions: RegionGraph) -> np.ndarray:
    """Return 1 - exp(-c^2 / 2) of each region's boundary connectivity c, float64 [B, n]; absent ids get 0.

    Regions on the border count as neighbours of one another. Paths are summed in single precision. The regions lie in
    memory or on a CUDA device, and the weights where they lie; on a device they are within 1e-5 of those here.
    """
    if is_cuda(regions.present):
        return background_weight_cuda(regions)
    weights = np.zeros(regions.present.shape)
    color = np.ascontiguousarray(regions.color, np.float32)
    over_images(_weight_loop, color, regions.touching, regions.border, regions.present, weights)
    return weights


def optimum(
    regions: RegionGraph, foreground: np.ndarray, background: np.ndarray, floor: float = AFFINITY_FLOOR
) -> np.ndarray:
    """Minimise sum w_bg s^2 + sum w_fg (s - 1)^2 + sum over pairs of w_ij (s_i - s_j)^2: one linear system an image.

    foreground, background: weights [B, n]. The pairs are neighbours, neighbours of a neighbour and regions on the border;
    w_ij falls with their distance in colour to `floor`. Returns float64 [B, n]; absent ids get 0. On a CUDA device the
    weights have to be float64, and there may be up to 2048 regions.
    """
    if is_cuda(regions.present):
        return optimum_cuda(regions, foreground, background, float(floor))
    values = np.zeros(regions.present.shape)
    color = np.ascontiguousarray(regions.color, np.float64)
    weights = (np.ascontiguousarray(side, np.float64) for side in (foreground, background))
    over_images(
        _optimum_loop, color, regions.touching, regions.border, regions.present, *weights, values,
        constants=(float(floor),),
    )  # fmt: skip
    return values


@compiled
def _weight_loop(
    color: np.ndarray, touching: np.ndarray, border: np.ndarray, present: np.ndarray, weights: np.ndarray
) -> None:
    """Regions on the border come first, and those inside, in raster order, after them: see `_shorten`."""
    for image in range(len(color)):
        outer = np.flatnonzero(present[image] & border[image])
        ids = np.concatenate((outer, np.flatnonzero(present[image] & ~border[image])))
        if len(ids) == 0:
            continue
        usual = _mean_nearest(color[image], ids)
        paths, reach = _edges(color[image], touching[image], ids, len(outer), usual)
        _shorten(paths, reach, len(outer))
        weights[image, ids] = _weigh(paths, len(outer))


@compiled
def _mean_nearest(color: np.ndarray, ids: np.ndarray) -> float:
    """Mean over regions of the distance to the region nearest in colour; 0 where there is only one."""
    count = len(ids)
    lightness, a, b = np.empty(count, np.float32), np.empty(count, np.float32), np.empty(count, np.float32)
    for place, one in enumerate(ids):
        lightness[place], a[place], b[place] = color[one]
    nearest = np.full(count, np.float32(np.inf))
    for one in range(count):  # a region is offered to all others at once, which becomes vector code
        own = nearest[one]
        for other in range(count):
            along_l, along_a, along_b = lightness[one] - lightness[other], a[one] - a[other], b[one] - b[other]
            squared = along_l * along_l + along_a * along_a + along_b * along_b
            nearest[other] = squared if squared < nearest[other] else nearest[other]
        nearest[one] = own
    total = 0.0
    for one in range(count):
        total += math.sqrt(nearest[one]) if nearest[one] < np.inf else 0.0
    return total / count


@compiled
def _distance(one: np.ndarray, other: np.ndarray) -> float:
    along_l, along_a, along_b = one[0] - other[0], one[1] - other[1], one[2] - other[2]
    return np.sqrt(along_l * along_l + along_a * along_a + along_b * along_b)


@compiled
def _edges(
    color: np.ndarray, touching: np.ndarray, ids: np.ndarray, outer: int, usual: float
) -> tuple[np.ndarray, np.ndarray]:
    """Lengths of the edges between regions `ids`, the first `outer` of which are all linked, and how far edges reach.

    A length is the distance in colour, less what is no more than usual between nearest regions; infinite where there is no
    edge, 0 on the diagonal. Of each row the part up to the diagonal is filled in; rows are whole blocks long. reach: end of
    the regions that this one or an earlier one has an edge to.
    """
    count = len(ids)
    lengths = np.full((count, (count + BLOCK - 1) // BLOCK * BLOCK), np.float32(np.inf))
    reach = np.arange(1, count + 1)
    for one in range(count):
        lengths[one, one] = 0
        for other in range(one):
            if one < outer or touching[ids[one], ids[other]]:
                lengths[one, other] = max(_distance(color[ids[one]], color[ids[other]]) - usual, 0.0)
                reach[other] = one + 1
    for one in range(1, count):
        reach[one] = max(reach[one], reach[one - 1])
    return lengths, reach


@compiled
def _shorten(paths: np.ndarray, reach: np.ndarray, outer: int) -> None:
    """Turn lengths of edges into those of shortest paths (Floyd), in place; there and back are as long.

    Regions inside are allowed on the way one after the other, in raster order, and then those on the border: until then,
    no path leads further than the edges so far reach. VIAS at a time, so that rows are read and written less often.
    """
    count = len(paths)
    vias = np.concatenate((np.arange(outer, count), np.arange(outer)))
    columns = np.empty((VIAS, paths.shape[1]), np.float32)
    for place in range(0, count, VIAS):
        some = vias[place : place + VIAS]
        limit = reach[some.max()] if some.min() >= outer else count
        _columns(paths, some, limit, columns)
        _pass_through(paths, columns, limit)


@compiled
def _columns(paths: np.ndarray, vias: np.ndarray, limit: int, columns: np.ndarray) -> None:
    """The paths from some regions to those before `limit`, those by way of the earlier ones of these included."""
    columns[:] = np.inf
    for place, via in enumerate(vias):
        for other in range(via):
            columns[place, other] = paths[via, other]
        for other in range(via, limit):
            columns[place, other] = paths[other, via]
        for earlier in range(place):
            between = columns[earlier, via]
            for other in range(limit):
                length = between + columns[earlier, other]
                columns[place, other] = length if length < columns[place, other] else columns[place, other]


@compiled
def _pass_through(paths: np.ndarray, columns: np.ndarray, limit: int) -> None:
    """Shorten the paths between all regions before `limit` by way of VIAS others; selects become vector code."""
    for start in range(limit):
        to_0, to_1, to_2, to_3 = columns[0, start], columns[1, start], columns[2, start], columns[3, start]
        to_4, to_5, to_6, to_7 = columns[4, start], columns[5, start], columns[6, start], columns[7, start]
        for end in range((start // BLOCK + 1) * BLOCK):
            length = _least(paths[start, end], to_0 + columns[0, end])
            length = _least(length, to_1 + columns[1, end])
            length = _least(length, to_2 + columns[2, end])
            length = _least(length, to_3 + columns[3, end])
            length = _least(length, to_4 + columns[4, end])
            length = _least(length, to_5 + columns[5, end])
            length = _least(length, to_6 + columns[6, end])
            paths[start, end] = _least(length, to_7 + columns[7, end])


@compiled
def _least(one: float, other: float) -> float:
    return other if other < one else one


@compiled
def _weigh(paths: np.ndarray, outer: int) -> np.ndarray:
    """1 - exp(-c^2 / 2) of each region's connectivity c: how much of what it belongs to is among the first `outer`.

    Of each row of paths the part up to the diagonal is read.
    """
    count = len(paths)
    area, along_border, similar = np.ones(count), np.zeros(count), np.empty(count)
    along_border[:outer] = 1
    for one in range(count):
        row = paths[one]
        for other in range(one):
            similar[other] = _falling(np.float64(row[other]) * row[other] / (2 * AREA_SIGMA**2))
        for other in range(one):
            area[other] += similar[other]
        if one < outer:
            for other in range(one):
                along_border[other] += similar[other]
        at_border = similar[: min(one, outer)].sum()
        along_border[one] += at_border
        area[one] += at_border + similar[min(one, outer) : one].sum()
    connectivity = along_border / np.sqrt(area)
    return 1 - np.exp(-(connectivity**2) / (2 * BORDER_SIGMA**2))


@compiled
def _falling(value: float) -> float:
    """exp(-value) to nine digits, of products and sums alone, which become vector code where a library call does not."""
    part = (value if value < LARGEST_FALL else LARGEST_FALL) / 2**HALVINGS
    result = 1 - part * (
        1 - part / 2 * (1 - part / 3 * (1 - part / 4 * (1 - part / 5 * (1 - part / 6 * (1 - part / 7)))))
    )
    for _ in range(HALVINGS):
        result = result * result
    return result


@compiled
def _optimum_loop(
    color: np.ndarray,
    touching: np.ndarray,
    border: np.ndarray,
    present: np.ndarray,
    foreground: np.ndarray,
    background: np.ndarray,
    values: np.ndarray,
    floor: float,
) -> None:
    for image in range(len(color)):
        inner = np.flatnonzero(present[image] & ~border[image])
        ids = np.concatenate((inner, np.flatnonzero(present[image] & border[image])))
        if len(ids) == 0:
            continue
        pairs, ends = _linked_twice(touching[image], ids, len(inner))
        system = _system(color[image], pairs, ends, ids, floor)
        right = np.empty(len(ids))
        for row, one in enumerate(ids):
            system[row, row] += foreground[image, one] + background[image, one] + LEAST_WEIGHT
            right[row] = foreground[image, one]
        _solve(system, ends, right)
        values[image, ids] = right


@compiled
def _linked_twice(touching: np.ndarray, ids: np.ndarray, inner: int) -> tuple[np.ndarray, np.ndarray]:
    """Which regions `ids` are linked by one step or two in the graph, or both on the border: bool [n, n], upper half.

    The first `inner` lie inside, in raster order, so that their rows are short; those on the border, which are all linked,
    come last. ends: of each of the first rows, the column after its last inside and its last on the border, [inner, 2].
    """
    count = len(ids)
    places = np.full(len(touching), -1)
    places[ids] = np.arange(count)
    pairs, ends = np.zeros((count, count), np.bool_), np.empty((inner, 2), np.int64)
    for row in range(inner):
        ends[row, 0], ends[row, 1] = row + 1, inner
    pairs[inner:, inner:] = True
    around = np.empty(count + 1, np.int64)
    for via in range(count):
        around[0], found = via, 1
        for region in np.flatnonzero(touching[ids[via]]):
            if places[region] >= 0:
                around[found] = places[region]
                found += 1
        for one in around[:found]:
            for other in around[:found]:
                if one < other:
                    pairs[one, other] = True
                    if one < inner:
                        side = 0 if other < inner else 1
                        ends[one, side] = max(ends[one, side], other + 1)
    return pairs, ends


@compiled
def _system(color: np.ndarray, pairs: np.ndarray, ends: np.ndarray, ids: np.ndarray, floor: float) -> np.ndarray:
    """The upper half of the matrix of the pairs' weights."""
    count, inner = len(ids), len(ends)
    system = np.zeros((count, count))
    for row in range(count):
        if row < inner:
            _add_weights(system, color, pairs, ids, row, row + 1, ends[row, 0], floor)
            _add_weights(system, color, pairs, ids, row, inner, ends[row, 1], floor)
        else:
            _add_weights(system, color, pairs, ids, row, row + 1, count, floor)
    return system


@compiled
def _add_weights(
    system: np.ndarray,
    color: np.ndarray,
    pairs: np.ndarray,
    ids: np.ndarray,
    row: int,
    first: int,
    end: int,
    floor: float,
) -> None:
    for column in range(first, end):
        if pairs[row, column]:
            distance = _distance(color[ids[row]], color[ids[column]])
            weight = math.exp(-(distance**2) / (2 * AFFINITY_SIGMA**2)) + floor
            system[row, column] = -weight
            system[row, row] += weight
            system[column, column] += weight


@compiled
def _solve(system: np.ndarray, ends: np.ndarray, right: np.ndarray) -> None:
    """Solve a symmetric positive definite system whose upper half is given, in place (Cholesky; the result is `right`).

    ends: see `_linked_twice`; what is eliminated fills a row no further than the rows before it reach. ROWS are taken out of
    those below them at a time, so that these are read and written less often.
    """
    count, inner = len(system), len(ends)
    end, border, border_end = 0, inner, inner
    for first in range(0, count, ROWS):
        last = min(first + ROWS, count)
        if last <= inner:
            end, border_end = max(end, ends[first:last, 0].max()), max(border_end, ends[first:last, 1].max())
        else:
            end, border, border_end = count, count, count
        for row in range(first, last):
            _take_out_one(system, row, last, end, border, border_end, right)
        for target in range(last, end):
            _take_out(system, first, target, target, end)
            _take_out(system, first, target, border, border_end)
            right[target] -= _product(system[first:last, target], right[first:last])
        for target in range(border, border_end):
            _take_out(system, first, target, target, border_end)
            right[target] -= _product(system[first:last, target], right[first:last])
    for row in range(count - 1, -1, -1):
        right[row] /= system[row, row]
        for above in range(row):
            right[above] -= system[above, row] * right[row]


@compiled
def _take_out_one(
    system: np.ndarray, row: int, last: int, end: int, border: int, border_end: int, right: np.ndarray
) -> None:
    """Scale a row by its pivot, and take it out of the rows below it up to `last`."""
    pivot = math.sqrt(system[row, row])
    right[row] /= pivot
    system[row, row:end] /= pivot
    system[row, border:border_end] /= pivot
    for target in range(row + 1, last):
        factor = system[row, target]
        for column in range(target, end):
            system[target, column] -= factor * system[row, column]
        for column in range(border, border_end):
            system[target, column] -= factor * system[row, column]
        right[target] -= factor * right[row]


@compiled
def _take_out(system: np.ndarray, first: int, target: int, start: int, end: int) -> None:
    """Take ROWS rows from `first` on out of columns start..end of the target's."""
    one, two, three, four = (
        system[first, target], system[first + 1, target], system[first + 2, target], system[first + 3, target]
    )  # fmt: skip
    for column in range(start, end):
        system[target, column] -= (
            one * system[first, column]
            + two * system[first + 1, column]
            + three * system[first + 2, column]
            + four * system[first + 3, column]
        )


@compiled
def _product(one: np.ndarray, other: np.ndarray) -> float:
    total = 0.0
    for place in range(len(one)):
        total += one[place] * other[place]
    return total
