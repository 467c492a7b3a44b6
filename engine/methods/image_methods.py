"""Methods that need no network: a function from images to maps, on this machine's CPU.

Two on superpixels are here: Saliency Filters (Perazzi et al., CVPR 2012; spec 5.4) and robust background detection (Zhu et
al., CVPR 2014; spec 5.9), from their formulas: the authors' code is for non-commercial use and none is used here.
"""

from collections.abc import Callable

import numpy as np

from ...export.runtime.model_info import ModelInfo
from ...kernels.background import background_weight, optimum
from ...kernels.color import rgb_to_lab
from ...kernels.contrast import color_distribution
from ...kernels.eight_bits import to_levels
from ...kernels.pooling import SuperpixelStatistics, paint, rescaled, superpixel_statistics
from ...kernels.region_graph import RegionGraph, color_distances
from ...kernels.slic import slic_lab
from .batching import AUTOMATIC_ON_CPU
from .detection import Detection
from .method import Method, noise
from .region_contrast import region_contrast

ImageMaps = Callable[[np.ndarray], np.ndarray]

BASELINE_SIZE = 320
"""Side of the grid of these methods: about as many pixels as the images have that they were tuned on."""
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
    return rescaled((color_distances(statistics) * weights).sum(2), regions.present)


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


IMAGE_METHODS: dict[str, ImageMaps] = {
    "rc": region_contrast,
    "rbd": robust_background,
    "saliency-filters": saliency_filters,
}


class ImageMethod(Method[np.ndarray]):
    """A method that needs no classifier: a function from images to maps, on this machine's CPU."""

    at_once = 2

    def __init__(self, name: str, maps: ImageMaps, batch_size: int | None) -> None:
        self.maps = maps
        self.batch_size = batch_size or AUTOMATIC_ON_CPU
        self.info = ModelInfo(name, (), BASELINE_SIZE, "numba", "cpu")

    def compute(self, images: np.ndarray) -> np.ndarray:
        """Make the maps, float32 [B,S,S] in 0..1."""
        return self.maps(images)

    def detections(self, computed: np.ndarray, images: np.ndarray) -> list[Detection | None]:  # noqa: ARG002
        """Return the maps as they are."""
        return [Detection(to_levels(one), one.astype(np.float32)) for one in computed]

    def warm_up(self) -> None:
        """Make a map of noise."""
        self.compute(noise(self.info.input_size))
