"""Two baselines on superpixels: Saliency Filters (Perazzi et al., CVPR 2012; spec 5.4) and robust background detection
(Zhu et al., CVPR 2014; spec 5.9), from their formulas: the authors' code is for non-commercial use and none is used here.
"""

import numpy as np

from ...kernels.background import background_weight, optimum
from ...kernels.color import rgb_to_lab
from ...kernels.contrast import color_distribution
from ...kernels.pooling import SuperpixelStatistics, paint, rescaled, superpixel_statistics
from ...kernels.region_graph import RegionGraph, color_distances
from ...kernels.slic import slic_lab

SEGMENTS = 200
COMPACTNESS = 20.0
UNIQUENESS_SIGMA = 0.25
DISTRIBUTION_WEIGHT = 6.0
CONTRAST_SIGMA = 0.4
LEAST_WEIGHT = 1e-6


def saliency_filters(images: np.ndarray) -> np.ndarray:
    """Return uniqueness times compactness of colours, uint8 [B,H,W,3] -> float32 [B,H,W] in 0..1."""
    labels, statistics = _superpixels(images)
    near = np.exp(-_squared_distances(statistics) / (2 * UNIQUENESS_SIGMA**2)) * _pairs(statistics)
    near /= np.maximum(near.sum(2, keepdims=True), LEAST_WEIGHT)
    present = statistics.size > 0
    uniqueness = rescaled((near * color_distances(statistics) ** 2).sum(2), present)
    distribution = rescaled(color_distribution(statistics, 20.0), present)
    values = uniqueness * np.exp(-DISTRIBUTION_WEIGHT * distribution)
    return paint(rescaled(values, present), labels)


def robust_background(images: np.ndarray) -> np.ndarray:
    """Return the optimum between background and foreground weights, uint8 [B,H,W,3] -> float32 [B,H,W] in 0..1."""
    labels, statistics = _superpixels(images)
    regions = RegionGraph.of(labels, statistics)
    background = background_weight(regions)
    values = optimum(regions, _contrast(statistics, regions, background), background)
    return paint(rescaled(values, regions.present), labels)


def _contrast(statistics: SuperpixelStatistics, regions: RegionGraph, background: np.ndarray) -> np.ndarray:
    """Background-weighted contrast, scaled to 0..1."""
    near = np.exp(-_squared_distances(statistics) / (2 * CONTRAST_SIGMA**2))
    weights = near * background[:, None] * _pairs(statistics)
    return rescaled((regions.distances * weights).sum(2), regions.present)


def _superpixels(images: np.ndarray) -> tuple[np.ndarray, SuperpixelStatistics]:
    lab = rgb_to_lab(images)
    labels = slic_lab(lab, SEGMENTS, COMPACTNESS)
    return labels, superpixel_statistics(lab, labels)


def _squared_distances(statistics: SuperpixelStatistics) -> np.ndarray:
    places = statistics.position.astype(np.float64)
    return ((places[:, :, None] - places[:, None]) ** 2).sum(-1)


def _pairs(statistics: SuperpixelStatistics) -> np.ndarray:
    present = statistics.size > 0
    return present[:, :, None] & present[:, None]
