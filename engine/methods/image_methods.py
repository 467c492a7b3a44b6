"""Methods that need no network: a function from images to maps, on this machine's CPU."""

from collections.abc import Callable

import numpy as np

from ...export.parity.levels import to_levels
from ...export.runtime.model_info import ModelInfo
from .baselines import robust_background, saliency_filters
from .batching import AUTOMATIC_ON_CPU
from .detection import Detection
from .method import Method, noise
from .region_contrast import region_contrast

ImageMaps = Callable[[np.ndarray], np.ndarray]

BASELINE_SIZE = 320
"""Side of the grid of methods without a network: about as many pixels as the images have that they were tuned on."""

IMAGE_METHODS: dict[str, ImageMaps] = {
    "rc": region_contrast,
    "rbd": robust_background,
    "saliency-filters": saliency_filters,
}


class ImageMethod(Method[np.ndarray]):
    """A method that needs no classifier: a function from images to maps, on this machine's CPU."""

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
