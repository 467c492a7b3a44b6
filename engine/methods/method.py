"""The contract of every method.

It has two parts, which the engine overlaps: `compute` runs the models, `detections` does the rest.
"""

from abc import ABC, abstractmethod
from typing import Generic, TypeVar

import numpy as np

from ...export.runtime.model_info import ModelInfo
from .detection import Detection

Computed = TypeVar("Computed")


class Method(ABC, Generic[Computed]):
    """Finds the salient object in batches of images, each image on its own.

    info: what runs where. batch_size: how many images are best computed together. at_once: how many threads are best to
    call `compute`; one where it may not be called by several.
    """

    info: ModelInfo
    batch_size: int
    at_once: int = 1

    @abstractmethod
    def compute(self, images: np.ndarray) -> Computed:
        """Run the models on images, uint8 [B,S,S,3]."""

    @abstractmethod
    def detections(self, computed: Computed, images: np.ndarray) -> list[Detection | None]:
        """Return what was found in each image; None stands for an image whose descent diverged."""

    def warm_up(self) -> None:
        """Do once, on an image of noise, what else the first images would wait for: kernels that are compiled."""

    def pad_batches(self) -> None:
        """Say that many batches follow: on a GPU smaller ones are padded, so that one size is made ready for once."""

    def batch_memory(self, shape: tuple[int, ...]) -> np.ndarray:
        """Return memory for the images of a batch, uint8: best that from which the first model takes them."""
        return np.empty(shape, np.uint8)

    def close(self) -> None:
        """Give back what the models hold."""


def noise(size: int) -> np.ndarray:
    """Return an image of noise, uint8 [1,size,size,3]."""
    return np.random.default_rng(0).integers(0, 256, (1, size, size, 3), np.uint8)
