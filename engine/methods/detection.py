"""What a descended batch says of each image: the finished map, the class and the figures that become its row."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from typing import TypeVar, cast

import numpy as np
from PIL import Image

from ...export.runtime.descender import Descent
from ...export.runtime.model_info import ModelInfo
from ...resizing import FILTERS, Filter
from ..cleanup.postprocess import Finished, finish
from ..cleanup.presets import PostConfig

OBJECT_FROM = 0.05
"""Objectness from which a map counts as that of an object: nine in ten photographs reach it (docs/log.md)."""
DIVERGED = "the map left the range of floating point: of a descent, lower the step or gamma"


Result = TypeVar("Result", bound="Detection | Failure | None")


@dataclass(frozen=True)
class Failure:
    """Why an image is left without a result: status, error code and message of its row."""

    status: str
    code: str
    message: str


@dataclass(frozen=True)
class Detection:
    """One image's result on the network's grid.

    saliency: uint8 [S,S], the finished map. raw: float32 [S,S] in 0..1, the map before any clean-up, None where it was not
    asked for. target: index of the class that was unseen, None for a method without a classifier. label, score: its name and
    original probability, None for a classifier that cannot name things, too. magnitude: largest mean change of a pixel, grey
    levels. mask: bool [S,S], the object, where it was segmented. objectness: 0 to 1, see `objectness`. frame: left, top,
    width and height of what of the grid shows the image, None where all of it does. resample: filter of resizing.
    """

    saliency: np.ndarray
    raw: np.ndarray | None
    target: int | None = None
    label: str | None = None
    score: float | None = None
    magnitude: float | None = None
    mask: np.ndarray | None = None
    objectness: float = 0.0
    frame: tuple[int, int, int, int] | None = None
    resample: Filter = "bilinear"

    @property
    def has_object(self) -> bool:
        """Whether the map marks something of another colour than the rest."""
        return self.objectness >= OBJECT_FROM

    def resized(self, width: int, height: int) -> np.ndarray:
        """Return the finished map, uint8 [height,width]."""
        return np.asarray(Image.fromarray(self.inside(self.saliency)).resize((width, height), FILTERS[self.resample]))

    def inside(self, grid: np.ndarray) -> np.ndarray:
        """Return what shows the image of an array on the network's grid, [S,S] or [S,S,3]."""
        return cropped(grid, self.frame)

    def framed(self, frame: tuple[int, int, int, int] | None) -> "Detection":
        """Return the same with nothing outside a frame, which becomes its own."""
        if frame is None:
            return self
        left, top, width, height = frame
        outside = np.ones(self.saliency.shape, bool)
        outside[top : top + height, left : left + width] = False
        raw, mask = (
            None if one is None else np.where(outside, one.dtype.type(0), one) for one in (self.raw, self.mask)
        )
        return replace(self, saliency=np.where(outside, np.uint8(0), self.saliency), raw=raw, mask=mask, frame=frame)

    def resized_mask(self, width: int, height: int) -> np.ndarray | None:
        """Return the mask as uint8 [height,width], 0 and 255 (nearest); None where there is none."""
        if self.mask is None:
            return None
        mask = Image.fromarray(self.inside(self.mask)).convert("L")
        return np.asarray(mask.resize((width, height), Image.Resampling.NEAREST))


def cropped(grid: np.ndarray, frame: tuple[int, int, int, int] | None) -> np.ndarray:
    """Return what of an array on a grid lies in a frame: left, top, width and height; all of it where None."""
    if frame is None:
        return grid
    left, top, width, height = frame
    return np.ascontiguousarray(grid[top : top + height, left : left + width])


def framed(found: Sequence[Result], frames: Iterable[tuple[int, int, int, int] | None]) -> list[Result]:
    """Return the detections of a batch with nothing outside the frames of their images."""
    pairs = zip(found, frames, strict=True)
    return [cast(Result, one.framed(frame)) if isinstance(one, Detection) else one for one, frame in pairs]


def detections(descent: Descent, images: np.ndarray, config: PostConfig, model: ModelInfo) -> list[Detection | None]:
    """Finish the maps of a batch, images uint8 [B,S,S,3]; None stands for an image whose descent diverged."""
    return described(Finished.of(finish(descent.delta, images, config), descent), model)


def described(found: Finished, model: ModelInfo) -> list[Detection | None]:
    """Return the detections of finished maps, with the classes that descents found, and their names and probabilities
    where the model can name them."""
    scores = _probabilities(found)
    return [
        None
        if found.diverged[place]
        else Detection(
            saliency=found.levels[place],
            raw=None if found.raw is None else found.raw[place],
            target=int(target),
            label=model.labels[target].name if model.names_classes else None,
            score=float(scores[place]) if model.names_classes else None,
            magnitude=float(found.magnitude[place]),
        )
        for place, target in enumerate(found.targets)
    ]


def _probabilities(found: Finished) -> np.ndarray:
    """Return softmax probabilities [B] of the targets in the original images."""
    logits = found.logits.astype(np.float64)
    exponentials = np.exp(logits - logits.max(1, keepdims=True, initial=-np.inf))
    return exponentials[np.arange(len(logits)), found.targets] / exponentials.sum(1)
