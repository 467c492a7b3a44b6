"""The graph of touching regions: who touches whom, how much their colours differ, how far apart they are along paths.

Graphs are dense, [B, n, n] for n regions, padded where an image has fewer: superpixels are few.
"""

import numpy as np

from .checks import check_labels
from .parallel import compiled, over_images
from .pooling import SuperpixelStatistics


def touching(labels: np.ndarray) -> np.ndarray:
    """Tell which regions have pixels side by side (4-connected): labels int [B, H, W] -> bool [B, n, n], symmetric."""
    labels, count = check_labels(labels, np.shape(labels))
    graph = np.zeros((len(labels), count, count), np.bool_)
    over_images(_touching_loop, labels, graph)
    return graph


def on_border(labels: np.ndarray) -> np.ndarray:
    """Tell which regions have a pixel on the image's border: labels int [B, H, W] -> bool [B, n]."""
    labels, count = check_labels(labels, np.shape(labels))
    found = np.zeros((len(labels), count), np.bool_)
    for edge in (labels[:, :1], labels[:, -1:], labels[:, :, :1], labels[:, :, -1:]):
        places = edge.reshape(len(labels), edge.shape[1] * edge.shape[2])
        np.put_along_axis(found, places, True, axis=1)
    return found


def color_distances(statistics: SuperpixelStatistics) -> np.ndarray:
    """Lab distances between the mean colours of all regions, float64 [B, n, n]."""
    color = statistics.color.astype(np.float64)
    return np.sqrt(((color[:, :, None] - color[:, None]) ** 2).sum(-1))


def edge_costs(distances: np.ndarray, graph: np.ndarray) -> np.ndarray:
    """Costs of the edges of a graph, float64 [B, n, n]; infinite where there is no edge."""
    return np.where(graph, distances, np.inf)


def shortest_paths(costs: np.ndarray) -> np.ndarray:
    """Lengths of the shortest paths between all regions (Floyd): edge costs [B, n, n] -> float64 [B, n, n]."""
    paths = np.array(costs, np.float64)
    diagonal = np.arange(paths.shape[1])
    paths[:, diagonal, diagonal] = 0
    over_images(_floyd_loop, paths)
    return paths


@compiled
def _touching_loop(labels: np.ndarray, graph: np.ndarray) -> None:
    count, height, width = labels.shape
    for image in range(count):
        for row in range(height):
            for column in range(width):
                here = labels[image, row, column]
                if column + 1 < width:
                    _join(graph[image], here, labels[image, row, column + 1])
                if row + 1 < height:
                    _join(graph[image], here, labels[image, row + 1, column])


@compiled
def _join(graph: np.ndarray, one: int, other: int) -> None:
    if one != other:
        graph[one, other] = True
        graph[other, one] = True


@compiled
def _floyd_loop(paths: np.ndarray) -> None:
    count, nodes, _ = paths.shape
    for image in range(count):
        for via in range(nodes):
            for start in range(nodes):
                first = paths[image, start, via]
                if first < np.inf:
                    for end in range(nodes):
                        paths[image, start, end] = min(paths[image, start, end], first + paths[image, via, end])
