"""Any method, looking twice: the map is the mean of the image's and of its mirror image's."""

from dataclasses import replace
from typing import Any

import numpy as np

from .detection import Detection
from .method import Method

MirroredPair = tuple[Any, Any]


class MirroredMethod(Method[MirroredPair]):
    """Averages the maps of a method over an image and its mirror image; classes and scores are those of the image."""

    def __init__(self, method: Method[Any]) -> None:
        self.method, self.info = method, method.info

    @property
    def batch_size(self) -> int:  # pyright: ignore[reportIncompatibleVariableOverride]  # the method's shrinks
        """That of the method."""
        return self.method.batch_size

    @property
    def at_once(self) -> int:  # pyright: ignore[reportIncompatibleVariableOverride]  # it is the method's
        """That of the method."""
        return self.method.at_once

    def compute(self, images: np.ndarray) -> MirroredPair:
        """Run the models on images, uint8 [B,S,S,3], and on their mirror images."""
        return self.method.compute(images), self.method.compute(self._mirrored(images))

    def detections(self, computed: MirroredPair, images: np.ndarray) -> list[Detection | None]:
        """See `Method.detections`; an image of which either map is missing has none."""
        plain, mirrored = computed
        pairs = zip(
            self.method.detections(plain, images), self.method.detections(mirrored, self._mirrored(images)), strict=True
        )
        return [None if one is None or other is None else self._mean(one, other) for one, other in pairs]

    def warm_up(self) -> None:
        """See `Method.warm_up`."""
        self.method.warm_up()

    def pad_batches(self) -> None:
        """See `Method.pad_batches`."""
        self.method.pad_batches()

    def batch_memory(self, shape: tuple[int, ...]) -> np.ndarray:
        """See `Method.batch_memory`."""
        return self.method.batch_memory(shape)

    def close(self) -> None:
        """See `Method.close`."""
        self.method.close()

    def _mirrored(self, grids: np.ndarray) -> np.ndarray:
        """Return arrays [B,S,S,...] with what the network sees of them turned around."""
        width = self.info.resizing.sides_on(self.info.input_size)[1]
        return np.concatenate([grids[:, :, :width][:, :, ::-1], grids[:, :, width:]], 2)

    def _mean(self, one: Detection, other: Detection) -> Detection:
        """Return the first with the mean of both maps; half a level is rounded to an even one."""
        back = self._mirrored(other.saliency[None])[0]
        saliency = np.rint((one.saliency.astype(np.float32) + back) / 2).astype(np.uint8)
        raw = None if one.raw is None or other.raw is None else (one.raw + self._mirrored(other.raw[None])[0]) / 2
        return replace(one, saliency=saliency, raw=raw)
