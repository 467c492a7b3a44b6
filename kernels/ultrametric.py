"""Two-label segmentation of a region graph by seeds and minimax path costs (spec 1.9, 5.7).

A region takes the label of the seeds that a path of cheaper largest edge reaches. Those costs are an ultrametric: they
are the heights at which regions meet in the merge tree of the minimum spanning tree. The tree is built once an image;
labelling by one set of seeds is then two passes over its 2n - 1 nodes.
"""

from dataclasses import dataclass

import numpy as np

from .parallel import compiled, over_images


@dataclass(frozen=True)
class MergeTrees:
    """How the regions of each image join: nodes 0..n-1 are regions, n..2n-2 joins in order of rising height.

    parents: int32 [B, 2n - 1], the join that takes a node up, -1 for the root. heights: float64 [B, 2n - 1], the cost at
    which a node's regions are joined, -inf for regions.
    """

    parents: np.ndarray
    heights: np.ndarray

    @property
    def regions(self) -> int:
        return (self.parents.shape[1] + 1) // 2


def merge_trees(costs: np.ndarray) -> MergeTrees:
    """Build the merge trees of graphs with edge costs [B, n, n], symmetric, infinite where there is no edge.

    Parts that no edge joins are joined at infinite height. Raises ValueError on another shape and on NaN.
    """
    costs = np.ascontiguousarray(costs, np.float64)
    if costs.ndim != 3 or costs.shape[1] != costs.shape[2] or np.isnan(costs).any():
        raise ValueError(f"costs must be [B, n, n] without NaN, got {list(costs.shape)}")
    batch, regions, _ = costs.shape
    nodes = max(2 * regions - 1, 0)
    parents = np.full((batch, nodes), -1, np.int32)
    heights = np.full((batch, nodes), -np.inf)
    over_images(_tree_loop, costs, parents, heights)
    return MergeTrees(parents, heights)


def label_by_seeds(trees: MergeTrees, foreground: np.ndarray, background: np.ndarray) -> np.ndarray:
    """Label the regions of each image by R sets of seeds: bool [B, R, n] twice -> bool [B, R, n], true for foreground.

    A tie, as in a region with seeds of both kinds, is background. Without background seeds all regions that a
    foreground seed reaches are foreground.
    """
    foreground, background = np.ascontiguousarray(foreground, bool), np.ascontiguousarray(background, bool)
    if foreground.shape != background.shape or foreground.shape[::2] != (len(trees.parents), trees.regions):
        raise ValueError(f"seeds {list(foreground.shape)} and {list(background.shape)} do not fit the trees")
    labels = np.empty(foreground.shape, np.bool_)
    over_images(_label_loop, trees.parents, trees.heights, foreground, background, labels)
    return labels


@compiled
def _tree_loop(costs: np.ndarray, parents: np.ndarray, heights: np.ndarray) -> None:
    regions = costs.shape[1]
    if regions == 0:
        return
    ends = np.empty((regions - 1, 2), np.int32)
    lengths = np.empty(regions - 1)
    tops = np.empty(2 * regions - 1, np.int32)
    for image in range(len(costs)):
        _spanning_tree(costs[image], ends, lengths)
        for node in range(len(tops)):
            tops[node] = node
        join = regions
        for edge in np.argsort(lengths, kind="mergesort"):
            for end in range(2):
                parents[image, _top(tops, ends[edge, end])] = join
            for end in range(2):
                tops[_top(tops, ends[edge, end])] = join
            heights[image, join] = lengths[edge]
            join += 1


@compiled
def _spanning_tree(costs: np.ndarray, ends: np.ndarray, lengths: np.ndarray) -> None:
    """Prim's algorithm on a dense graph."""
    regions = len(costs)
    nearest, cheapest = np.zeros(regions, np.int32), costs[0].copy()
    outside = np.ones(regions, np.bool_)
    outside[0] = False
    for edge in range(regions - 1):
        chosen = -1
        for node in range(regions):
            if outside[node] and (chosen < 0 or cheapest[node] < cheapest[chosen]):
                chosen = node
        ends[edge, 0], ends[edge, 1], lengths[edge] = chosen, nearest[chosen], cheapest[chosen]
        outside[chosen] = False
        for node in range(regions):
            if costs[chosen, node] < cheapest[node]:
                cheapest[node], nearest[node] = costs[chosen, node], chosen


@compiled
def _top(tops: np.ndarray, node: int) -> int:
    """The highest join so far above a node; the path to it is halved on the way."""
    while tops[node] != node:
        tops[node] = tops[tops[node]]
        node = tops[node]
    return node


@compiled
def _label_loop(
    parents: np.ndarray, heights: np.ndarray, foreground: np.ndarray, background: np.ndarray, labels: np.ndarray
) -> None:
    images, runs, regions = foreground.shape
    to_foreground, to_background = np.empty(parents.shape[1]), np.empty(parents.shape[1])
    for image in range(images):
        for run in range(runs):
            _costs_to_seeds(parents[image], heights[image], foreground[image, run], to_foreground)
            _costs_to_seeds(parents[image], heights[image], background[image, run], to_background)
            for region in range(regions):
                labels[image, run, region] = to_foreground[region] < to_background[region]


@compiled
def _costs_to_seeds(parents: np.ndarray, heights: np.ndarray, seeds: np.ndarray, costs: np.ndarray) -> None:
    """Cost of each node: the height of the lowest node above or at it that holds a seed; infinite without seeds."""
    nodes, regions = len(parents), len(seeds)
    for node in range(nodes):
        costs[node] = heights[node] if node < regions and seeds[node] else np.inf
    for node in range(nodes - 1):  # upwards: a join holds the seeds below it
        if costs[node] < np.inf:
            costs[parents[node]] = heights[parents[node]]
    for node in range(nodes - 2, -1, -1):  # downwards
        costs[node] = min(costs[node], costs[parents[node]])
