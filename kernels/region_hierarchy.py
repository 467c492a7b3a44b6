"""A hierarchy of regions: touching superpixels of like colour join, two at a time, until one is left."""

import numpy as np

from .parallel import compiled, over_images
from .pooling import SuperpixelStatistics


def region_hierarchy(statistics: SuperpixelStatistics, graph: np.ndarray) -> np.ndarray:
    """Join the pair of touching regions whose union costs least, again and again (Ward's criterion on Lab colours).

    graph: bool [B, n, n], which superpixels touch. Returns bool [B, 2n - 1, n], the superpixels of each region: first
    the n superpixels, then the joins in order; joins that an image does not have are empty.
    """
    batch, count = statistics.size.shape
    members = np.zeros((batch, max(2 * count - 1, 0), count), np.bool_)
    if members.size:
        over_images(_join_loop, statistics.color, statistics.size, graph.copy(), members)
    return members


@compiled
def _join_loop(color: np.ndarray, size: np.ndarray, graph: np.ndarray, members: np.ndarray) -> None:
    images, count = size.shape
    costs = np.empty((count, count))
    for image in range(images):
        means, sizes = color[image].astype(np.float64), size[image].astype(np.float64)
        names = np.arange(count)
        for region in range(count):
            members[image, region, region] = sizes[region] > 0
            _update_costs(means, sizes, graph[image], region, costs)
        for join in range(count, 2 * count - 1):
            one, other = _cheapest(costs)
            if one < 0:
                break
            for superpixel in range(count):
                below = members[image, names[one], superpixel] or members[image, names[other], superpixel]
                members[image, join, superpixel] = below
            names[one] = join
            _absorb(means, sizes, graph[image], one, other)
            _update_costs(means, sizes, graph[image], one, costs)
            _update_costs(means, sizes, graph[image], other, costs)


@compiled
def _cheapest(costs: np.ndarray) -> tuple[int, int]:
    """The pair of least cost, the first of equal ones; -1 where no two regions touch."""
    best, one, other = np.inf, -1, -1
    for row in range(len(costs)):
        for column in range(row + 1, len(costs)):
            if costs[row, column] < best:
                best, one, other = costs[row, column], row, column
    return one, other


@compiled
def _absorb(means: np.ndarray, sizes: np.ndarray, graph: np.ndarray, one: int, other: int) -> None:
    """Make `other` a part of `one`, in place."""
    total = sizes[one] + sizes[other]
    for channel in range(3):
        means[one, channel] = (sizes[one] * means[one, channel] + sizes[other] * means[other, channel]) / total
    sizes[one], sizes[other] = total, 0
    for region in range(len(sizes)):
        touches = (graph[one, region] or graph[other, region]) and region != one
        graph[one, region], graph[region, one] = touches, touches
        graph[other, region], graph[region, other] = False, False


@compiled
def _update_costs(means: np.ndarray, sizes: np.ndarray, graph: np.ndarray, region: int, costs: np.ndarray) -> None:
    for other in range(len(sizes)):
        cost = np.inf
        if graph[region, other] and other != region:
            squares = 0.0
            for channel in range(3):
                squares += (means[region, channel] - means[other, channel]) ** 2
            cost = squares * sizes[region] * sizes[other] / (sizes[region] + sizes[other])
        costs[region, other], costs[other, region] = cost, cost
