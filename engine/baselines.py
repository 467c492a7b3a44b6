"""Two baselines on superpixels: Saliency Filters (Perazzi et al., CVPR 2012; spec 5.4) and robust background detection
(Zhu et al., CVPR 2014; spec 5.9), from their formulas: the authors' code is for non-commercial use and none is used here.
"""

import numpy as np

from ..kernels.color import rgb_to_lab
from ..kernels.contrast import color_distribution
from ..kernels.pooling import SuperpixelStatistics, paint, superpixel_statistics
from ..kernels.region_graph import color_distances, edge_costs, on_border, shortest_paths, touching
from ..kernels.slic import slic_lab

SEGMENTS = 200
COMPACTNESS = 20.0
UNIQUENESS_SIGMA = 0.25
DISTRIBUTION_WEIGHT = 6.0
AREA_SIGMA = 7.0
BORDER_SIGMA = 1.0
CONTRAST_SIGMA = 0.4
AFFINITY_SIGMA = 10.0
AFFINITY_FLOOR = 0.1
LEAST_WEIGHT = 1e-6
"""Added to the diagonal of the linear system, which a constant image would leave singular."""


def saliency_filters(images: np.ndarray) -> np.ndarray:
    """Return uniqueness times compactness of colours, uint8 [B,H,W,3] -> float32 [B,H,W] in 0..1."""
    labels, statistics = _superpixels(images)
    near = np.exp(-_squared_distances(statistics) / (2 * UNIQUENESS_SIGMA**2)) * _pairs(statistics)
    near /= np.maximum(near.sum(2, keepdims=True), LEAST_WEIGHT)
    uniqueness = _scaled((near * color_distances(statistics) ** 2).sum(2), statistics)
    distribution = _scaled(color_distribution(statistics, 20.0), statistics)
    values = uniqueness * np.exp(-DISTRIBUTION_WEIGHT * distribution)
    return paint(_scaled(values, statistics), labels)


def robust_background(images: np.ndarray, saliency: np.ndarray | None = None) -> np.ndarray:
    """Return the optimum between background and foreground weights, uint8 [B,H,W,3] -> float32 [B,H,W] in 0..1.

    saliency: [B,H,W], taken as foreground weight instead of the contrast with the background.
    """
    labels, statistics = _superpixels(images)
    distances, graph, border = color_distances(statistics), touching(labels), on_border(labels)
    background = background_weight(statistics, graph | _all_pairs(border), border)
    if saliency is None:
        foreground = _contrast(statistics, background)
    else:
        foreground = _scaled(superpixel_statistics(np.stack([saliency] * 3, -1), labels).color[..., 0], statistics)
    twice = (graph.astype(np.float32) @ graph.astype(np.float32) > 0) | graph | _all_pairs(border)
    affinity = np.exp(-(distances**2) / (2 * AFFINITY_SIGMA**2)) + AFFINITY_FLOOR
    values = optimum(np.where(twice, affinity, 0), foreground, background)
    return paint(_scaled(values, statistics), labels)


def background_weight(statistics: SuperpixelStatistics, graph: np.ndarray, border: np.ndarray) -> np.ndarray:
    """Return 1 - exp(-c^2 / 2) of each superpixel's boundary connectivity c, [B,n]; graph bool [B,n,n], border [B,n]."""
    distances = color_distances(statistics)
    present = statistics.size > 0
    own = np.eye(distances.shape[1], dtype=bool)
    nearest = np.where(_pairs(statistics) & ~own, distances, np.inf).min(2, initial=np.inf)
    clip = np.where(present & np.isfinite(nearest), nearest, 0).sum(1) / np.maximum(present.sum(1), 1)
    lengths = np.maximum(distances - clip[:, None, None], 0)
    similar = np.exp(-(shortest_paths(edge_costs(lengths, graph)) ** 2) / (2 * AREA_SIGMA**2)) * _pairs(statistics)
    area = similar.sum(2)
    connectivity = (similar * border[:, None]).sum(2) / np.sqrt(np.maximum(area, LEAST_WEIGHT))
    return 1 - np.exp(-(connectivity**2) / (2 * BORDER_SIGMA**2))


def _contrast(statistics: SuperpixelStatistics, background: np.ndarray) -> np.ndarray:
    """Background-weighted contrast, scaled to 0..1."""
    near = np.exp(-_squared_distances(statistics) / (2 * CONTRAST_SIGMA**2))
    weights = near * background[:, None] * _pairs(statistics)
    return _scaled((color_distances(statistics) * weights).sum(2), statistics)


def optimum(affinity: np.ndarray, foreground: np.ndarray, background: np.ndarray) -> np.ndarray:
    """Minimise sum w_bg s^2 + sum w_fg (s - 1)^2 + sum over pairs of w_ij (s_i - s_j)^2: one linear solve an image.

    affinity: [B,n,n], symmetric; foreground, background: [B,n]. Returns [B,n].
    """
    affinity = affinity.copy()
    own = np.arange(affinity.shape[1])
    affinity[:, own, own] = 0
    system = -affinity
    system[:, own, own] = affinity.sum(2) + foreground + background + LEAST_WEIGHT
    return np.linalg.solve(system, foreground[..., None])[..., 0]


def _superpixels(images: np.ndarray) -> tuple[np.ndarray, SuperpixelStatistics]:
    lab = rgb_to_lab(images)
    labels = slic_lab(lab, SEGMENTS, COMPACTNESS)
    return labels, superpixel_statistics(lab, labels)


def _squared_distances(statistics: SuperpixelStatistics) -> np.ndarray:
    places = statistics.position.astype(np.float64)
    return ((places[:, :, None] - places[:, None]) ** 2).sum(-1)


def _pairs(statistics: SuperpixelStatistics) -> np.ndarray:
    return _all_pairs(statistics.size > 0)


def _all_pairs(chosen: np.ndarray) -> np.ndarray:
    return chosen[:, :, None] & chosen[:, None]


def _scaled(values: np.ndarray, statistics: SuperpixelStatistics) -> np.ndarray:
    """Scale each image's values from their minimum and maximum to 0..1; ids that an image does not have become 0."""
    present = statistics.size > 0
    low = np.where(present, values, np.inf).min(1, keepdims=True, initial=np.inf)
    high = np.where(present, values, -np.inf).max(1, keepdims=True, initial=-np.inf)
    spread = np.where(high > low, high - low, 1)
    return np.where(present & (high > low), (values - np.where(np.isfinite(low), low, 0)) / spread, 0)
