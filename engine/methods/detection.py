"""What a descended batch says of each image: the finished map, the class and the figures that become its row."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import TypeAlias

import numpy as np
from PIL import Image

from ...export.runtime.descender import Descent
from ...export.runtime.model_info import ModelInfo
from ...kernels.resampling import resized
from ...resizing import Filter, Frame
from ..cleanup.postprocess import Finished, finish
from ..cleanup.presets import PostConfig

Images: TypeAlias = np.ndarray | Sequence[np.ndarray]
"""Images uint8 [B,S,S,3], or [h,w,3] each where they are what frames show."""
OBJECT_FROM = 0.05
"""Objectness from which a map counts as that of an object: nine in ten photographs reach it (docs/log.md)."""
DIVERGED = "the map left the range of floating point: of a descent, lower the step or gamma"


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
    levels. mask: bool [S,S], the object, where it was segmented. objectness: 0 to 1, see `objectness`. resample:
    filter of resizing. What was found in a letterbox, or by a network of unequal sides, is kept without what of the grid
    does not show the image, [h,w].
    """

    saliency: np.ndarray
    raw: np.ndarray | None
    target: int | None = None
    label: str | None = None
    score: float | None = None
    magnitude: float | None = None
    mask: np.ndarray | None = None
    objectness: float = 0.0
    resample: Filter = "bilinear"

    @property
    def has_object(self) -> bool:
        """Whether the map marks something of another colour than the rest."""
        return self.objectness >= OBJECT_FROM

    def resized(self, width: int, height: int) -> np.ndarray:
        """Return the finished map, uint8 [height,width]."""
        return resized(self.saliency, height, width, self.resample)

    def cropped(self, frame: Frame | None) -> "Detection":
        """Return what was found within a frame of the grid, see `cropped`."""
        raw, mask = (None if one is None else cropped(one, frame) for one in (self.raw, self.mask))
        return replace(self, saliency=cropped(self.saliency, frame), raw=raw, mask=mask)

    def resized_mask(self, width: int, height: int) -> np.ndarray | None:
        """Return the mask as uint8 [height,width], 0 and 255 (nearest); None where there is none."""
        if self.mask is None:
            return None
        return np.asarray(Image.fromarray(self.mask).convert("L").resize((width, height), Image.Resampling.NEAREST))


def cropped(grid: np.ndarray, frame: Frame | None) -> np.ndarray:
    """Return what of an array on a grid lies in a frame: left, top, width and height; all of it where None."""
    if frame is None:
        return grid
    left, top, width, height = frame
    return np.ascontiguousarray(grid[top : top + height, left : left + width])


def within_frames(
    found: Sequence[Detection | None], images: np.ndarray, frames: Sequence[Frame | None]
) -> tuple[list[Detection | None], Images]:
    """Return detections and images, uint8 [B,S,S,3], without what of their grids shows no image.

    The images are an array as before where all of every grid does.
    """
    if not any(frames):
        return list(found), images
    shown = [cropped(image, frame) for image, frame in zip(images, frames, strict=True)]
    return [one and one.cropped(frame) for one, frame in zip(found, frames, strict=True)], shown


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
