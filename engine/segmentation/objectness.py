"""Whether there is an object at all: how far its colour is from that of the rest, and images that are flat."""

from collections.abc import Sequence
from dataclasses import replace

import numpy as np

from ...kernels.color_sums import color_sums
from ..methods.detection import Detection, Images

BLACK_TO_WHITE = 255 * 3**0.5


def objectness(saliency: np.ndarray, image: np.ndarray) -> float:
    """Return the distance of two mean colours, of what a map marks and of the rest: 0 to 1, from black to white.

    saliency: uint8 [S,S], the weights of the object; 255 minus them are those of the rest. image: uint8 [S,S,3].
    """
    weighted, colors, inside = color_sums(image, saliency)
    outside = 255 * saliency.size - inside
    if not inside or not outside:
        return 0.0
    ours, theirs = weighted / inside, (255 * colors - weighted) / outside
    return float(np.sqrt(((ours - theirs) ** 2).sum()) / BLACK_TO_WHITE)


def judged(found: Sequence[Detection | None], images: Images) -> list[Detection | None]:
    """Return the detections of a batch, images uint8 [S,S,3] each, with their objectness; those of flat images are zero."""
    return [
        detection and (_nothing(detection) if _is_flat(image) else _judged(detection, image))
        for detection, image in zip(found, images, strict=True)
    ]


def _is_flat(image: np.ndarray) -> bool:
    same = image[0, 0]
    return bool((image[0] == same).all() and (image == same).all())


def _judged(detection: Detection, image: np.ndarray) -> Detection:
    return replace(detection, objectness=objectness(detection.saliency, image))


def _nothing(detection: Detection) -> Detection:
    """What a descent, or any network, says of one colour is an echo of its borders."""
    blank = np.zeros_like(detection.saliency)
    return replace(
        detection,
        saliency=blank,
        raw=None if detection.raw is None else np.zeros_like(detection.raw),
        magnitude=0.0,
        objectness=0.0,
    )
