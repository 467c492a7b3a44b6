"""The graph of touching regions: who touches whom, how much their colours differ, how far apart they are along paths.

Graphs are dense, [B, n, n] for n regions, padded where an image has fewer: superpixels are few. They lie where the labels
or statistics lie that they are made of, in memory or on a CUDA device.
"""

from dataclasses import dataclass
from typing import Any

import numpy as np

from .checks import check_labels
from .contrast import color_distance
from .device import empty, filled, handed_back, is_cuda, launch, on_device, pixel_of, row_of
from .parallel import compiled, over_images
from .pooling import SuperpixelStatistics, count_labels_cuda

cuda: Any = None  # bound by launch: a CPU needs no CUDA


@dataclass(frozen=True)
class RegionGraph:
    """The regions of a batch, n ids an image: who exists, who touches whom or the border, what colour they are.

    color: float32 [B, n, 3], mean Lab. touching: bool [B, n, n]. border, present: bool [B, n].
    """

    color: np.ndarray
    touching: np.ndarray
    border: np.ndarray
    present: np.ndarray

    @classmethod
    def of(cls, labels: np.ndarray, statistics: SuperpixelStatistics) -> "RegionGraph":
        """Build the graph of labels int [B, H, W]."""
        if is_cuda(labels):
            ids = statistics.size.shape[1]
            return cls(statistics.color, touching(labels, ids), on_border(labels, ids), _present_cuda(statistics.size))
        return cls(statistics.color, touching(labels), on_border(labels), statistics.size > 0)


def touching(labels: np.ndarray, ids: int | None = None) -> np.ndarray:
    """Tell which regions have pixels side by side (4-connected): labels int [B, H, W] -> bool [B, n, n], symmetric.

    ids: n where the labels lie on a device, which are otherwise counted there: that waits for it.
    """
    if is_cuda(labels):
        return _touching_cuda(labels, ids)
    labels, count = check_labels(labels, np.shape(labels))
    graph = np.zeros((len(labels), count, count), np.bool_)
    over_images(_touching_loop, labels, graph)
    return graph


def on_border(labels: np.ndarray, ids: int | None = None) -> np.ndarray:
    """Tell which regions have a pixel on the image's border: labels int [B, H, W] -> bool [B, n]; ids: see `touching`."""
    if is_cuda(labels):
        return _on_border_cuda(labels, ids)
    labels, count = check_labels(labels, np.shape(labels))
    found = np.zeros((len(labels), count), np.bool_)
    for edge in (labels[:, :1], labels[:, -1:], labels[:, :, :1], labels[:, :, -1:]):
        places = edge.reshape(len(labels), edge.shape[1] * edge.shape[2])
        np.put_along_axis(found, places, True, axis=1)
    return found


def color_distances(statistics: SuperpixelStatistics) -> np.ndarray:
    """Lab distances between the mean colours of all regions, float64 [B, n, n]."""
    if is_cuda(statistics.color):
        return _color_distances_cuda(statistics.color)
    color = np.ascontiguousarray(statistics.color.transpose(0, 2, 1), np.float64)
    distances = np.empty((len(color), color.shape[2], color.shape[2]))
    over_images(_distance_loop, color, distances)
    return distances


def _touching_cuda(source: Any, ids: int | None) -> Any:
    labels = on_device("labels", source, np.int32, (None, None, None))
    count = count_labels_cuda(labels) if ids is None else ids
    graph = filled((len(labels), count, count), np.bool_, False)
    launch(_touching_kernel, labels.size, labels, graph)
    return handed_back(graph, source)


def _on_border_cuda(source: Any, ids: int | None) -> Any:
    labels = on_device("labels", source, np.int32, (None, None, None))
    found = filled((len(labels), count_labels_cuda(labels) if ids is None else ids), np.bool_, False)
    launch(_on_border_kernel, labels.size, labels, found)
    return handed_back(found, source)


def _present_cuda(source: Any) -> Any:
    size = on_device("size", source, np.int32, (None, None))
    present = empty(size.shape, np.bool_)
    launch(_present_kernel, size.size, size, present)
    return handed_back(present, source)


def _color_distances_cuda(source: Any) -> Any:
    color = on_device("color", source, np.float32, (None, None, 3))
    distances = empty((*color.shape[:2], color.shape[1]), np.float64)
    launch(_color_distance_kernel, distances.size, color, distances)
    return handed_back(distances, source)


def edge_costs(distances: np.ndarray, graph: np.ndarray) -> np.ndarray:
    """Costs of the edges of a graph, float64 [B, n, n]; infinite where there is no edge."""
    return np.where(graph, distances, np.inf)


def shortest_paths(costs: np.ndarray) -> np.ndarray:
    """Lengths of the shortest paths between all regions (Floyd): edge costs [B, n, n] -> float64 [B, n, n].

    Costs and lengths are symmetric.
    """
    paths = np.array(costs, np.float64)
    diagonal = np.arange(paths.shape[1])
    paths[:, diagonal, diagonal] = 0
    over_images(_floyd_loop, paths)
    return paths


@compiled
def _distance_loop(color: np.ndarray, distances: np.ndarray) -> None:
    for image in range(len(color)):
        lightness, a, b = color[image]
        for one in range(len(lightness)):
            row = distances[image, one]
            for other in range(len(row)):
                along_l, along_a, along_b = lightness[one] - lightness[other], a[one] - a[other], b[one] - b[other]
                row[other] = np.sqrt(along_l * along_l + along_a * along_a + along_b * along_b)


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
    """Work on the lower triangle, which is half of the work, and copy it: ways there and back are as long."""
    count, nodes, _ = paths.shape
    to_via = np.empty(nodes)
    for image in range(count):
        for via in range(nodes):
            for start in range(nodes):
                to_via[start] = paths[image, max(via, start), min(via, start)]
            for start in range(nodes):
                first, row = to_via[start], paths[image, start]
                if first < np.inf:
                    for end in range(start + 1):
                        length = first + to_via[end]
                        row[end] = length if length < row[end] else row[end]  # unlike min, it becomes vector code
        for start in range(nodes):
            for end in range(start):
                paths[image, end, start] = paths[image, start, end]


def _touching_kernel(labels: Any, graph: Any) -> None:
    index = cuda.grid(1)
    count, height, width = labels.shape
    if index >= count * height * width:
        return
    image, row, column = pixel_of(index, height, width)
    here = labels[image, row, column]
    if column + 1 < width:
        _join(graph[image], here, labels[image, row, column + 1])
    if row + 1 < height:
        _join(graph[image], here, labels[image, row + 1, column])


def _on_border_kernel(labels: Any, found: Any) -> None:
    index = cuda.grid(1)
    count, height, width = labels.shape
    if index < count * height * width:
        image, row, column = pixel_of(index, height, width)
        if row == 0 or column == 0 or row + 1 == height or column + 1 == width:
            found[image, labels[image, row, column]] = True


def _present_kernel(size: Any, present: Any) -> None:
    index = cuda.grid(1)
    count, ids = size.shape
    if index < count * ids:
        image, region = row_of(index, ids)
        present[image, region] = size[image, region] > 0


def _color_distance_kernel(color: Any, distances: Any) -> None:
    index = cuda.grid(1)
    count, ids, _ = distances.shape
    if index < count * ids * ids:
        image, one, other = pixel_of(index, ids, ids)
        distances[image, one, other] = color_distance(color[image, one], color[image, other])
