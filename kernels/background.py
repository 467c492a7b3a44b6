"""Robust background detection on the graph of superpixels (Zhu et al., CVPR 2014; spec 5.9), from its formulas: the
authors' code is for non-commercial use and none is used here.
"""

import math

import numpy as np

from .parallel import compiled, over_images
from .region_graph import RegionGraph, shortest_paths

AREA_SIGMA = 7.0
BORDER_SIGMA = 1.0
AFFINITY_SIGMA = 10.0
AFFINITY_FLOOR = 0.1
LEAST_WEIGHT = 1e-6
"""Added to the diagonal of the linear system, which a constant image would leave singular."""


def background_weight(regions: RegionGraph) -> np.ndarray:
    """Return 1 - exp(-c^2 / 2) of each region's boundary connectivity c, float64 [B, n]; absent ids get 0.

    Regions on the border count as neighbours of one another.
    """
    lengths = np.empty_like(regions.distances)
    over_images(_length_loop, regions.distances, regions.touching, regions.border, regions.present, lengths)
    weights = np.zeros(regions.present.shape)
    over_images(_weight_loop, shortest_paths(lengths), regions.border, regions.present, weights)
    return weights


def optimum(
    regions: RegionGraph, foreground: np.ndarray, background: np.ndarray, floor: float = AFFINITY_FLOOR
) -> np.ndarray:
    """Minimise sum w_bg s^2 + sum w_fg (s - 1)^2 + sum over pairs of w_ij (s_i - s_j)^2: one linear solve an image.

    foreground, background: weights [B, n]. The pairs are neighbours, neighbours of a neighbour and regions on the border;
    w_ij falls with their distance in colour to `floor`. Returns float64 [B, n]; absent ids get 0.
    """
    values = np.zeros(regions.present.shape)
    weights = (np.ascontiguousarray(side, np.float64) for side in (foreground, background))
    over_images(
        _optimum_loop, regions.distances, regions.touching, regions.border, regions.present, *weights, values,
        constants=(float(floor),),
    )  # fmt: skip
    return values


@compiled
def _length_loop(
    distances: np.ndarray, touching: np.ndarray, border: np.ndarray, present: np.ndarray, lengths: np.ndarray
) -> None:
    """Lengths of the graph's edges: the distance in colour, less what is no more than usual between nearest regions."""
    for image in range(len(distances)):
        usual = _mean_nearest(distances[image], present[image])
        for one in range(distances.shape[1]):
            for other in range(distances.shape[1]):
                linked = touching[image, one, other] or (border[image, one] and border[image, other])
                length = max(distances[image, one, other] - usual, 0.0)
                lengths[image, one, other] = length if linked else np.inf


@compiled
def _mean_nearest(distances: np.ndarray, present: np.ndarray) -> float:
    """Mean over regions of the distance to the region nearest in colour; 0 where there is only one."""
    total, count = 0.0, 0
    for one in range(len(present)):
        nearest = np.inf
        for other in range(len(present)):
            if present[other] and other != one:
                nearest = min(nearest, distances[one, other])
        if present[one]:
            total += nearest if nearest < np.inf else 0.0
            count += 1
    return total / max(count, 1)


@compiled
def _weight_loop(paths: np.ndarray, border: np.ndarray, present: np.ndarray, weights: np.ndarray) -> None:
    for image in range(len(paths)):
        for one in range(paths.shape[1]):
            if not present[image, one]:
                continue
            area = along_border = 0.0
            for other in range(paths.shape[1]):
                if present[image, other]:
                    similar = math.exp(-(paths[image, one, other] ** 2) / (2 * AREA_SIGMA**2))
                    area += similar
                    along_border += similar if border[image, other] else 0.0
            connectivity = along_border / math.sqrt(area)
            weights[image, one] = 1 - math.exp(-(connectivity**2) / (2 * BORDER_SIGMA**2))


@compiled
def _optimum_loop(
    distances: np.ndarray,
    touching: np.ndarray,
    border: np.ndarray,
    present: np.ndarray,
    foreground: np.ndarray,
    background: np.ndarray,
    values: np.ndarray,
    floor: float,
) -> None:
    for image in range(len(distances)):
        ids = np.flatnonzero(present[image])
        if len(ids) == 0:
            continue
        pairs = _linked_twice(touching[image], border[image])
        system, right = np.zeros((len(ids), len(ids))), np.empty(len(ids))
        for row, one in enumerate(ids):
            total = 0.0
            for column, other in enumerate(ids):
                if one != other and pairs[one, other]:
                    weight = math.exp(-(distances[image, one, other] ** 2) / (2 * AFFINITY_SIGMA**2)) + floor
                    system[row, column] = -weight
                    total += weight
            system[row, row] = total + foreground[image, one] + background[image, one] + LEAST_WEIGHT
            right[row] = foreground[image, one]
        values[image, ids] = np.linalg.solve(system, right)


@compiled
def _linked_twice(touching: np.ndarray, border: np.ndarray) -> np.ndarray:
    """Tell which regions are linked by one step or two in the graph, or both on the border: bool [n, n]."""
    pairs = touching.copy()
    for via in range(len(touching)):
        around = np.flatnonzero(touching[via])
        for one in around:
            for other in around:
                pairs[one, other] = True
    edge = np.flatnonzero(border)
    for one in edge:
        for other in edge:
            pairs[one, other] = True
    return pairs
