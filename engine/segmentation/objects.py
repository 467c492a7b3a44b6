"""The object that a map marks: where its values are large, the box around it, and its share of the frame."""

from dataclasses import dataclass

import numpy as np

from ...kernels.prune import otsu_threshold
from ..methods.detection import Detection
from .picture_config import OTSU

Box = list[int]
"""Left, top, width and height in pixels, as COCO has them."""


@dataclass(frozen=True)
class Marked:
    """box: of the object in the whole image, None where nothing is marked. share: of the image that the object covers."""

    box: Box | None
    share: float


def level_of(saliency: np.ndarray, threshold: str = OTSU) -> float:
    """Return the grey level, 0 to 255, above which a map, uint8 [S,S], marks the object.

    threshold: `otsu`, or a number from 0 to 1 as text.
    """
    if threshold != OTSU:
        return 255 * float(threshold)
    largest = float(saliency.max(initial=0))
    return largest * float(otsu_threshold(saliency[None].astype(np.float32))[0])


def object_mask(detection: Detection, threshold: str = OTSU) -> np.ndarray:
    """Return the object of a detection on the network's grid, bool [S,S]: as it was segmented, or by a threshold."""
    if detection.mask is not None:
        return detection.mask
    return detection.saliency > level_of(detection.saliency, threshold)


def marked(mask: np.ndarray, width: int, height: int) -> Marked:
    """Return where the object of a mask, bool [S,S], is in an image of that width and height; boxes are rounded outwards."""
    rows, columns = (np.flatnonzero(mask.any(axis)) for axis in (1, 0))
    if not len(rows):
        return Marked(None, 0.0)
    left, right = _scaled(columns, width / mask.shape[1])
    top, bottom = _scaled(rows, height / mask.shape[0])
    return Marked([left, top, right - left, bottom - top], float(mask.mean()))


def _scaled(places: np.ndarray, scale: float) -> tuple[int, int]:
    return int(np.floor(places[0] * scale)), int(np.ceil((places[-1] + 1) * scale))


def widened(box: Box, margin: float, width: int, height: int) -> Box:
    """Return a box with a margin on each side, a share of the box's own, as far as the image goes."""
    left, top, across, down = box
    aside, above = round(margin * across), round(margin * down)
    first, right = max(left - aside, 0), min(left + across + aside, width)
    start, bottom = max(top - above, 0), min(top + down + above, height)
    return [first, start, right - first, bottom - start]
